"""Measures what a running job uses: CPU, memory, and disk of its scratch directory.

CPU seconds are exact when the job has ended (the kernel adds up every child
that was waited for, and orphans become the worker's). Memory is looked at
every few seconds: the anonymous pages of all processes, and of pages of files
and of shared memory the largest share, as the processes of a job mostly map
the same ones. It is not read from the container's control group, which counts
the worker and the page cache too and remembers earlier jobs.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .users import JobUser

#: Entries of a scratch directory that are counted at once: mail has to be read meanwhile.
ENTRIES_AT_ONCE = 2000
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ProcessTreeUsage:
    """What all processes of a job use at one moment: seconds and KiB."""

    user_cpu: float = 0.0
    system_cpu: float = 0.0
    rss: int = 0
    #: the largest that any single one of them has been
    largest: int = 0


def read_process_usage(pids: list[int], proc: Path = Path("/proc")) -> ProcessTreeUsage:
    """Add up what these processes use; one that ends meanwhile counts as far as it can be read."""
    user = system = 0
    anonymous = files = shared = largest = 0
    for pid in pids:
        try:
            stat = (proc / str(pid) / "stat").read_bytes()
            status = (proc / str(pid) / "status").read_bytes()
        except OSError:
            continue
        # from the third on: the name before may hold anything; proc(5) counts from 1
        words = stat[stat.rindex(b")") + 2 :].split()
        # children that it has waited for are its own use from then on
        user += int(words[11]) + int(words[13])
        system += int(words[12]) + int(words[14])
        sizes = _parse_sizes(status)
        # kernels before 4.5 do not tell the kinds apart
        anonymous += sizes.get("RssAnon", sizes.get("VmRSS", 0))
        files = max(files, sizes.get("RssFile", 0))
        shared = max(shared, sizes.get("RssShmem", 0))
        largest = max(largest, sizes.get("VmHWM", 0))
    return ProcessTreeUsage(user * _TICK, system * _TICK, anonymous + files + shared, largest)


def _parse_sizes(status: bytes) -> dict[str, int]:
    found = {}
    for line in status.decode(errors="replace").splitlines():
        name, _colon, value = line.partition(":")
        if name.startswith(("Vm", "Rss")):
            found[name] = int(value.split()[0])
    return found


class UsageMeter:
    """Measures one job, from before its start to after its end; one job at a time."""

    def __init__(self, top: Path, user: JobUser) -> None:
        self._user = user
        self._before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._last = ProcessTreeUsage()
        self._peak = 0
        self._disk = DirectorySize(top)

    def measure(self, but: int) -> None:
        """Measure now, and reap the job's orphans; not ``but``, its first process."""
        processes.reap_children(but)
        self._last = read_process_usage(processes.list_descendants())
        self._peak = max(self._peak, self._last.rss, self._last.largest)
        with self._user.acting():
            self._disk.count(ENTRIES_AT_ONCE)

    def look_at_first(self, pid: int) -> None:
        """Measure the memory of the job's first process alone: this is quick."""
        with contextlib.suppress(OSError):  # it has ended
            sizes = _parse_sizes(Path(f"/proc/{pid}/status").read_bytes())
            self._peak = max(self._peak, sizes.get("VmHWM", 0))

    @property
    def rss(self) -> int:
        """KiB at the last look."""
        return self._last.rss

    @property
    def peak(self) -> int:
        """KiB, the largest at any look; 0 before the first."""
        return self._peak

    @property
    def disk(self) -> int:
        """KiB of the scratch directory when it was last counted to its end; 0 before."""
        return self._disk.size

    @property
    def least_disk(self) -> int:
        """KiB that the scratch directory has at least, also before it was counted to its end."""
        return self._disk.least

    def get_cpu_seconds(self) -> tuple[float, float]:
        """Return user and system seconds: up to the last look, or of all once nothing is left."""
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        user = waited.ru_utime - self._before.ru_utime
        system = waited.ru_stime - self._before.ru_stime
        return user + self._last.user_cpu, system + self._last.system_cpu

    def measure_end(self) -> None:
        """Measure once more when only files are left: they are counted, if not too many."""
        self._last = ProcessTreeUsage()
        with self._user.acting():
            self._disk.count(ENTRIES_AT_ONCE)


def measure_file_system(path: Path) -> tuple[int, int] | None:
    """Return what is free for users, and the size, of a path's file system in KiB.

    None where that cannot be known.
    """
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize // 1024, found.f_blocks * found.f_frsize // 1024


class DirectorySize:
    """Adds up the size of a directory in steps; what cannot be read does not count."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._walk: Iterator[int] | None = None
        self._sum = 0
        #: KiB at the last complete count
        self.size = 0

    @property
    def least(self) -> int:
        """KiB of what was counted so far, or of the last complete count if that is more."""
        return max(self.size, (self._sum + 1) // 2)

    def count(self, entries: int) -> None:
        """Count so many entries; after the last one the next step begins again."""
        if self._walk is None:
            self._walk, self._sum = _walk_blocks(str(self._top)), 0
        for _ in range(entries):
            blocks = next(self._walk, None)
            if blocks is None:
                self.size, self._walk = (self._sum + 1) // 2, None
                return
            self._sum += blocks


def _walk_blocks(top: str) -> Iterator[int]:
    """Yield the 512-byte blocks that each entry takes on the disk."""
    todo = [top]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
                        yield entry.stat(follow_symlinks=False).st_blocks
                    except OSError:
                        continue
        except OSError:
            continue
