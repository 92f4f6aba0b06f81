"""The control group that holds every pilot: it puts the owner first, and tells what pilots use.

Everything outside the group wins over everything inside it: ``cpu.idle`` (Linux
5.15) lets the group run only when nobody else wants the CPU.  Children keep their
own shares among themselves.  Without ``cpu.idle`` the lowest weight is the next best.
Both hold against the groups beside it alone: a group inside another one yields to its
neighbours there, and the outer group competes with everything else.

systemd writes its own settings into a slice's group again at ``systemctl daemon-reload``,
``daemon-reexec`` and its own upgrade.  Where the group is a slice, the same settings are
therefore given to systemd too; the files are read, and mended, in any case.

    cgroup v1   /sys/fs/cgroup/{cpu,cpuacct,memory}/plancton/
    cgroup v2   /sys/fs/cgroup/plancton/
    systemd     /sys/fs/cgroup/[...]/plancton.slice/    (a-b.slice lies in a.slice)

Formats: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plancton.model import Protection

#: The lowest weight that the kernel takes, where it has no cpu.idle.
_LOWEST = {1: ("cpu.shares", "2"), 2: ("cpu.weight", "1")}
_MEMORY_LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}
_NO_LIMIT = {1: "-1", 2: "max"}
#: Bytes that cannot be dropped when memory is short, by the fields of memory.stat.
_HELD = {1: ("total_rss", "total_shmem"), 2: ("anon", "shmem", "slab_unreclaimable")}
#: How engines name a container's own group.
_CHILDREN = ("{id}", "libpod-{id}", "docker-{id}.scope", "libpod-{id}.scope")
#: The kernel rounds a limit down to whole pages.
_PAGE = 4096
#: Seconds until an average over 10 s (PSI's avg10) has all but forgotten a wait.
_FORGOTTEN = 30.0
#: What cgroup v1 reads where there is no limit is at least this.
_UNLIMITED = 2**62

#: Gives a slice a property of systemd; returns what went wrong, "" if nothing did.
SetProperty = Callable[[str, str], str]


@dataclass(frozen=True)
class GroupUsage:
    """What a control group has used."""

    cpu_seconds: float
    #: bytes that cannot be dropped; None where the kernel does not tell
    memory_bytes: int | None


def find_version(root: Path) -> int:
    """Return 1 or 2: the hierarchy that has the controllers (a hybrid one is 1)."""
    return 2 if (root / "cgroup.controllers").is_file() else 1


def format_parent(name: str, driver: str) -> str:
    """Return the group as an engine wants it (``cgroup_parent`` of a container).

    Without the leading slash Docker would make it inside its own group.
    """
    if driver == "systemd":
        return make_slice_name(name)
    return "/" + name.strip("/")


def make_slice_name(name: str) -> str:
    """Return the group's name for systemd: ``batch/plancton`` is ``batch-plancton.slice``."""
    if name.endswith(".slice"):
        return name.strip("/").rpartition("/")[2]
    return name.strip("/").replace("-", "_").replace("/", "-") + ".slice"


def find_path(name: str, driver: str) -> str:
    """Return the group's path below a hierarchy."""
    if driver != "systemd":
        return name.strip("/")
    parts = make_slice_name(name).removesuffix(".slice").split("-")
    return "/".join("-".join(parts[: n + 1]) + ".slice" for n in range(len(parts)))


