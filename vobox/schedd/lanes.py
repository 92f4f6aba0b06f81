"""Chooses the lane of a job, and finds lanes from which no worker takes.

Jobs that say how long they are wait in lanes of their pool (``thyme.broker.lanes``), and a worker
takes those that fit into the time that it may live. So a lane may wait for a worker that never
comes: its first job is then queued where every worker looks first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from joblanes.order import find_lane
from thyme.broker.lanes import Bounds, get_pool, list_queues, make_lane_queue
from thyme.errors import BadInvocation
from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator

_ATTRIBUTE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,99})(?:\*([0-9]{1,6}))?")
#: Only sums and products of numbers count: the schedd does nothing else while it evaluates one.
_ARITHMETIC = re.compile(r"[0-9.()*/+ -]{1,100}")

#: Names of attributes, and the seconds that each one's unit has.
Attributes = tuple[tuple[str, float], ...]


def parse_attributes(text: str) -> Attributes:
    """Return the attributes named as ``MaxRuntime,MaxWallTimeMins*60``; raises BadInvocation."""
    found = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        match = _ATTRIBUTE.fullmatch(word)
        unit = match and int(match[2] or 1)
        if not match or not unit:
            raise BadInvocation(
                f"lane attribute {word[:100]!r}: write NAME, or NAME*SECONDS for one in another "
                "unit, as MaxWallTimeMins*60"
            )
        found.append((match[1], float(unit)))
    return tuple(found)


@dataclass(frozen=True)
class LaneSettings:
    """The lanes of the schedd's pool; times in seconds.

    ``bounds``: () for no lanes; ``attributes``: that say how long a job is; ``undeclared``: what
    a job without any of them is taken for (None: it waits in the pool's own queue); ``patience``:
    how long no job may be taken from a lane.
    """

    bounds: Bounds = ()
    attributes: Attributes = ()
    undeclared: float | None = None
    patience: float = 21600.0

    def list_queues(self, pool: str) -> list[str]:
        """Return the names of all queues of the schedd's pool."""
        return list_queues(pool, self.bounds)

    def choose_queue(self, pool: str, ad: Ad) -> str:
        """Return the queue for a job with this ad, of the pool of the queue named ``pool``."""
        pool = get_pool(pool)
        if not self.bounds:
            return pool
        length = read_declared_time(ad, self.attributes)
        if length is None:
            length = self.undeclared
        return pool if length is None else make_lane_queue(pool, find_lane(self.bounds, length))


def read_declared_time(ad: Ad, attributes: Attributes) -> float | None:
    """Return for how many seconds the job says that it runs at most; None: it does not say.

    The shortest of several counts: it ends the job.
    """
    found = []
    for name, unit in attributes:
        text = ad.get(name)
        if text is not None and _ARITHMETIC.fullmatch(text):
            seconds = Evaluator(0.0).number(ad, name) * unit
            if seconds > 0:
                found.append(seconds)
    return min(found, default=None)


class LaneWatch:
    """Since when no job was taken from each lane, although some wait there. Monotonic seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def reset(self) -> None:
        """Begin again: no job could start until now."""
        self._since.clear()

    def record_served(self, queue: str, now: float) -> None:
        """Note that a job of the queue started, or that none waits there."""
        self._since[queue] = now

    def is_starving(self, queue: str, now: float, patience: float) -> bool:
        """Return whether nothing was taken from the queue for longer than ``patience``.

        Of a queue that nothing is known of it counts from now on.
        """
        return now - self._since.setdefault(queue, now) > patience
