"""Linux's ways to keep hold of everything that a job starts."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import time
from collections import defaultdict
from pathlib import Path

log = logging.getLogger(__name__)

#: Seconds that what a job left running has to die of SIGKILL.
_KILL_TIMEOUT = 10.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = tuple(map(int, signal.valid_signals()))
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Processes whose parent dies below us become our children: ``descendants`` finds them."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def ignored_signals() -> list[int]:
    """The signals that this process ignores, and that a child of it would ignore too."""
    return [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN]


def start_as_a_job(parent: int, ignored: list[int]) -> None:
    """In a new child: heed every signal, and be killed when the process ``parent`` ends.

    A worker started in the background by a shell ignores SIGINT, and HTCondor's jobs do not.
    What can be done before the fork is done there: this is most of what starting a job costs.
    """
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def descendants() -> list[int]:
    """All processes below this one, whatever session or group they are in."""
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


def kill_descendants() -> None:
    """Kill everything below this process until nothing is left, and reap it.

    Needs ``adopt_orphans``: having no child then means that nothing is left.
    Gives up on what another user runs (a setuid program), or hangs in the
    kernel, after ``_KILL_TIMEOUT``, and says so.
    """
    deadline = time.monotonic() + _KILL_TIMEOUT
    pause = 0.001
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        # something lives: this look at all processes is the exception
        left = descendants()
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            log.warning("processes left behind that cannot be killed: %s", left)
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
