"""``planctonctl status`` and ``explain``: show what runs, and why."""

from __future__ import annotations

import argparse
import json
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
        print(f"  {rule['rule']:<12} {room:<9} {rule['text']}")
    problem = (document.get("config") or {}).get("problem")
    if problem:
        print(f"  {'config':<12} {'':<9} {problem}")
    return _code(document)


def _code(document: dict[str, Any]) -> int:
    return ExitCode.OK if document["daemon"]["running"] else ExitCode.NOT_RUNNING


def _print_status(document: dict[str, Any]) -> None:
    from rich.console import Console

    from .table import render_view

    # Lines are for people: the terminal folds them better than a fixed width would.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(render_view(document, None))
