"""Owners' traces: what a node's owner used, and when.

``cpu``    one line a node: the owner's share of its CPUs in percent, each for ``step`` seconds
``whole``  one line a node: begin end begin end …, in seconds: then he used all CPUs and all memory;
           between an end and the next begin the node was idle, and nothing is known after the last
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plancton.errors import PlanctonError
from plancton.model import HostFacts

#: Longest line (bytes) that is read: 100,000 intervals of ten years.
MAX_LINE = 2_000_000
#: Latest end (s) of an interval: ten years.  Who writes seconds since 1970 has a later one.
LATEST = 316e6


@dataclass(frozen=True)
class Span:
    """A time in which the owner uses the same."""

    end: float  #: seconds since the trace's start
    cpus: float  #: how many he uses
    memory: int = 0  #: bytes that he uses


Parser = Callable[[str, str], tuple[Span, ...]]


def read_trace(path: Path, parse: Parser) -> Iterator[tuple[Span, ...]]:
    """Yield each node's spans; ``path`` may be a .gz.  Raises PlanctonError."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            yield parse(line, f"{path}:{number}")


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, which may be a .gz.  Raises PlanctonError."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="ascii") as file:
            number = 0
            while line := file.readline(MAX_LINE):
                number += 1
                if len(line) >= MAX_LINE:
                    raise PlanctonError(f"{path}:{number}: longer than {MAX_LINE} characters")
                yield line
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise PlanctonError(
            f"{path}: is no text of numbers: it holds the byte {byte:#x}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PlanctonError(f"{path}: cannot be read: {reason}") from error


def parse_shares(step: float, facts: HostFacts) -> Parser:
    """Return the parser of a line of percentages, each for ``step`` seconds."""

    def parse(line: str, where: str) -> tuple[Span, ...]:
        spans = []
        for number, word in enumerate(line.split(), 1):
            value = parse_number(word)
            if not 0 <= value <= 100:
                raise PlanctonError(f"{where}: {word!r} is no percentage of 0 to 100")
            spans.append(Span(number * step, value / 100 * facts.ncpus))
        return tuple(spans)

    return parse


def parse_intervals(facts: HostFacts) -> Parser:
    """Return the parser of a line of intervals in which the owner uses the whole node."""

    def parse(line: str, where: str) -> tuple[Span, ...]:
        words = line.split()
        if len(words) % 2:
            raise PlanctonError(f"{where}: the last interval has no end")
        spans: list[Span] = []
        before = 0.0
        for at, (first, last) in enumerate(zip(words[::2], words[1::2], strict=True)):
            begin, end = parse_number(first), parse_number(last)
            if not before <= begin < end < math.inf or (at and begin == before):
                raise PlanctonError(f"{where}: {first} {last} is no interval after the one before")
            if end > LATEST:
                raise PlanctonError(
                    f"{where}: {last} s after the trace's start is more than ten years; "
                    "write times from its start on"
                )
            if begin > before:
                spans.append(Span(begin, 0.0))
            spans.append(Span(end, float(facts.ncpus), facts.ram_bytes))
            before = end
        return tuple(spans)

    return parse


def parse_number(word: str) -> float:
    """Return a number; NaN where ``word`` is none."""
    try:
        return float(word)
    except ValueError:
        return math.nan
