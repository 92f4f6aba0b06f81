"""Read HTCondor's user log.

Every event is a header line, body lines and a line ``...``. A last event without ``...`` is still
being written and is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SUBMITTED = 0
EXECUTING = 1
EVICTED = 4
TERMINATED = 5
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


def parse_events(text: str) -> Iterator[Event]:
    """Parse the complete events; raises ValueError with the line number for other text."""
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


def describe_end(event: Event) -> str:
    """Describe a termination event as ``exit 0`` or ``signal 9``; "" if it does not say."""
    for line in event.body:
        normal = _NORMAL.match(line)
        if normal:
            return f"exit {normal[1]}"
        abnormal = _ABNORMAL.match(line)
        if abnormal:
            return f"signal {abnormal[1]}"
    return ""
