"""``planctonctl top``: show the status again and again."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from plancton.daemon.lock import running_pid
from plancton.paths import Paths

from .document import find_exit_code, read_current
from .table import render_view

#: Shows a document; the one before it, if any, gives the CPU use since then.
Show = Callable[[dict[str, Any], dict[str, Any] | None], None]


def top(paths: Paths, arguments: argparse.Namespace) -> int:
    """Show the status ``count`` times, ``interval`` seconds apart; on a terminal until Ctrl-C.

    With --json each is one line.
    """
    terminal = sys.stdout.isatty() and not arguments.json
    rounds = arguments.count or (None if terminal else 1)
    before, document = None, read_current(paths, time.time())
    try:
        with _open_view(terminal, rounds, arguments.json) as show:
            show(document, before)
            for _ in range(1, rounds) if rounds else count():
                _pause(paths, arguments.interval)
                before, document = document, read_current(paths, time.time())
                show(document, before)
    except KeyboardInterrupt:
        pass  # how one leaves it
    return find_exit_code(document)


@contextmanager
def _open_view(terminal: bool, rounds: int | None, as_json: bool) -> Iterator[Show]:
    """Return what shows a document: on a terminal in one place, the whole screen without end."""
    from rich.console import Console
    from rich.live import Live

    if as_json:
        yield lambda document, _before: print(json.dumps(document), flush=True)
    elif terminal:
        with Live(screen=rounds is None, auto_refresh=False) as live:
            yield lambda document, before: live.update(render_view(document, before), refresh=True)
    else:
        console = Console(highlight=False, soft_wrap=True, markup=False)
        yield lambda document, before: console.print(render_view(document, before))


def _pause(paths: Paths, seconds: float) -> None:
    """Wait, and make the daemon run a pass meanwhile: by itself it does so rarely."""
    pid = running_pid(paths)
    if pid is not None:
        try:
            os.kill(pid, signal.SIGUSR1)
        except (ProcessLookupError, PermissionError):
            pass  # then what it wrote last is shown
    time.sleep(seconds)
