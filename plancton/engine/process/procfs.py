"""Read /proc about processes: which are alive, who descends from whom, what they use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plancton.model import PilotUsage

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: The variable that marks every process of a pilot that did not clear its environment.
MARK_VARIABLE = "PLANCTON_PILOT"

#: What may become of a signal, in /proc/PID/status (proc(5)).
_MASKS = ("SigCgt", "SigBlk", "SigIgn")
#: How runc calls itself in a container before it runs the command.
_RUNC = "runc:["


@dataclass(frozen=True)
class ProcessStat:
    """One line of /proc/PID/stat (proc(5))."""

    pid: int
    parent: int
    state: str
    #: ticks since boot
    start: int
    #: CPU seconds of the process and of the children that it waited for
    cpu_seconds: float


def read_stat(pid: int) -> ProcessStat | None:
    """Return the process; None when there is none (a zombie is one, with state ``Z``)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold anything, so everything is counted from its end.
            fields = file.read().rpartition(b")")[2].split()
        used = sum(int(field) for field in fields[11:15])
        return ProcessStat(
            pid, int(fields[1]), fields[0].decode("ascii"), int(fields[19]), used / _TICK
        )
    except (OSError, IndexError, ValueError):
        return None


def is_alive(pid: int, start: int) -> bool:
    """Tell whether this very process runs; a later one with the same pid is another one."""
    found = read_stat(pid)
    return found is not None and found.start == start and found.state not in "ZX"


def ignores_signal(pid: int, number: int) -> bool:
    """Tell whether the signal would be lost on ``pid``, the first process of a container.

    The kernel drops what such a process neither handles, nor blocks, nor waits for
    (pid_namespaces(7)), and a program that starts has no handler yet.  False where /proc does
    not tell.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if status["NSpid"].split()[1:][-1:] != ["1"]:
            return False
        # runc takes every signal until it becomes the command, and dies of them
        if status["Name"].startswith(_RUNC):
            return True
        handled = any(int(status[mask], 16) >> number - 1 & 1 for mask in _MASKS)
        return not handled and not _waits_for_signals(pid)
    except (OSError, KeyError, ValueError):
        return False


def _waits_for_signals(pid: int) -> bool:
    """Tell whether the process waits for signals, as an init does (tini for one).

    Meanwhile the kernel shows the signals that it waits for as not blocked.

    Raises OSError where that is not for us to see.
    """
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        if file.read().startswith("running"):
            return False
    with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
        return "sigtimedwait" in file.read()


def read_boot_id() -> str:
    """Return the kernel's boot id, which changes with each boot; "" when it cannot be read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def measure_trees(roots: Iterable[int]) -> dict[int, PilotUsage]:
    """Return what each root and everything below it uses, from one pass over /proc.

    CPU time counts each process and the children it waited for, so what ended and
    was reaped is still in.  Memory is anonymous memory (resident - shared): files
    that are mapped can be dropped and are counted as available by the kernel.
    """
    table = {process.pid: process for process in _everything()}
    children = _map_children(table.values())
    found = {}
    for root in roots:
        members = [table[pid] for pid in _walk(root, children) if pid in table]
        found[root] = PilotUsage(
            sum(member.cpu_seconds for member in members),
            sum(_anonymous(member.pid) for member in members),
        )
    return found


def kill_marked(pilot: str) -> int:
    """SIGKILL every process that carries the pilot's mark, and what it started.

    Only needed when the shim itself was killed: what it left has other parents now. A job's
    environment is clean; it dies with its worker, but not before the worker is gone.

    Returns:
        How many there were.
    """
    mark = f"{MARK_VARIABLE}={pilot}".encode()
    children = _map_children(_everything())
    found = {each for pid in _pids() if _is_marked(pid, mark) for each in _walk(pid, children)}
    killed = 0
    for pid in found:
        with suppress(OSError):  # gone
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False  # gone, or another user's, which cannot be part of the pilot


def _map_children(processes: Iterable[ProcessStat]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process.pid)
    return children


def _walk(root: int, children: Mapping[int, list[int]]) -> Iterator[int]:
    """Yield a process and everything below it."""
    todo = [root]
    while todo:
        yield (pid := todo.pop())
        todo += children.get(pid, ())


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 (ten times as fast)


def _everything() -> Iterator[ProcessStat]:
    for pid in _pids():
        process = read_stat(pid)
        if process is not None:
            yield process


def _anonymous(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            fields = file.read().split()
        return max(0, int(fields[1]) - int(fields[2])) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
