"""``planctonctl status`` and ``explain``: show what runs, and why."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
import time
from typing import Any

from plancton.errors import ExitCode
from plancton.paths import Paths

from .document import read_current


def status(paths: Paths, arguments: argparse.Namespace) -> int:
    """Print what runs: the daemon, the owner's load and the pilots."""
    document = read_current(paths, time.time())
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print_status(document)
    return _code(document)


def explain(paths: Paths, arguments: argparse.Namespace) -> int:
    """Print one sentence per rule: why pilots start, or do not."""
    document = read_current(paths, time.time())
    if arguments.json:
        keys = (
            "written", "daemon", "summary", "capacity", "rules", "window", "image", "protection",
            "config",
        )  # fmt: skip
        print(json.dumps({key: document.get(key) for key in keys}, indent=2))
        return _code(document)
    print(document["summary"])
    for rule in document["rules"]:
        room = "no limit" if rule["room"] is None else f"{rule['room']} more"
        _print_row(rule["rule"], room, rule["text"])
    problem = (document.get("config") or {}).get("problem")
    if problem:
        _print_row("config", "", problem)
    return _code(document)


def _print_row(rule: str, room: str, text: str) -> None:
    """Print one rule; on a terminal, its text stays in its column."""
    head = f"  {rule:<12} {room:<9} "
    width = shutil.get_terminal_size().columns - len(head)
    lines = textwrap.wrap(text, width) if sys.stdout.isatty() and width >= 20 else [text]
    print(head + ("\n" + " " * len(head)).join(lines))


def _code(document: dict[str, Any]) -> int:
    return ExitCode.OK if document["daemon"]["running"] else ExitCode.NOT_RUNNING


def _print_status(document: dict[str, Any]) -> None:
    from rich.console import Console

    from .table import render_view

    # Lines are for people: the terminal folds them better than a fixed width would.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(render_view(document, None))
