"""The memory limit of the control group that the worker lives in: a pilot's container, mostly.

Both versions of control groups are read, with or without a namespace of
their own; files and words are of the kernel's ``cgroup-v1/memory.rst`` and
``cgroup-v2.rst``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_EVENTS, _MAX = _V2_FILES = ("memory.events", "memory.max")
_OOM_CONTROL, _LIMIT, _MAX_USAGE = _V1_FILES = (
    "memory.oom_control", "memory.limit_in_bytes", "memory.max_usage_in_bytes",
)  # fmt: skip
#: v1 says this, rounded down to a page, for no limit (bytes).
_V1_UNLIMITED = 2**62
#: Bytes: the kernel charges in batches (32 pages for each CPU), and may stop before the limit.
_V1_SLACK = 2**20


@dataclass(frozen=True)
class CgroupMemory:
    """How often the kernel killed a process of the group, and how often the group met its limit.

    ``limit`` in KiB; None where there is none.
    """

    kills: int
    hits: int
    limit: int | None


class MemoryCgroup:
    """The group's files, found and opened once; ``read`` is two system calls at each job."""

    def __init__(
        self, groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
    ) -> None:
        self._files: dict[str, int] = {}
        place = _find_files(groups, mounted)
        if place is None:
            return
        names, directory = place
        try:
            for name in names:
                self._files[name] = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the control group's files."""
        for handle in self._files.values():
            os.close(handle)
        self._files = {}

    def read(self) -> CgroupMemory | None:
        """Return the counts and the limit; None where they cannot be known."""
        try:
            if _EVENTS in self._files:
                return self._read_v2()
            return self._read_v1() if self._files else None
        except (OSError, ValueError, KeyError):
            return None

    def _read_v2(self) -> CgroupMemory:
        events, limit = self._read_counts(_EVENTS), self._read_text(_MAX)
        return CgroupMemory(
            events["oom_kill"], events["oom"], None if limit == "max" else int(limit) // 1024
        )

    def _read_v1(self) -> CgroupMemory:
        kills, limit = self._read_counts(_OOM_CONTROL)["oom_kill"], int(self._read_text(_LIMIT))
        if limit >= _V1_UNLIMITED:
            return CgroupMemory(kills, 0, None)
        # memory.failcnt stays 0 in some groups of 6.x kernels; whether it was ever met is sure
        met = int(self._read_text(_MAX_USAGE)) >= limit - _V1_SLACK
        return CgroupMemory(kills, kills if met else 0, limit // 1024)

    def _read_text(self, name: str) -> str:
        return os.pread(self._files[name], 4096, 0).decode("ascii").strip()

    def _read_counts(self, name: str) -> dict[str, int]:
        return {
            word: int(value) for word, value in map(str.split, self._read_text(name).splitlines())
        }


def _find_files(groups: Path, mounted: Path) -> tuple[tuple[str, ...], Path] | None:
    """Return the names of our control group's files and the directory where they are."""
    found = None
    try:
        for line in groups.read_text().splitlines():
            _number, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                # on a mixed system memory is where it is named
                return _V1_FILES, _find_directory(mounted / "memory", path)
            if controllers == "":
                found = _V2_FILES, _find_directory(mounted, path)
    except (OSError, ValueError):
        return None
    return found


def _find_directory(mounted: Path, path: str) -> Path:
    # without a namespace, a container sees its group's path on the node, and the group itself
    # mounted at the top
    own = mounted / path.lstrip("/")
    return own if own.is_dir() else mounted
