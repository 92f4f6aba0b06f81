"""``planctonctl completion``: print a completion script for a shell, made from the parser."""

from __future__ import annotations

import argparse

from commandline.completion import ZSH, build_script
from plancton.errors import ExitCode
from plancton.paths import Paths


def completion(_paths: Paths, arguments: argparse.Namespace) -> int:
    """Print the completion script of the shell that ``arguments.shell`` names."""
    from .main import make_parser  # it imports this module's names

    print((ZSH if arguments.shell == "zsh" else "") + build_script(make_parser()), end="")
    return ExitCode.OK
