"""Reads HTCondor's user log: what happened to a job, from the submit host's side.

Every event is a header line, body lines and a line ``...``. A last event
without its ``...`` is still being written and does not count yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SUBMITTED = 0
EXECUTING = 1
EVICTED = 4
TERMINATED = 5
IMAGE_SIZE = 6
ABORTED = 9
HELD = 12
RELEASED = 13

_HEADER = re.compile(
    r"(\d{3}) \((\d+)\.(\d+)\.(\d+)\) "
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d\d/\d\d \d\d:\d\d:\d\d) (.*)\Z",
    re.ASCII,
)
_NORMAL = re.compile(r"\s*\(1\) Normal termination \(return value (-?\d+)\)", re.ASCII)
_ABNORMAL = re.compile(r"\s*\(0\) Abnormal termination \(signal (\d+)\)", re.ASCII)


@dataclass(frozen=True)
class Event:
    """One event; ``when`` is the local time as written, ``body`` the lines below the header."""

    number: int
    cluster: int
    proc: int
    when: str
    title: str
    body: tuple[str, ...] = ()


def events(text: str) -> Iterator[Event]:
    """The complete events in their order; raises ValueError, with the line, for other text."""
    block: list[str] = []
    for index, line in enumerate(text.split("\n"), 1):
        if line != "...":
            block.append(line)
            continue
        match = _HEADER.match(block[0]) if block else None
        if match is None:
            raise ValueError(f"line {index - len(block)}: no event header")
        yield Event(
            number=int(match[1]),
            cluster=int(match[2]),
            proc=int(match[3]),
            when=match[5],
            title=match[6],
            body=tuple(block[1:]),
        )
        block = []


def outcome(event: Event) -> str:
    """``exit 0``, ``signal 9`` of a termination event; "" when the event does not say."""
    for line in event.body:
        normal = _NORMAL.match(line)
        if normal:
            return f"exit {normal[1]}"
        abnormal = _ABNORMAL.match(line)
        if abnormal:
            return f"signal {abnormal[1]}"
    return ""
