"""Finds the demo's own processes in /proc, and ends them.

Every program of the demo carries ``PLANCTON_DEMO=<root>`` in its environment.
A job's environment is clean, but its scratch directory lies below the root
and the worker names it there. What Plancton itself runs beside a pilot has the
pilot's name in its environment and a path below the root on its command line.
A pid is signalled through a pidfd and only while it is the process that was
looked at.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "PLANCTON_DEMO"
_SCRATCH = "_CONDOR_SCRATCH_DIR"
_PILOT = "PLANCTON_PILOT"


@dataclass(frozen=True)
class Process:
    """A process; ``ticks`` is its CPU time with that of its reaped children, ``born`` its start."""

    pid: int
    parent: int
    born: int
    ticks: int
    environment: Mapping[str, str]
    command: str

    @property
    def pilot(self) -> str:
        """The name of the pilot that it is a process of; "" if of none."""
        return self.environment.get(_PILOT, "")


def is_marked(environment: Mapping[str, str], command: Sequence[str], root: Path) -> bool:
    """Tell whether a process belongs to the demo in ``root``.

    Args:
        environment: its environment variables.
        command: the words of its command line.
        root: the demo's directory.
    """
    below = f"{root}/"
    if environment.get(MARK) == str(root) or environment.get(_SCRATCH, "").startswith(below):
        return True
    return _PILOT in environment and any(word.startswith(below) for word in command)


def parse_stat(text: str) -> tuple[int, int, int]:
    """Parse /proc/PID/stat: parent, CPU ticks (with reaped children's) and start time."""
    # The program's name stands in parentheses and may hold some itself.
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15]), int(fields[19])


def find_processes(root: Path) -> list[Process]:
    """Find all live processes that the demo in ``root`` started; not the demo itself."""
    return [found for pid in _pids() if (found := _look(pid, root)) is not None]


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def _look(pid: int, root: Path) -> Process | None:
    folder = Path("/proc", str(pid))
    try:
        environment = _environment((folder / "environ").read_bytes())
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if not is_marked(environment, words, root):
            return None
        parent, ticks, born = parse_stat((folder / "stat").read_text(errors="replace"))
    except OSError:  # it ended meanwhile, or is another user's
        return None
    return Process(pid, parent, born, ticks, environment, " ".join(words).strip())


def _environment(block: bytes) -> dict[str, str]:
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def send_signal(process: Process, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; return False when it has ended."""
    with suppress(OSError):
        handle = os.pidfd_open(process.pid)
        try:
            stat = Path("/proc", str(process.pid), "stat").read_text(errors="replace")
            if parse_stat(stat)[2] == process.born:
                signal.pidfd_send_signal(handle, number)
                return True
        finally:
            os.close(handle)
    return False


def kill_all(root: Path, seconds: float = 60.0) -> list[Process]:
    """Kill every process of the demo in ``root`` (SIGKILL); return those left after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        found = find_processes(root)
        if not found or time.monotonic() > deadline:
            return found
        for process in found:
            if send_signal(process, signal.SIGKILL):
                _raise_priority(process.pid)
        time.sleep(0.05)


def _raise_priority(pid: int) -> None:
    """Let a killed process of a pilot end: it takes CPU time, of which an idle task may get none.

    pid: its number, which may be nobody's by now.
    """
    with suppress(OSError):  # it is gone, or we may not
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, pid, 0)


def group_by_pilot(found: Iterable[Process]) -> dict[int, tuple[Process, list[Process]]]:
    """Group processes by pilot: its main process, and all below it (itself first), by pid."""
    everyone = {process.pid: process for process in found}
    groups: dict[int, tuple[Process, list[Process]]] = {}
    for process in everyone.values():
        top: Process | None = None
        at: Process | None = process
        while at is not None:
            if at.pilot:
                top = at  # the outermost one: a worker's helper may inherit the name
            at = everyone.get(at.parent)
        if top is not None:
            groups.setdefault(top.pid, (top, []))[1].append(process)
    for top, members in groups.values():
        members.sort(key=lambda member: (member.pid != top.pid, member.born))
    return groups
