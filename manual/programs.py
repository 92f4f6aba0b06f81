"""Every program of the distribution, with where its help is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import demo_ce.options
import plancton.cli.main
import plancton.install.bootstrap
import thyme.admin.cli
import thyme.worker.cli
import vobox.server.cli
import vobox.supervisor.cli
from commandline.completion import build_script, build_script_of_usage
from plancton import __version__
from vobox.client import usage, version, wait, watch_q

from . import roff

PARSERS: Mapping[str, Callable[[], argparse.ArgumentParser]] = {
    "planctonctl": plancton.cli.main.make_parser,
    "plancton-bootstrap": plancton.install.bootstrap.make_parser,
    "thyme-worker": thyme.worker.cli.make_parser,
    "thyme-admin": thyme.admin.cli.make_parser,
    "thyme-schedd": vobox.server.cli.parser,
    "plancton-demo-ce": demo_ce.options.build_parser,
}
#: What the programs with one text as help do, and that text.
TEXTS: Mapping[str, tuple[str, str]] = {
    "thyme-vobox": ("Keep a CE running beside the schedd.", vobox.supervisor.cli.USAGE),
    "condor_version": ("Print the release of HTCondor that the commands follow.", version.USAGE),
    "condor_watch_q": (
        "Show the jobs of user logs, and again whenever they change.",
        watch_q.USAGE,
    ),
    "condor_wait": ("Wait until the jobs of a user log have ended.", wait.USAGE),
    **{name: (usage.SUMMARIES[name], text) for name, text in usage.USAGES.items()},
}
_COMMANDS = {"thyme-vobox": vobox.supervisor.cli.COMMANDS}


def list_pages() -> dict[str, str]:
    """Return every manual page, by file name."""
    pages = {f"{name}.1": roff.format_parser(make(), __version__) for name, make in PARSERS.items()}
    for name, (summary, text) in TEXTS.items():
        pages[f"{name}.1"] = roff.format_usage(name, summary, text, __version__)
    return pages


def list_completions() -> dict[str, str]:
    """Return the completion script of every program for bash, by file name."""
    scripts = {name: build_script(make()) for name, make in PARSERS.items()}
    for name, (_, text) in TEXTS.items():
        scripts[name] = build_script_of_usage(name, text, _COMMANDS.get(name, ()))
    return scripts
