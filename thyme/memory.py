"""The memory limit of the control group that the worker lives in: a pilot's container, mostly.

Both versions of control groups are read, with or without a namespace of
their own; files and words are of the kernel's ``cgroup-v1/memory.rst`` and
``cgroup-v2.rst``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: v1 says this, rounded down to a page, for no limit (bytes).
_V1_UNLIMITED = 2**62
#: Bytes: the kernel charges in batches (32 pages for each CPU), and may stop before the limit.
_V1_SLACK = 2**20


@dataclass(frozen=True)
class Memory:
    """How often the kernel killed a process of the group, and how often that met its limit.

    ``limit`` in KiB; None where there is none.
    """

    kills: int
    hits: int
    limit: int | None


class MemoryGroup:
    """The group's files, found once; ``read`` costs two small files."""

    def __init__(
        self, groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
    ) -> None:
        self._v2 = False
        self._path: Path | None = None
        try:
            lines = groups.read_text().splitlines()
        except (OSError, UnicodeError):
            return
        for line in lines:
            _number, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                self._path, self._v2 = _group(mounted / "memory", path), False
                return  # on a mixed system memory is where it is named
            if controllers == "":
                self._path, self._v2 = _group(mounted, path), True

    def read(self) -> Memory | None:
        """None where it cannot be known."""
        if self._path is None:
            return None
        try:
            return _read_v2(self._path) if self._v2 else _read_v1(self._path)
        except (OSError, ValueError, KeyError):
            return None


def _group(mounted: Path, path: str) -> Path:
    # without a namespace, a container sees its group's path on the node, and the group itself
    # mounted at the top
    own = mounted / path.lstrip("/")
    return own if own.is_dir() else mounted


def _read_v2(group: Path) -> Memory:
    events = _words(group / "memory.events")
    limit = (group / "memory.max").read_text().strip()
    return Memory(events["oom_kill"], events["oom"], None if limit == "max" else int(limit) // 1024)


def _read_v1(group: Path) -> Memory:
    kills = _words(group / "memory.oom_control")["oom_kill"]
    limit = int((group / "memory.limit_in_bytes").read_text())
    if limit >= _V1_UNLIMITED:
        return Memory(kills, 0, None)
    # memory.failcnt stays 0 in some groups of 6.x kernels; whether the limit was ever met is sure
    met = int((group / "memory.max_usage_in_bytes").read_text()) >= limit - _V1_SLACK
    return Memory(kills, kills if met else 0, limit // 1024)


def _words(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in map(str.split, path.read_text().splitlines())}
