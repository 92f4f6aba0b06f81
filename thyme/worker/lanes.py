"""Takes jobs from the lanes of the worker's pool: those that fit into the time that it may live.

How long that is, the pilot's node says (Machine/Job Features, HSF-TN-2016-02), and it may say
something else later. Plancton writes these files.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from joblanes.order import order_lanes
from thyme.broker import Delivery, Transport
from thyme.broker.lanes import Bounds, make_lane_queue, make_overdue_queue

#: Seconds between two looks at all lanes of a worker that waits. A consumer for each would be told
#: at once, but several could be sent a job each, and RabbitMQ counts each that is given back: at
#: the delivery limit it is a dead letter.
LOOK_SECONDS: Final = 5.0
#: Bytes of a file with one moment.
_MAX_FILE: Final = 100
#: Moments (seconds since 1970) at which the pilot or its node ends.
_ENDS: Final = (("JOBFEATURES", "shutdowntime_job"), ("MACHINEFEATURES", "shutdowntime"))


def read_life(environ: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds from ``now`` (epoch) the pilot may live; None: not known."""
    found = [_read_moment(Path(environ[name]) / key) for name, key in _ENDS if environ.get(name)]
    known = [moment for moment in found if moment is not None]
    return max(min(known) - now, 0.0) if known else None


def _read_moment(path: Path) -> float | None:
    try:
        with path.open(encoding="ascii") as file:
            value = float(file.read(_MAX_FILE))
    except (OSError, ValueError):
        return None
    return value if math.isfinite(value) else None


class LaneReader:
    """Takes from the lanes of one pool, or from its one queue where it has none."""

    def __init__(
        self,
        pool: str,
        bounds: Bounds,
        fallback: float,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Take from the pool's lanes with these bounds.

        ``fallback``: seconds without a job after which one is taken that does not fit (infinity:
        never); ``environ``: says where the node's files are; ``clock`` is monotonic, ``wall`` in
        epoch seconds.
        """
        self._pool = pool
        self._bounds = bounds
        self._fallback = fallback
        self._environ = environ
        self._clock = clock
        self._wall = wall
        self._rng = random.Random()  # noqa: S311
        self._next_look = 0.0

    def take(self, transport: Transport, idle_since: float) -> Delivery | None:
        """Take the job that fits best, or return None at once. Raises BrokerError.

        ``idle_since``: when the worker began to wait, monotonic.
        """
        if not self._bounds:
            return transport.take(self._pool)
        now = self._clock()
        if now < self._next_look:
            return None
        self._next_look = 0.0
        for queue in self.list_queues(now - idle_since):
            if (delivery := transport.take(queue, listen=False)) is not None:
                return delivery
        self._next_look = now + LOOK_SECONDS
        return None

    def list_queues(self, waited: float) -> list[str]:
        """Return the queues to look at, in their order, after ``waited`` seconds without a job."""
        life = read_life(self._environ, self._wall())
        if life is None:
            # each lane is as good as another; one order would let the last one starve
            order: list[float | None] = [None, *self._bounds]
            self._rng.shuffle(order)
        else:
            order = order_lanes(self._bounds, life, take_any=waited >= self._fallback)
        return [
            make_overdue_queue(self._pool),
            *(make_lane_queue(self._pool, bound) for bound in order),
        ]
