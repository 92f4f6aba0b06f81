"""``planctonctl completion``: print a completion script for a shell, made from the parser."""

from __future__ import annotations

import argparse

from plancton.errors import ExitCode
from plancton.paths import Paths

_SCRIPT = """\
_planctonctl() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command= word words
    for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        case $word in
            {commands}) command=$word; break ;;
        esac
    done
    case $command in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _planctonctl planctonctl
"""
#: zsh runs the same script.
_ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"


def completion(_paths: Paths, arguments: argparse.Namespace) -> int:
    """Print the completion script of the shell that ``arguments.shell`` names."""
    from .main import make_parser  # it imports this module's names

    print((_ZSH if arguments.shell == "zsh" else "") + build_script(make_parser()), end="")
    return ExitCode.OK


def build_script(parser: argparse.ArgumentParser) -> str:
    """Return a bash script that completes the commands and options of ``parser``."""
    commands: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = dict(action.choices)
    words = {"''": [*commands, *_list_words(parser)]}
    words |= {name: _list_words(command) for name, command in commands.items()}
    cases = "\n".join(f'        {name}) words="{" ".join(of)}" ;;' for name, of in words.items())
    return _SCRIPT.format(commands="|".join(commands), cases=cases)


def _list_words(parser: argparse.ArgumentParser) -> list[str]:
    """Return a parser's options, and the values that a positional argument may have."""
    found: list[str] = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        found += action.option_strings or [str(each) for each in action.choices or ()]
    return found
