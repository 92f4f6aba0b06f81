"""Read the present load of the node from /proc.

A reading that fails is ``None``, and the policy then starts and stops nothing
for it.  The fields are those of proc(5).
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Protocol

from plancton.calendar.syntax import BadPeriod, find_zone
from plancton.model import HostFacts, HostLoad, Usage

from .cgroup import read_stall

#: Shorter than this (s), the kernel's 10 ms ticks make a CPU reading too coarse to act on.
MIN_INTERVAL = 0.5
_KB = 1024
_COUNT = "count:"


class Sensors(Protocol):
    """Where the loop reads the node; the tests have one with values of their own."""

    def read_facts(self) -> HostFacts:
        """Return what does not change while the node runs."""
        ...

    def read_load(self, usage: Usage | None, now: float) -> HostLoad:
        """Return the node's load; ``usage`` is what the pilots used so far, None if unknown."""
        ...

    def is_due(self, now: float) -> bool:
        """Tell whether enough time has passed for a new CPU reading."""
        ...

    def read_available_memory(self) -> int | None:
        """Return the bytes that programs can get without swapping; None if unknown."""
        ...


def _timezone(localtime: Path = Path("/etc/localtime")) -> str:
    """Return the node's time zone: its name where that is known, else the file that holds it."""
    asked = os.environ.get("TZ", "").removeprefix(":")
    for name in (asked, str(localtime.resolve()).partition("/zoneinfo/")[2], str(localtime)):
        try:
            find_zone(name)
        except BadPeriod:
            continue
        return name
    return "UTC"  # as the C library does


class ProcSensors:
    """The sensors of a real node."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._last: tuple[float, float, float | None] | None = None  # now, busy s, pilots' s
        self._busy: float | None = None
        self._pilots: float | None = None
        self._pilots_mem: int | None = None
        self._stall_beside: float | None = None

    def read_facts(self) -> HostFacts:
        """Return what does not change: host name, CPUs, memory and time zone."""
        memory = self._meminfo()
        return HostFacts(
            # As in 2017: the short name.
            hostname=socket.gethostname().split(".")[0] or "localhost",
            ncpus=self._ncpus(),
            ram_bytes=memory.get("MemTotal", 0),
            swap_bytes=memory.get("SwapTotal", 0),
            timezone=_timezone(),
        )

    def is_due(self, now: float) -> bool:
        """Return whether the last sample of the CPU time is old enough for another."""
        return self._last is None or now - self._last[0] >= MIN_INTERVAL

    def read_load(self, usage: Usage | None, now: float) -> HostLoad:
        """Return the node's load now: CPUs in use, free memory, time lost waiting for memory.

        ``usage`` is what the pilots use (None: unknown), ``now`` a monotonic time in seconds; two
        samples of the CPU time give the CPUs in use between them.
        """
        if self.is_due(now):
            self._sample(usage, now)
        stall = self._stall_beside
        return HostLoad(
            busy_cpus=self._busy,
            pilots_cpus=self._pilots,
            mem_available=self.read_available_memory(),
            pilots_mem=self._pilots_mem,
            memory_stall=read_stall(self._proc / "pressure/memory") if stall is None else stall,
        )

    def read_available_memory(self) -> int | None:
        """Return MemAvailable plus the free pages on the CPUs' own lists, which it leaves out.

        Since Linux 6.7 these lists may hold an eighth of the memory for some seconds after
        a process gave it back; another process that needs memory gets it from there.
        """
        available = self._meminfo().get("MemAvailable")
        return None if available is None else available + self._on_cpu_lists()

    def _on_cpu_lists(self) -> int:
        """Return the bytes of the ``count:`` lines (pages) of /proc/zoneinfo."""
        try:
            lines = self._read("zoneinfo").splitlines()
            pages = sum(int(line.split()[1]) for line in lines if line.lstrip().startswith(_COUNT))
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _sample(self, usage: Usage | None, now: float) -> None:
        busy = self._busy_seconds()
        pilots = usage.cpu_seconds if usage else None
        self._pilots_mem = usage.memory_bytes if usage else None
        self._stall_beside = usage.stall_beside if usage else None
        previous, self._last = self._last, None
        self._busy = self._pilots = None
        if busy is None:
            return
        self._last = (now, busy, pilots)
        if previous is None or now <= previous[0]:
            return
        interval = now - previous[0]
        self._busy = max(0.0, busy - previous[1]) / interval
        if pilots is not None and previous[2] is not None:
            self._pilots = max(0.0, pilots - previous[2]) / interval

    def _busy_seconds(self) -> float | None:
        """Return the CPU seconds since boot that were not idle, over all CPUs.

        Waiting for a disk counts as idle; time stolen by a hypervisor counts as
        used, since nothing on this node can have it.  Guests are part of user and nice.
        """
        try:
            first = self._read("stat").split("\n", 1)[0].split()
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first[1:9])
        except (OSError, ValueError):
            return None
        ticks = user + nice + system + irq + softirq + steal
        return ticks / os.sysconf("SC_CLK_TCK")

    def _ncpus(self) -> int:
        try:
            lines = self._read("stat").splitlines()
        except OSError:
            lines = []
        found = sum(line.startswith("cpu") and line[3:4].isdigit() for line in lines)
        return found or os.cpu_count() or 1

    def _meminfo(self) -> dict[str, int]:
        """Return /proc/meminfo in bytes, by field."""
        found = {}
        try:
            for line in self._read("meminfo").splitlines():
                name, _, rest = line.partition(":")
                value, _, unit = rest.strip().partition(" ")
                found[name] = int(value) * (_KB if unit == "kB" else 1)
        except (OSError, ValueError):
            return {}
        return found

    def _read(self, name: str) -> str:
        return (self._proc / name).read_text(encoding="ascii", errors="replace")
