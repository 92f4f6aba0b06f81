"""Linux's ways to keep hold of everything that a job starts."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from . import privileges
from .privileges import adopt_orphans
from .users import JobUser

__all__ = [
    "adopt_orphans", "descendants", "ignored_signals", "kill_descendants", "reap",
    "signal_descendants", "size", "start_as_a_job",
]  # fmt: skip

log = logging.getLogger(__name__)

#: Seconds that what a job left running has to die of SIGKILL.
_KILL_TIMEOUT = 10.0
#: How often a signal to all processes is repeated for those that were born meanwhile.
_ROUNDS = 5
_SIGNALS = tuple(map(int, signal.valid_signals()))


def ignored_signals() -> list[int]:
    """The signals that this process ignores, and that a child of it would ignore too."""
    return [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN]


def start_as_a_job(parent: int, ignored: list[int], user: JobUser) -> None:
    """In a new child: be ``user``, heed every signal, die with the process ``parent``.

    A worker started in the background by a shell ignores SIGINT, and HTCondor's jobs do not.
    What can be done before the fork is done there: this is most of what starting a job costs.
    """
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)  # as HTCondor's starter
    user.become()
    privileges.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def descendants() -> list[int]:
    """All processes below this one, whatever session or group they are in."""
    try:
        return list(_by_children_files())
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return _by_looking_at_all()


def _by_children_files() -> Iterator[int]:
    """By asking each process for its children: a node may run thousands of others."""
    todo = [os.getpid()]
    while todo:
        pid = todo.pop()
        if pid == os.getpid():
            Path(f"/proc/{pid}/task/{pid}/children").read_bytes()  # not there: raise
        else:
            yield pid
        with contextlib.suppress(OSError):  # it ended meanwhile
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    todo += map(int, (thread / "children").read_bytes().split())


def _by_looking_at_all() -> list[int]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_bytes()
            except OSError:
                continue  # it ended meanwhile
            # the name, in parentheses, may hold anything; the parent is the second word after it
            parent = int(stat[stat.rindex(b")") + 2 :].split()[1])
            children[parent].append(int(entry.name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def signal_descendants(number: int, user: JobUser) -> None:
    """Send a signal to everything below this process, also to what is born meanwhile."""
    told: set[int] = set()
    with user.acting():
        for _ in range(_ROUNDS):
            new = set(descendants()) - told
            if not new:
                return
            for pid in new:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            told |= new


def size() -> int:
    """Resident KiB of this process now."""
    pages = Path("/proc/self/statm").read_bytes().split()[1]
    return int(pages) * resource.getpagesize() // 1024


def reap(but: int = 0) -> None:
    """Bury children that have ended, except ``but``: orphans of a job, or of a whole container."""
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_bytes()
    except OSError:
        return  # they stay until the job ends
    for word in children.split():
        if int(word) != but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(word), os.WNOHANG)


def kill_descendants(user: JobUser | None = None) -> None:
    """Kill everything below this process until nothing is left, and reap it.

    Needs ``adopt_orphans``: having no child then means that nothing is left.
    Gives up on what hangs in the kernel after ``_KILL_TIMEOUT``, and says so.
    """
    deadline = time.monotonic() + _KILL_TIMEOUT
    pause = 0.001
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        # something lives: this look at the processes is the exception
        signal_descendants(signal.SIGKILL, user or JobUser())
        if time.monotonic() > deadline:
            log.warning("processes left behind that cannot be killed: %s", descendants())
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
