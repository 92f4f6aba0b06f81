"""Collect the node's metrics into one row a minute."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from plancton.metrics.series import EVICTIONS, NODE, PILOTS
from telemetry.points import Point

from . import ring

_log = logging.getLogger("plancton")


class Recorder:
    """Collects points: ``take`` gets those of each interval, ``flush`` writes the last minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._minute: int | None = None
        self._gauges: dict[str, list[float]] = {}
        self._counts: dict[str, float] = {}
        self._problem = ""

    def take(self, points: Iterable[Point]) -> None:
        """Add points; a new minute writes the one before."""
        for point in points:
            if point.series not in (NODE.name, PILOTS.name, EVICTIONS.name):
                continue
            minute = int(point.time // 60)
            if minute != self._minute:
                self.flush()
                self._minute = minute
            if point.series == EVICTIONS.name:
                count = point.fields.get("count")
                self._count("evicted", count)
                for name, reason in ring.REASONS.items():
                    if point.tags["reason"] == reason:
                        self._count(name, count)
                self._count("evicted_cpu_seconds", point.fields.get("cpu_seconds"))
                continue
            for name, value in point.fields.items():
                if name in ring.COUNTS:
                    self._count(name, value)
                elif name in ring.GAUGES and isinstance(value, (int, float)):
                    self._gauges.setdefault(name, []).append(float(value))

    def flush(self) -> None:
        """Write what is known of the present minute."""
        if self._minute is None:
            return
        values = {name: sum(seen) / len(seen) for name, seen in self._gauges.items()}
        row = ring.Minute(self._minute, {**values, **self._counts})
        self._minute, self._gauges, self._counts = None, {}, {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            ring.write_row(self._path, row)
        except OSError as error:
            problem = f"{self._path}: cannot be written: {error.strerror}"
            if problem != self._problem:
                _log.error("%s", problem)
            self._problem = problem
        else:
            self._problem = ""

    def _count(self, name: str, value: object) -> None:
        if isinstance(value, (int, float)):
            self._counts[name] = self._counts.get(name, 0.0) + value
