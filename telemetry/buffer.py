"""A bounded queue of points for one target: the oldest are dropped first, and counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from .points import Point

#: Points kept for a target that is away: at some 12 a minute, 13 hours of a quiet node.
CAPACITY = 10_000


class Buffer:
    """A queue for several threads. A batch that is being sent stays until it is ``done``."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._points: deque[Point] = deque()
        #: the first so many are being sent
        self._out = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._points)

    def add(self, points: Iterable[Point]) -> None:
        """Add points; the oldest are dropped where there are too many."""
        with self._lock:
            self._points.extend(points)
            self._shrink()

    def batch(self, most: int) -> list[Point]:
        """Return the oldest points, which stay here until ``done``, ``refused`` or ``back``."""
        with self._lock:
            self._out = min(most, len(self._points))
            return [self._points[index] for index in range(self._out)]

    def copy(self) -> list[Point]:
        """Return all points, those that are being sent included."""
        with self._lock:
            return list(self._points)

    def done(self) -> None:
        """Remove the batch: it has arrived."""
        self._take_out()

    def refused(self, lost: int | None = None) -> None:
        """Drop the batch: it will never be taken.  ``lost`` of it are counted; None: all."""
        number = self._take_out()
        self.dropped += number if lost is None else lost

    def back(self) -> None:
        """Keep the batch: it could not be sent now."""
        with self._lock:
            self._out = 0
            self._shrink()

    def _take_out(self) -> int:
        with self._lock:
            number, self._out = self._out, 0
            for _ in range(number):
                self._points.popleft()
            self._shrink()
            return number

    def _shrink(self) -> None:
        """Drop the oldest beyond the capacity; of a batch that is out none: it may have arrived."""
        too_many = len(self._points) - self._out - self._capacity
        if too_many <= 0:
            return
        out = [self._points.popleft() for _ in range(self._out)]
        for _ in range(too_many):
            self._points.popleft()
        self._points.extendleft(reversed(out))
        self.dropped += too_many
