"""A fake InfluxDB: a database in memory that fails as a test wants."""

import threading
from collections.abc import Sequence

from telemetry.points import Point
from telemetry.targets import Target


class FakeDatabase:
    """Keeps the points that it gets.

    While it is set, ``fail`` is raised instead, and ``hold`` makes it hang.
    """

    def __init__(self, target: Target | None = None) -> None:
        self.target = target
        self.points: list[Point] = []
        self.batches: list[int] = []
        self.tries = 0
        self.fail: Exception | None = None
        self.hold: threading.Event | None = None
        self.closed = False

    def write(self, points: Sequence[Point]) -> None:
        self.tries += 1
        if self.hold is not None and not self.hold.wait(60):
            raise AssertionError("the test lets it go on")
        if self.fail is not None:
            raise self.fail
        self.points.extend(points)
        self.batches.append(len(points))

    def close(self) -> None:
        self.closed = True
