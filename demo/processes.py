"""Finds the demo's processes in /proc and ends them, and nobody else's.

Every program of the demo carries ``PLANCTON_DEMO=<root>`` in its environment.
A job's environment is clean, but its scratch directory lies below the root
and the worker names it there. What Plancton itself runs beside a pilot has the
pilot's name in its environment and a path below the root on its command line.
A pid is signalled through a pidfd and only while it is the process that was
looked at.
"""

from __future__ import annotations

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
    """``ticks`` is its CPU time with that of its waited-for children, ``born`` its start time."""

    pid: int
    parent: int
    born: int
    ticks: int
    environment: Mapping[str, str]
    command: str

    @property
    def pilot(self) -> str:
        """The pilot's name, of a pilot's own process; "" of any other."""
        return self.environment.get(_PILOT, "")


def marked(environment: Mapping[str, str], command: Sequence[str], root: Path) -> bool:
    """Whether a process with this environment and command belongs to the demo in ``root``."""
    below = f"{root}/"
    if environment.get(MARK) == str(root) or environment.get(_SCRATCH, "").startswith(below):
        return True
    return _PILOT in environment and any(word.startswith(below) for word in command)


def parse_stat(text: str) -> tuple[int, int, int]:
    """Parent, CPU ticks (own and waited-for children's) and start time of a /proc/PID/stat."""
    # The program's name stands in parentheses and may hold some itself.
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15]), int(fields[19])


def scan(root: Path) -> list[Process]:
    """All live processes of the demo in ``root``; not the caller, whose own is not marked."""
    return [found for pid in _pids() if (found := _look(pid, root)) is not None]


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def _look(pid: int, root: Path) -> Process | None:
    folder = Path("/proc", str(pid))
    try:
        environment = _environment((folder / "environ").read_bytes())
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if not marked(environment, words, root):
            return None
        parent, ticks, born = parse_stat((folder / "stat").read_text(errors="replace"))
    except OSError:  # it ended meanwhile, or is another user's
        return None
    return Process(pid, parent, born, ticks, environment, " ".join(words).strip())


def _environment(block: bytes) -> dict[str, str]:
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone."""
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


def kill_all(root: Path, seconds: float = 10.0) -> list[Process]:
    """kill -9 every process of the demo in ``root`` until none is left; returns what stays."""
    deadline = time.monotonic() + seconds
    while True:
        found = scan(root)
        if not found or time.monotonic() > deadline:
            return found
        for process in found:
            send(process, signal.SIGKILL)
        time.sleep(0.05)


def pilots(found: Iterable[Process]) -> dict[int, tuple[Process, list[Process]]]:
    """Each pilot's main process by pid, with all processes below it (itself first)."""
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