class PilotGroup:
    """The pilots' control group on this node."""

    def __init__(
        self, root: Path, name: str, driver: str, set_property: SetProperty | None = None
    ) -> None:
        """Prepare for one group; nothing is read or written yet.

        Args:
            root: where the node's control groups are mounted.
            name: the group below it, as configured.
            driver: the engine's cgroup driver, ``systemd`` or ``cgroupfs``.
            set_property: gives a slice a property; None where systemd cannot be asked.
        """
        self._root = root
        self._version = find_version(root)
        self._path = find_path(name, driver)
        self._slice = make_slice_name(name)
        self._is_slice = driver == "systemd"
        self._set_property = set_property if self._is_slice else None
        #: by name of a property: what systemd was last asked for, and why it refused
        self._asked: dict[str, tuple[str, str]] = {}
        #: what each file was left with, and its group's inode
        self._left: dict[Path, tuple[str, int]] = {}
        #: by group beside the pilots': how often something in it reached a limit of memory, and
        #: when it last did
        self._limits_reached: dict[Path, tuple[int, float]] = {}
        #: how often something else changed a file, and what is told of that
        self._changed: dict[Path, tuple[int, str]] = {}

    def protect(self, ceiling: int) -> Protection:
        """Put the protection in place, or back in place; ``ceiling`` in bytes, 0 for none.

        Cheap when all is well: nothing is written that is there already.
        """
        problems: list[str] = []
        cpu = self._hold_cpu(problems)
        memory = self._hold_memory(ceiling, problems)
        changes = tuple(told for _count, told in self._changed.values())
        outer = self._find_outer() if cpu else ""
        return Protection(str(self._directory("cpu")), cpu, memory, tuple(problems), changes, outer)

    def read_usage(self) -> GroupUsage | None:
        """Return what all pilots used, ended ones included; None when it cannot be read."""
        return self._usage(self._directory("cpuacct"), self._directory("memory"))

    def read_usage_of(self, container: str) -> GroupUsage | None:
        """Return what one container used; None if it does not run in this group."""
        for form in _CHILDREN:
            child = form.format(id=container)
            found = self._usage(
                self._directory("cpuacct") / child, self._directory("memory") / child
            )
            if found is not None:
                return found
        return None

    def read_stall_beside(self, now: float) -> float | None:
        """Return how long the group beside the pilots' waited for memory that waited most.

        A share of the last 10 s, in percent. None where that is not known: with cgroup v1, in a
        kernel without PSI, and without systemd, which alone leaves no task outside every group.
        A group in which something has just reached a limit of its own does not count: it would
        wait without pilots, too. ``now`` is a monotonic time in seconds.
        """
        if self._version == 1 or not self._is_slice:
            return None
        own = self._directory("memory")
        try:
            beside = [
                file.parent
                for place in (own, *self._between(own))
                for file in place.parent.glob("*/memory.pressure")
                if file.parent != place
            ]
        except OSError:
            return None
        found = []
        for group in beside:
            reached = _count_limits_reached(group)
            before, since = self._limits_reached.get(group, (0, -_FORGOTTEN))
            if reached != before:
                since = now
            self._limits_reached[group] = (reached, since)
            if now - since >= _FORGOTTEN:
                found.append(read_stall(group / "memory.pressure"))
        return max((stall for stall in found if stall is not None), default=None)

    def weigh(self, container: str, weight: int) -> None:
        """Give a container its share of the pilots' CPU: 1 to 10,000, where 100 is usual.

        One that is not there, or cannot be weighed, keeps what it has.
        """
        # cgroup v1 calls 1024 what v2 calls 100, and allows 2 and more.
        name, value = {
            1: ("cpu.shares", max(2, weight * 1024 // 100)),
            2: ("cpu.weight", weight),
        }[self._version]
        for form in _CHILDREN:
            path = self._directory("cpu") / form.format(id=container) / name
            if path.exists():
                try:
                    if _read(path) != str(value):
                        path.write_text(str(value), encoding="ascii")
                except OSError:
                    pass
                return

    def release_cpu(self, container: str) -> None:
        """Let a container that is to end run as everybody does.

        Ending takes CPU: the kernel gives memory back in the time of the process that held it,
        and a group that runs only when nothing else wants the CPU may never run.  What
        cannot be moved ends when there is time for it.
        """
        top = self._root if self._version == 2 else self._root / "cpu"
        for pid in self._list_pids(container):
            with suppress(OSError):
                (top / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def kill(self, container: str) -> int:
        """Kill what is left in a container's group; return how many processes there were."""
        pids = self._list_pids(container)
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def _list_pids(self, container: str) -> list[int]:
        """Return a container's processes, but those outside our pid namespace, which read 0."""
        pids: list[str] = []
        for form in _CHILDREN:
            with suppress(OSError):
                file = self._directory("cpu") / form.format(id=container) / "cgroup.procs"
                pids += file.read_text(encoding="ascii").split()
        return [int(pid) for pid in pids if pid != "0"]

    def _directory(self, controller: str) -> Path:
        if self._version == 2:
            return self._root / self._path
        return self._root / controller / self._path

    def _hold_cpu(self, problems: list[str]) -> str:
        directory = self._directory("cpu")
        problem = self._make(directory, "cpu")
        if problem:
            problems.append(problem)
            return ""
        if (directory / "cpu.idle").exists():
            # systemd before 252 knows no "idle", and leaves cpu.idle alone.
            problem = self._keep(
                directory / "cpu.idle", "1", ("CPUWeight=idle", "CPUWeight=1"), problems
            )
            if not problem:
                return "idle"
            problems.append(problem)
        name, value = _LOWEST[self._version]
        problem = self._keep(directory / name, value, ("CPUWeight=1",), problems)
        if problem:
            problems.append(problem)
            return ""
        return "weight"

    def _hold_memory(self, ceiling: int, problems: list[str]) -> int | None:
        directory = self._directory("memory")
        problem = self._make(directory, "memory")
        limit = directory / _MEMORY_LIMIT[self._version]
        if not problem:
            size = ceiling // _PAGE * _PAGE
            wanted = str(size) if ceiling else _NO_LIMIT[self._version]
            asked = f"MemoryMax={size if ceiling else 'infinity'}"
            problem = self._keep(limit, wanted, (asked,), problems)
        if problem:
            if ceiling:
                problems.append(problem)
            return None
        return ceiling or None

    def _find_outer(self) -> str:
        """Return the group inside which alone pilots come last; "" if they do everywhere."""
        for parent in self._between(self._directory("cpu")):
            idle = parent / "cpu.idle"
            name, value = ("cpu.idle", "1") if idle.exists() else _LOWEST[self._version]
            try:
                if _read(parent / name) == value:
                    continue
            except OSError:
                pass
            return str(parent)
        return ""

    def _keep(self, path: Path, value: str, asked: tuple[str, ...], problems: list[str]) -> str:
        """Write a setting unless it is there, and have systemd keep it.

        Args:
            path: a file of the group.
            value: what it has to hold.
            asked: the same as a property of systemd, and others for one that does not know it.
            problems: what systemd refused is added to them.

        Returns:
            What went wrong, "" if nothing did.
        """
        try:
            found, group = _read(path), path.parent.stat().st_ino
            # A group that was removed and made anew is not one that somebody changed.
            left, of_group = self._left.get(path, (found, group))
            if found != left and group == of_group:
                self._note_change(path, found)
            if refused := self._ask_systemd(asked, found == value):
                problems.append(refused)
            if _read(path) != value:
                path.write_text(value, encoding="ascii")
            self._left[path] = value, group
        except OSError as error:
            return f"{path}: {error.strerror}"
        return ""

    def _note_change(self, path: Path, found: str) -> None:
        """Note that something else wrote ``found``; told anew each time that doubles the number.

        What is told is logged whenever it differs: something that never gives in fills no log.
        """
        count, told = self._changed.get(path, (0, ""))
        count += 1
        if count & (count - 1) == 0:
            told = (
                f"something else set {path.name} to {found} (at least {count}x since the daemon "
                "started), and it was set back"
            )
        self._changed[path] = count, told

    def _ask_systemd(self, asked: tuple[str, ...], kept: bool) -> str:
        """Have systemd keep a setting, unless it was asked and has kept it; return why not."""
        if self._set_property is None:
            return ""
        name = asked[0].partition("=")[0]
        before, refused = self._asked.get(name, ("", ""))
        if before != asked[0] or not kept:
            for each in asked:
                refused = self._set_property(self._slice, each)
                if not refused:
                    break
            self._asked[name] = asked[0], refused
        return refused

    def _make(self, directory: Path, controller: str) -> str:
        """Make a group; what went wrong, "" if nothing did."""
        try:
            for parent in reversed((directory, *self._between(directory))):
                if not parent.is_dir():
                    parent.mkdir()
                if self._version == 2 and parent != directory:
                    self._enable(parent, controller)
            if self._version == 2:
                self._enable(directory.parent, controller)
        except OSError as error:
            return f"{error.filename or directory}: {error.strerror}"
        return ""

    def _between(self, directory: Path) -> Iterator[Path]:
        top = (
            self._root
            if self._version == 2
            else self._root / directory.relative_to(self._root).parts[0]
        )
        for parent in directory.parents:
            if parent == top:
                return
            yield parent

    @staticmethod
    def _enable(parent: Path, controller: str) -> None:
        """Let a v2 group's children be held by the controller."""
        control = parent / "cgroup.subtree_control"
        if controller not in control.read_text(encoding="ascii").split():
            control.write_text(f"+{controller}", encoding="ascii")

    def _usage(self, cpu: Path, memory: Path) -> GroupUsage | None:
        try:
            if self._version == 2:
                stat = _fields(cpu / "cpu.stat")
                seconds = stat["usage_usec"] / 1e6
            else:
                seconds = int((cpu / "cpuacct.usage").read_text(encoding="ascii")) / 1e9
        except (OSError, ValueError, KeyError):
            return None
        try:
            held = _fields(memory / "memory.stat")
            size = sum(held.get(name, 0) for name in _HELD[self._version])
            return GroupUsage(seconds, size if _HELD[self._version][0] in held else None)
        except (OSError, ValueError):
            return GroupUsage(seconds, None)


def read_stall(path: Path) -> float | None:
    """Return ``full avg10`` of a file of PSI, in percent; None if it cannot be read."""
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("full avg10="):
                return float(line.split()[1].partition("=")[2])
    except (OSError, ValueError):
        pass
    return None


def _count_limits_reached(group: Path) -> int:
    """Return how often groups in this one, or itself, reached memory.high or memory.max."""
    try:
        lines = (group / "memory.events").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("high ", "max ")))
    except (OSError, ValueError):
        return 0  # where the controller is off, nothing has a limit


def _read(path: Path) -> str:
    """Return a setting as it is written: cgroup v1 reads a huge number where there is no limit."""
    found = path.read_text(encoding="ascii").strip()
    return _NO_LIMIT[1] if found.isdigit() and int(found) >= _UNLIMITED else found


def _fields(path: Path) -> dict[str, int]:
    """Return the values of a file of ``name number`` lines."""
    found = {}
    for line in path.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" ")
        found[name] = int(value)
    return found
