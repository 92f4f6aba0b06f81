"""The lanes of a pool: further job queues, for jobs that say how long they are.

A lane's queue is one more pool to the broker, and is named after its pool::

    alien_jobs                jobs that do not say how long they are
    alien_jobs.lane.3600      jobs that take at most 3600 s, and more than the lane before
    alien_jobs.lane.long      jobs that take longer than the last bound
    alien_jobs.lane.overdue   the first job of a lane from which none was taken for too long

A job's message is in one of these queues, as it is in its pool's where there are no lanes. Workers
look at them in the order of ``joblanes.order``, and at the overdue jobs before all others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from commandline.units import parse_time
from thyme.errors import BadInvocation

#: Characters of a pool's name, as in a message.
_MAX_POOL: Final = 255
#: What tells a lane's queue from a pool's: no pool has it in its name.
INFIX: Final = ".lane."
#: Matches what follows a pool's name in those of its queues, for the broker's permissions.
SUFFIX_PATTERN: Final = r"(\.lane\.[a-z0-9]+)?"
OVERDUE: Final = "overdue"
LONG: Final = "long"
#: Each idle worker looks at each lane every few seconds.
MAX_LANES: Final = 20
#: Seconds: the longest bound.
_MAX_BOUND: Final = 366 * 86400

#: The bounds of a pool's lanes, growing, with infinity at the end; () where there are no lanes.
Bounds = tuple[float, ...]


def read_bounds(option: str | None, env: Mapping[str, str]) -> Bounds:
    """Return the bounds of lanes from an option (None: not given) or THYME_LANES.

    Raises BadInvocation.
    """
    return parse_bounds(env.get("THYME_LANES", "") if option is None else option)


def parse_bounds(text: str) -> Bounds:
    """Return the bounds of lanes from e.g. ``10m,1h,12h``; () for a blank text.

    Raises BadInvocation.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    bounds = [_parse_bound(word) for word in words]
    if bounds != sorted(set(bounds)):
        raise BadInvocation(f"lanes {text[:100]!r}: each has to be longer than the one before")
    if len(bounds) > MAX_LANES:
        raise BadInvocation(f"lanes: {len(bounds)} of them; at most {MAX_LANES}")
    return (*bounds, math.inf) if bounds else ()


def _parse_bound(word: str) -> float:
    seconds = parse_time(word) or (float(word) if word.isdecimal() else 0.0)
    if not (0 < seconds <= _MAX_BOUND and seconds.is_integer()):
        raise BadInvocation(
            f"lane {word[:40]!r}: write whole seconds, or a time with a unit as 10m, 1h, 2d; "
            "at most 366d"
        )
    return seconds


def format_bounds(bounds: Bounds) -> str:
    """Return the text of bounds, in seconds."""
    return ",".join(f"{bound:.0f}" for bound in bounds if bound != math.inf)


def make_lane_queue(pool: str, bound: float | None) -> str:
    """Return the name of a lane's queue; that of the pool itself where ``bound`` is None."""
    if bound is None:
        return pool
    return f"{pool}{INFIX}{LONG if bound == math.inf else format(bound, '.0f')}"


def make_overdue_queue(pool: str) -> str:
    """Return the name of the queue that each worker of the pool looks at first."""
    return f"{pool}{INFIX}{OVERDUE}"


def list_queues(pool: str, bounds: Bounds) -> list[str]:
    """Return the names of all job queues of a pool: its own alone where it has no lanes."""
    lanes = [make_lane_queue(pool, bound) for bound in bounds]
    return [pool, *lanes, *([make_overdue_queue(pool)] if lanes else [])]


def get_pool(queue: str) -> str:
    """Return the pool of a job queue, by its name."""
    return queue.partition(INFIX)[0]


def is_lane(queue: str, pool: str) -> bool:
    """Return whether a job queue is one of the pool's lanes."""
    return queue.startswith(pool + INFIX)


def check_pool(name: str) -> str:
    """Return the name of a pool; raises BadInvocation where it is none, or one of a lane."""
    if not name or len(name) > _MAX_POOL or not name.isprintable():
        raise BadInvocation(
            f"pool {name[:_MAX_POOL]!r}: give 1 to {_MAX_POOL} printable characters"
        )
    if INFIX in name:
        raise BadInvocation(
            f"pool {name[:100]!r}: {INFIX!r} in a name is that of a lane; name the pool, "
            f"{get_pool(name)[:100]!r}"
        )
    return name
