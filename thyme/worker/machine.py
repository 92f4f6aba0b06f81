"""Describes the node to schedds, in HTCondor's terms."""

from __future__ import annotations

import os
from pathlib import Path

from hostfiles.distribution import format_opsys_and_ver, read_os_release
from thyme.protocol.events import Machine

from .memory_cgroup import CgroupMemory, MemoryCgroup

#: HTCondor's Arch where it is not the kernel's name.
_ARCHITECTURES = {"x86_64": "X86_64", "i686": "INTEL", "i386": "INTEL"}


def describe_machine(workdir: Path, group: MemoryCgroup) -> Machine | None:
    """Describe the node; None where it cannot be known.

    ``workdir``: whose disk is free; ``group``: the worker's own, for its memory limit.
    """
    try:
        disk = os.statvfs(workdir)
        total = _parse_total_memory(Path("/proc/meminfo").read_text())
        return Machine(
            cpus=count_cpus(),
            memory=_limit_memory(group.read(), total) // 1024,
            disk=disk.f_bavail * disk.f_frsize // 1024,
            arch=_ARCHITECTURES.get(os.uname().machine, os.uname().machine),
            opsys="LINUX",
            opsys_and_ver=format_opsys_and_ver(read_os_release()),
            load=os.getloadavg()[0],
        )
    except (OSError, ValueError):
        return None


def describe_node() -> dict[str, str | int]:
    """Return what a machine ad says of the whole node: its kernel, its CPUs and its memory."""
    node: dict[str, str | int] = {
        f"Utsname{name.capitalize()}": getattr(os.uname(), name)
        for name in ("sysname", "nodename", "release", "version", "machine")
    }
    if cpus := os.cpu_count():
        node["DetectedCpus"] = cpus
    try:
        meminfo = Path("/proc/meminfo").read_text()
        node["DetectedMemory"] = _parse_total_memory(meminfo) // 1024
    except (OSError, ValueError):
        pass  # not known
    return node


def count_cpus(mounted: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many CPUs the pilot's container may use, rounded; where nothing limits it, 1.

    A pilot is one CPU's worth of work, as Plancton counts them, however many it may see.
    """
    try:
        quota, period = _read_quota(mounted)
        return max(round(quota / period), 1)
    except (OSError, ValueError, ZeroDivisionError):
        return 1  # also "max" and -1: no limit


def _read_quota(mounted: Path) -> tuple[int, int]:
    """Return the group's microseconds of CPU time, and the period that they are for.

    A container sees its own group at the top.
    """
    try:
        quota, period = (mounted / "cpu.max").read_text().split()
    except FileNotFoundError:
        one = mounted / "cpu"
        quota = (one / "cpu.cfs_quota_us").read_text()
        period = (one / "cpu.cfs_period_us").read_text()
    return int(quota), int(period)


def _parse_total_memory(meminfo: str) -> int:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    raise ValueError("no MemTotal")


def _limit_memory(memory: CgroupMemory | None, total: int) -> int:
    return total if memory is None or memory.limit is None else min(total, memory.limit)
