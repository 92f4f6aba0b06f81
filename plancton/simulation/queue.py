"""Waiting jobs: how long they are, and which of them a pilot takes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from joblanes.order import find_lane, order_lanes
from plancton.errors import PlanctonError

from .owner import parse_number, read_lines

#: Seconds: the lanes of jobs that say how long they are, by the longest time of each.
LANES = (
    *(60.0 * minutes for minutes in (1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 960, 1440, 2880)),
    math.inf,
)
#: Distributions that may be named instead of a file: their name, and what their numbers are.
DISTRIBUTIONS = {
    "fixed": "seconds",
    "exponential": "mean",
    "lognormal": "median,sigma",
    "uniform": "least,most",
}
#: Longest job (s).
_LONGEST = 1e8

#: Draws the lengths of so many jobs.
Lengths = Callable[[random.Random, int], list[float]]
#: A rule: from the lengths of the waiting jobs, and the time that a pilot may live (None: not
#: known), the number of the job that it takes; None: none of them.
Claim = Callable[[Sequence[float], float | None], int | None]


def read_lengths(text: str) -> Lengths:
    """Return what draws a job's length in seconds.  Raises PlanctonError.

    ``text`` is a distribution, e.g. ``lognormal:3600,1.5``, or a file with a length a line.
    """
    name, colon, rest = text.partition(":")
    if colon and name in DISTRIBUTIONS:
        return _distribution(name, rest)
    if colon and not Path(text).exists():
        raise PlanctonError(
            f"{text}: no such file, and none of the distributions {', '.join(DISTRIBUTIONS)}"
        )
    found = []
    for number, line in enumerate(read_lines(Path(text)), 1):
        if word := line.strip():
            value = parse_number(word)
            if not 0 <= value <= _LONGEST:
                raise PlanctonError(
                    f"{text}:{number}: {word[:40]!r} is no length in seconds of 0 to {_LONGEST:g}"
                )
            found.append(max(1.0, value))
    if not found:
        raise PlanctonError(f"{text}: holds no length")
    return lambda rng, number: rng.choices(found, k=number)


def draw_endless(_rng: random.Random, number: int) -> list[float]:
    """Return the lengths of jobs that never end."""
    return [math.inf] * number


def _distribution(name: str, text: str) -> Lengths:
    values = [parse_number(word) for word in text.split(",")]
    wanted = DISTRIBUTIONS[name]
    if len(values) != wanted.count(",") + 1 or not all(0 < value <= _LONGEST for value in values):
        raise PlanctonError(
            f"{name}:{text}: write {name}:{wanted}, with numbers above 0 "
            f"(times in seconds, at most {_LONGEST:g})"
        )
    first, last = values[0], values[-1]
    if name == "uniform" and first > last:
        raise PlanctonError(f"{name}:{text}: the least is above the most")
    draws: dict[str, Callable[[random.Random], float]] = {
        "fixed": lambda _rng: first,
        "exponential": lambda rng: rng.expovariate(1 / first),
        # the longest before exp(), which overflows with a large sigma
        "lognormal": lambda rng: math.exp(
            min(math.log(_LONGEST), rng.normalvariate(math.log(first), last))
        ),
        "uniform": lambda rng: rng.uniform(first, last),
    }
    draw = draws[name]
    return lambda rng, number: [min(_LONGEST, max(1.0, draw(rng))) for _ in range(number)]


def take_any(waiting: Sequence[float], life: float | None) -> int | None:
    """Take the first job, however long it is."""
    return 0 if waiting else None


def take_fitting(waiting: Sequence[float], life: float | None) -> int | None:
    """Take the first job that is no longer than the pilot may live, as a central service gives."""
    if life is None:
        return take_any(waiting, life)
    return next((number for number, length in enumerate(waiting) if length <= life), None)


def take_from_lanes(waiting: Sequence[float], life: float | None) -> int | None:
    """Take the first job of the longest lane whose every job fits into the pilot's life."""
    if life is None:
        # a worker then looks at the lanes in any order, and so the jobs wait
        return take_any(waiting, life)
    first: dict[float | None, int] = {}
    for number, length in enumerate(waiting):
        first.setdefault(find_lane(LANES, length), number)
    order = order_lanes(LANES, life)
    return next((first[lane] for lane in order if lane in first), None)


CLAIMS: dict[str, Claim] = {
    "any": take_any,
    "fitting": take_fitting,
    "lanes": take_from_lanes,
}


class JobQueue:
    """A queue that never runs out: each time a pilot looks, other jobs wait."""

    def __init__(self, lengths: Lengths, waiting: int, claim: Claim, seed: int) -> None:
        """Let ``waiting`` jobs wait, of ``lengths``; pilots take them by ``claim``."""
        self.lengths, self.claim = lengths, claim
        self._waiting, self._seed = waiting, seed
        self._rng = random.Random(seed)  # noqa: S311

    def renew(self, node: int, claim: Claim) -> JobQueue:
        """Return the queue of another node (its number), from which pilots take by ``claim``."""
        return JobQueue(self.lengths, self._waiting, claim, self._seed + node)

    def draw(self) -> list[float]:
        """Return the lengths (s) of the jobs that wait now."""
        return self.lengths(self._rng, self._waiting)

    def take(self, life: float | None) -> float | None:
        """Return the length of the job that a pilot takes; None: there is none for it."""
        waiting = self.draw()
        number = self.claim(waiting, life)
        return None if number is None else waiting[number]
