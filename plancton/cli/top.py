"""``planctonctl top``: show the status again and again."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from plancton.daemon.lock import running_pid
from plancton.errors import ExitCode
from plancton.paths import Paths

from .document import read_current
from .table import render_view


def top(paths: Paths, arguments: argparse.Namespace) -> int:
    """Show the status ``count`` times, ``interval`` seconds apart; on a terminal until Ctrl-C.

    With --json each is one line.
    """
    from rich.console import Console
    from rich.live import Live

    terminal = sys.stdout.isatty() and not arguments.json
    rounds = arguments.count or (None if terminal else 1)
    document = read_current(paths, time.time())
    try:
        if arguments.json:
            print(json.dumps(document), flush=True)
            for _, new in _further(paths, arguments.interval, document, rounds):
                document = new
                print(json.dumps(document), flush=True)
            return _code(document)
        if not terminal:
            console = Console(highlight=False, soft_wrap=True, markup=False)
            console.print(render_view(document, None))
            for before, new in _further(paths, arguments.interval, document, rounds):
                document = new
                console.print(render_view(document, before))
            return _code(document)
        with Live(render_view(document, None), screen=rounds is None, auto_refresh=False) as live:
            for before, new in _further(paths, arguments.interval, document, rounds):
                document = new
                live.update(render_view(document, before), refresh=True)
    except KeyboardInterrupt:
        pass  # how one leaves it
    return _code(document)


def _further(
    paths: Paths, interval: float, document: dict[str, Any], rounds: int | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each further document, after the one before it."""
    for number in count(1):
        if number == rounds:
            return
        _pause(paths, interval)
        before, document = document, read_current(paths, time.time())
        yield before, document


def _pause(paths: Paths, seconds: float) -> None:
    """Wait, and make the daemon run a pass meanwhile: by itself it does so rarely."""
    pid = running_pid(paths)
    if pid is not None:
        try:
            os.kill(pid, signal.SIGUSR1)
        except (ProcessLookupError, PermissionError):
            pass  # then what it wrote last is shown
    time.sleep(seconds)


def _code(document: dict[str, Any]) -> int:
    return ExitCode.OK if document["daemon"]["running"] else ExitCode.NOT_RUNNING
