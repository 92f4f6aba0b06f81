"""Supervise one pilot: start it, outlive the daemon, and record how the pilot ended.

Run as ``python -I -S shim.py DIRECTORY`` by the process engine, once per pilot.
It imports the standard library alone, and little of it, because every pilot
pays for it.  What it promises:

* Nothing of the pilot survives it.  It is the pilot's *subreaper*: a process that
  changes its session or loses its parent becomes the shim's child, so killing
  children until there are none leaves nothing.  When the shim itself is killed,
  the kernel kills the pilot's main process.
* ``state.json`` exists before the pilot's first instruction, and ``exit.json``
  before the shim ends, so a daemon that starts later finds both.
* The grace of a stop is kept here, so it ends in time though the daemon died.

The shim runs at normal priority and sleeps; only the pilot is put last.
"""

# pathlib is not worth its import here: every pilot would pay for it.
# ruff: noqa: PTH105, PTH110, PTH208

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: Of 1000: the kernel takes pilots first when memory runs out, but not before a process that
#: asked for it.
_OOM_SCORE = 800
#: Seconds between two rounds against processes that do not die at once (a disk wait).
_KILL_PAUSE = 0.02
#: Seconds until a pilot that was killed and has not ended is killed again.
_KILL_AGAIN = 1.0
#: Exit codes that a shell gives for a command that is not there, or cannot run.
_NOT_FOUND, _NOT_RUNNABLE = 127, 126
_WATCHED = (signal.SIGCHLD, signal.SIGTERM)
_RESET = (
    signal.SIGPIPE,  # Python ignores it; a pilot's shell scripts expect it
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
)


def main(directory: str) -> NoReturn:
    """Run the pilot in ``directory``, and exit with its exit code."""
    # A stop that comes in the first milliseconds must wait until there is a pilot to stop.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    os.chdir(directory)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become the pilot's subreaper")
    spec = _load("spec.json")
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    pid, gate, report = _fork(spec, libc)
    try:
        _save("state.json", {**_identity(), "began": began, "pid": pid})
    except OSError:
        # No daemon could ever find this pilot again (directory gone, disk full): it must not run.
        _kill_all()
        raise
    os.write(gate, b"!")
    os.close(gate)
    failure = os.read(report, 500).decode("utf-8", "replace")
    os.close(report)
    code = _watch(pid, float(spec["stop_grace"]))
    _kill_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        _save(
            "exit.json",
            {
                "code": code,
                "detail": failure,
                "lived": time.clock_gettime(time.CLOCK_BOOTTIME) - began,
                "cpu_seconds": used.ru_utime + used.ru_stime,
            },
        )
    except OSError as error:
        # A daemon that is the parent still gets the exit status below.
        print(f"plancton: cannot note the end of the pilot: {error}", file=sys.stderr)
        sys.stderr.flush()
    os._exit(code)


def _fork(spec: dict[str, Any], libc: ctypes.CDLL) -> tuple[int, int, int]:
    """Fork the pilot; return its pid, the pipe that lets it go, and the pipe with a failed exec."""
    wait, gate = os.pipe()
    report, failure_pipe = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(wait)
        os.close(failure_pipe)
        return pid, gate, report
    try:
        os.close(gate)
        # Its own session: a pilot that signals its process group must not hit the shim.
        os.setsid()
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent or not os.read(wait, 1):
            os._exit(_NOT_RUNNABLE)
        _put_last()
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir(spec["scratch"])
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606
    except OSError as error:
        reason = find_reason(error, spec["command"][0], spec["environment"].get("PATH", ""))
        told = f"cannot run {spec['command'][0]!r}: {os.strerror(reason)}"
        os.write(failure_pipe, told.encode())
        os._exit(_NOT_FOUND if reason == errno.ENOENT else _NOT_RUNNABLE)
    finally:
        os._exit(_NOT_RUNNABLE)


def find_reason(error: OSError, program: str, path: str) -> int:
    """Return the errno of a failed exec.

    It is EACCES as soon as one directory of PATH may not be entered; a program that is in none of
    the others is not there all the same.
    """
    places = [] if "/" in program else path.split(os.pathsep)
    missing = bool(places) and not any(os.path.exists(f"{each}/{program}") for each in places)
    return errno.ENOENT if missing and error.errno == errno.EACCES else error.errno or errno.EIO


def _put_last() -> None:
    """Take the lowest priority, and be first for the kernel's OOM killer; each where allowed."""
    try:
        os.nice(19)
    except OSError:
        pass
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        pass
    # Where the kernel groups tasks by session, it weighs groups and not their tasks.
    for name, value in (("oom_score_adj", str(_OOM_SCORE)), ("autogroup", "19")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(value)
        except OSError:
            pass


def _watch(pid: int, default_grace: float) -> int:
    """Wait for the end of the pilot's main process; returns its exit code, or 128 + signal."""
    deadline = None
    asked = os.path.exists("stop.json")  # asked before there was a shim to signal
    if asked:
        deadline = _ask_to_end(pid, None, default_grace)
    while True:
        code = _reap(pid)
        if code is not None:
            return code
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            # Also those that it left to us: one that traces it keeps us from waiting for it.
            for child in _children():
                _kill(child)
            left = _KILL_AGAIN
            deadline = time.monotonic() + left
        got = signal.sigwaitinfo(_WATCHED) if left is None else signal.sigtimedwait(_WATCHED, left)
        if got is not None and got.si_signo == signal.SIGTERM:
            deadline = _ask_to_end(None if asked else pid, deadline, default_grace)
            asked = True


def _ask_to_end(pid: int | None, deadline: float | None, default_grace: float) -> float:
    """Pass SIGTERM on, once; return the deadline, which is never later than the old one."""
    try:
        until = float(_load("stop.json")["until"])
        grace = max(until - time.clock_gettime(time.CLOCK_BOOTTIME), 0.0)
    except (OSError, ValueError, KeyError):
        grace = default_grace  # signalled by another process, e.g. at shutdown
    if pid is not None and grace > 0:
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            pass
    new = time.monotonic() + grace
    return new if deadline is None else min(deadline, new)


def _reap(pid: int) -> int | None:
    """Collect every child that ended; return the exit code of ``pid`` if it is among them."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == pid:
            number = os.waitstatus_to_exitcode(status)
            code = number if number >= 0 else 128 - number


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        # Dying takes CPU time too, of which an idle task gets none while the owner is busy.
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, pid, 0)
    except OSError:
        pass  # it is gone, or we may not: then it dies when there is room


def _kill_all() -> None:
    """SIGKILL children until there are none; the orphans of the dead become children."""
    while True:
        for child in _children():
            _kill(child)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_KILL_PAUSE)


def _children() -> list[int]:
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        pass  # a kernel without CONFIG_PROC_CHILDREN
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    parent = file.read().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == me:
                found.append(int(name))
    return found


def _identity() -> dict[str, Any]:
    """Return what distinguishes this process from a later one with the same pid."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    return {"shim_pid": os.getpid(), "shim_ticks": ticks, "boot": boot}


def _load(name: str) -> dict[str, Any]:
    with open(name, encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded


def _save(name: str, content: dict[str, Any]) -> None:
    """Write the file in one step, so that no reader sees half of it."""
    with open(f"{name}.new", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(f"{name}.new", name)


if __name__ == "__main__":
    main(sys.argv[1])
