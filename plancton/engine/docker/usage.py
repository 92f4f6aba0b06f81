"""Read what containers use: from their control groups, and from the engine where that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from plancton.errors import EngineError, EngineUnavailable
from plancton.model import PilotUsage, Usage
from plancton.node.cgroup import PilotGroup

from .listing import ListedContainer
from .threads import needing_threads

#: Questions to the engine at once; each costs it some milliseconds of reading.
_PARALLEL = 8


class UsageReader:
    """Adds up usage; sums never decrease, though pilots end and groups are made again."""

    def __init__(self, read_stats: Callable[[str], dict[str, Any]]) -> None:
        self._read_stats = read_stats
        self._group_last = 0.0
        self._group_before = 0.0
        #: of containers outside the group, the most that was read of each, by id; and of those
        #: that have ended, all together
        self._strays: dict[str, float] = {}
        self._ended = 0.0

    def read(self, group: PilotGroup, parent: str, pilots: Sequence[ListedContainer]) -> Usage:
        """Return what the pilots use.  Raises EngineUnavailable when that cannot be known.

        ``parent`` is the control group of new pilots; one in another group is asked of the engine.
        """
        whole = group.read_usage()
        inside = [row for row in pilots if whole is not None and row.cgroup == parent]
        used: dict[str, PilotUsage] = {}
        strays = [row for row in pilots if row not in inside]
        for row in inside:
            found = group.read_usage_of(row.id)
            if found is not None:
                used[row.name] = PilotUsage(found.cpu_seconds, found.memory_bytes or 0)
        memory = None if whole is None else whole.memory_bytes
        if whole is not None:
            if whole.cpu_seconds < self._group_last:
                self._group_before += self._group_last
            self._group_last = whole.cpu_seconds
        for ended in self._strays.keys() - {row.id for row in pilots}:
            self._ended += self._strays.pop(ended)
        asked = self._ask_engine(strays)
        for row, stats in zip(strays, asked, strict=True):
            if stats is not None:
                most = max(self._strays.get(row.id, 0.0), stats.cpu_seconds)
                self._strays[row.id] = most
                used[row.name] = PilotUsage(most, stats.memory_bytes)
        if whole is None:
            memory = 0
        if memory is not None:
            memory += sum(used[row.name].memory_bytes for row in strays if row.name in used)
        cpu = self._group_before + self._group_last + self._ended + sum(self._strays.values())
        return Usage(cpu, memory, used, group.read_stall_beside(time.monotonic()))

    def _ask_engine(self, rows: Sequence[ListedContainer]) -> list[PilotUsage | None]:
        if not rows:
            return []
        with needing_threads(), ThreadPoolExecutor(_PARALLEL, "stats") as pool:
            return list(pool.map(self._read_one, rows))

    def _read_one(self, row: ListedContainer) -> PilotUsage | None:
        """Return a container's usage from the engine; None if it ended meanwhile."""
        try:
            return parse_stats(self._read_stats(row.id))
        except EngineUnavailable:
            raise
        except EngineError:
            return None


def parse_stats(stats: Mapping[str, Any]) -> PilotUsage | None:
    """Return the usage in ``GET /containers/ID/stats``; None if the container has ended."""
    cpu = ((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    memory = stats.get("memory_stats") or {}
    stat = memory.get("stats") or {}
    held = stat.get("total_rss", stat.get("anon", memory.get("usage")))
    if not cpu:
        return None
    return PilotUsage(cpu / 1e9, int(held or 0))
