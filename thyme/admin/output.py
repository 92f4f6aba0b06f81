"""What ``thyme-admin`` prints: tables on a terminal, lines elsewhere, JSON where asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .queues import DeadLetterSummary, QueueSummary
from .roles_files import FileChange


class Output:
    """Prints results: tables or sentences, or one JSON document."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json

    def print_queues(self, queues: Sequence[QueueSummary], text: str = "") -> None:
        """Print queues, and then ``text``."""
        if self._json:
            _print_json({"queues": [asdict(each) for each in queues]})
            return
        rows = [
            (each.kind, each.pool, str(each.messages), _format_number(each.consumers))
            for each in queues
        ]
        _print_table(("queue", "pool", "messages", "consumers"), rows)
        if text:
            print(text)

    def print_letters(self, letters: Sequence[DeadLetterSummary]) -> None:
        """Print dead letters."""
        if self._json:
            _print_json({"dead": [asdict(each) for each in letters]})
            return
        if not letters:
            print("no dead letters")
            return
        rows = [
            (
                each.id,
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.time)) if each.time else "?",
                each.pool,
                f"{each.job} of {each.schedd}" if each.job else "?",
                str(each.bytes),
                _make_printable(each.reason),
            )
            for each in letters
        ]
        _print_table(("id", "put aside", "pool", "job", "bytes", "reason"), rows)

    def print_files(self, files: Sequence[FileChange]) -> None:
        """Print files and what was done with them."""
        if self._json:
            _print_json({str(each.path): each.what for each in files})
            return
        for each in files:
            print(f"{each.what:8}{each.path}")

    def print_done(self, what: str, count: int, text: str) -> None:
        """Print ``text``; as JSON, ``count`` under the name ``what``."""
        if self._json:
            _print_json({what: count})
        else:
            print(text)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    # late: half of what the command imports, and only people need it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1))
    # whole ids and names, however narrow the terminal: they are typed again
    table.add_column(head[0], no_wrap=True)
    for heading in head[1:]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _format_number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _make_printable(text: str) -> str:
    """Replace what is not printable: a reason comes from a worker, and must not move the cursor."""
    return "".join(each if each.isprintable() else " " for each in text)
