"""Starts a job's first process; finds, signals, kills and reaps all that it starts (Linux)."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from thyme import privileges

from . import private_temporaries
from .users import JobUser

log = logging.getLogger(__name__)

#: Seconds that what a job left running has to die of SIGKILL.
_KILL_TIMEOUT = 10.0
#: Seconds between two looks whether they have, the first and at most.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1
#: How many of those that have not are named in the log.
_NAMED = 10
#: How often a signal to all processes is repeated for those that were born meanwhile.
_ROUNDS = 5
#: stdin, stdout, stderr, as subprocess takes them.
Streams = tuple[IO[bytes], IO[bytes], "IO[bytes] | int"]


def reset_signal_handling() -> None:
    """Let no signal that we ignore or block be ignored or blocked in the programs that we execute.

    A worker started in the background by a shell ignores SIGINT, and HTCondor's jobs do not. We
    go on ignoring it, with a handler: those end where a program begins.
    """
    for number in map(int, signal.valid_signals()):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def set_limits_of_jobs() -> None:
    """Let the programs that we execute have HTCondor's limits: any size of stack, no core file."""
    _soft, largest = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (largest, largest))
    set_largest_core_file(0)


def set_largest_core_file(size: int) -> None:
    """Let the programs that we execute leave core files of so many bytes; -1: as many as may be."""
    _soft, largest = resource.getrlimit(resource.RLIMIT_CORE)
    # RLIM_INFINITY is -1
    fits = size >= 0 and (largest == resource.RLIM_INFINITY or size <= largest)
    resource.setrlimit(resource.RLIMIT_CORE, (size if fits else largest, largest))


def start_process(
    command: list[str],
    directory: str,
    env: dict[str, str],
    streams: Streams,
    user: JobUser,
    scratch: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a job's first process, as a leader of its session, that dies with us.

    To be called while ``user`` is ``acting``. A job with a user that a worker chose has temporary
    directories of its own beside ``scratch``. Raises what subprocess.Popen raises.
    """
    stdin, stdout, stderr = streams
    parent = os.getpid()

    def give_up_rights() -> None:
        isolated = (
            user.is_automatic
            and scratch is not None
            and private_temporaries.isolate(scratch, [command[0], directory])
        )
        user.become()
        if isolated:
            os.chdir(directory)  # by its path: it may be on another mount now
        privileges.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    # the kernel ends everything in a container with its first process, and a child that needs to
    # do nothing itself is not made as a copy of us: that is three quarters of a short job's cost
    in_container = parent == 1 and not (user.is_self and os.geteuid() == 0)
    with user.executing() if in_container else contextlib.nullcontext():
        return subprocess.Popen(
            command,
            cwd=directory,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            umask=0o022,  # as HTCondor's starter
            preexec_fn=None if in_container else give_up_rights,
        )


def list_descendants() -> list[int]:
    """Return all processes below this one, whatever session or group they are in."""
    try:
        return list(_walk_children_files())
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return _scan_all_processes()


def _walk_children_files() -> Iterator[int]:
    """Ask each process for its children: a node may run thousands of others."""
    todo = _read_children(os.getpid())
    while todo:
        pid = todo.pop()
        yield pid
        with contextlib.suppress(OSError):  # it ended meanwhile
            todo += _read_children(pid)


def _read_children(pid: int) -> list[int]:
    """Return a process's children, the last born last; raises OSError."""
    children: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            children += map(int, (thread / "children").read_bytes().split())
        except OSError:
            if thread.name == str(pid):
                raise
    return children


def _scan_all_processes() -> list[int]:
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
            new = set(list_descendants()) - told
            if not new:
                return
            for pid in new:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            told |= new


def reap_children(but: int = 0) -> None:
    """Wait for children that have ended, except ``but``: orphans of a job or of a container."""
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_bytes()
    except OSError:
        return  # they stay until the job ends
    for word in children.split():
        if int(word) != but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(word), os.WNOHANG)


def kill_descendants(user: JobUser | None = None) -> bool:
    """Kill everything below this process until nothing is left, and reap it.

    Needs ``become_subreaper``: having no child then means that nothing is left.
    Gives up after ``_KILL_TIMEOUT``, says so and returns False: on what hangs in the kernel, or
    starts processes faster than we can kill them.
    """
    deadline = time.monotonic() + _KILL_TIMEOUT
    killed: set[int] = set()
    pause = _SHORTEST_PAUSE
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        # something lives: this look at the processes is the exception
        with (user or JobUser()).acting():
            new = set(_kill_children()) - killed
        if time.monotonic() > deadline:
            left = list_descendants()
            named = ", ".join(map(str, left[:_NAMED]))
            log.warning(
                "processes left behind that cannot be killed: %s (%d in all)", named, len(left)
            )
            return False
        if new:
            killed |= new
            pause = _SHORTEST_PAUSE  # no pause now: they may have started others
        else:
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _kill_children(parent: int | None = None) -> Iterator[int]:
    """Kill our children, or those of ``parent``; return the ids of those that we may kill.

    The children of what we kill are ours next. To look for them first would leave a process
    that lives for a moment the time to start the next one.
    """
    try:
        children = _read_children(parent or os.getpid())
    except OSError:  # it ended, or a kernel without CONFIG_PROC_CHILDREN
        children = [] if parent else _scan_all_processes()
    for pid in reversed(children):  # the last born before it has a child of its own
        try:
            os.kill(pid, signal.SIGKILL)
            yield pid
        except ProcessLookupError:
            continue
        except PermissionError:  # a setuid program, which may have started others
            yield from _kill_children(pid)
