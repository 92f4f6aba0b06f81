"""``planctonctl status`` and ``explain``: show what runs, and why."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from plancton.paths import Paths

from .document import describe_state, find_exit_code, read_current
from .wrapping import wrap_for_terminal

#: Of the pilots that were asked to end, so many are shown.
_STOPPED_SHOWN = 5


def status(paths: Paths, arguments: argparse.Namespace) -> int:
    """Print what runs: the daemon, the owner's load and the pilots."""
    document = read_current(paths, time.time())
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print_status(document)
    return find_exit_code(document)


def explain(paths: Paths, arguments: argparse.Namespace) -> int:
    """Print one sentence per rule: why pilots start, or do not."""
    document = read_current(paths, time.time())
    if arguments.json:
        keys = (
            "written", "daemon", "summary", "capacity", "rules", "pilots", "ended", "window",
            "image", "protection", "config",
        )  # fmt: skip
        print(json.dumps({key: document.get(key) for key in keys}, indent=2))
        return find_exit_code(document)
    print(document["summary"])
    for rule in document["rules"]:
        room = "no limit" if rule["room"] is None else f"{rule['room']} more"
        _print_row(rule["rule"], room, rule["text"])
    _print_pilots(document)
    problem = (document.get("config") or {}).get("problem")
    if problem:
        _print_row("config", "", problem)
    return find_exit_code(document)


def _print_pilots(document: dict[str, Any]) -> None:
    """Print a sentence or two for each pilot, and for the last ones that were asked to end."""
    for pilot in document.get("pilots") or ():
        # without a daemon there is no text
        if text := pilot.get("text"):
            _print_row(pilot["name"], describe_state(pilot), text)
    asked = [one for one in document.get("ended") or () if one.get("stop_reason")]
    for one in asked[-_STOPPED_SHOWN:]:
        _print_row(one["name"], "ended", f"It was asked to end: {one['stop_reason']}.")


def _print_row(rule: str, room: str, text: str) -> None:
    """Print one rule; on a terminal, its text stays in its column."""
    head = f"  {rule:<12} {room:<9} "
    print(wrap_for_terminal(head + text, len(head)))


def _print_status(document: dict[str, Any]) -> None:
    from rich.console import Console

    from .table import render_view

    # The table is never cut: a terminal that is too narrow folds it.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(render_view(document, None))
