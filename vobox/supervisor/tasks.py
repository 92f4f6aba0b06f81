"""Processes: the one way out of the VO box's entry point.

Each task is a shell line that leads its own process group. What it prints goes to our own
standard output, a prefix before each line. PID 1 inherits every orphan, so all children are
reaped by one ``waitpid(-1)``, and none by ``Popen``.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .settings import User

#: Characters kept of the last line that a task prints, for a reason.
TAIL = 300
_LINE = 8192
#: These leave servants behind that go on when they have ended.
SERVANTS = {"ce-start"}
_PR_SET_CHILD_SUBREAPER = 36


class Done(NamedTuple):
    """A task that ended; ``code`` negative: by that signal."""

    task: str
    code: int
    tail: str


class Log:
    """One stream, whole lines, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, prefix: str, text: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with self._lock:
            try:
                sys.stdout.write("%s %s: %s\n" % (stamp, prefix, text))
                sys.stdout.flush()
            except (OSError, ValueError):
                pass  # nobody listens any more; the CE must not suffer for it


class Tasks:
    """Starts, signals and reaps; ``user`` None: everything as whoever we are."""

    def __init__(self, log: Log, user: Optional[User]) -> None:
        self._log = log
        self._user = user
        self._running: Dict[str, Tuple[subprocess.Popen[bytes], _Copier]] = {}
        _adopt_orphans()

    def start(self, task: str, line: str, environment: Mapping[str, str], loud: bool) -> None:
        """Run a shell line; ``loud``: what it prints is shown, else only kept. Raises OSError."""
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        process = subprocess.Popen(
            [shell, "-c", line], env=dict(environment), cwd=environment.get("HOME", "/"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=self._become,
        )  # fmt: skip
        out = process.stdout
        if out is not None:  # it is a pipe, as asked above
            self._running[task] = (process, _Copier(out, self._log if loud else None, task))

    def _become(self) -> None:
        # Between fork and exec: nothing but system calls.
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if self._user is not None:
            os.setgroups(self._user.groups)
            os.setgid(self._user.gid)
            os.setuid(self._user.uid)

    def signal(self, task: str, number: int) -> None:
        """To the task and all that has stayed in its group."""
        if task in self._running:
            try:
                os.killpg(self._running[task][0].pid, number)
            except ProcessLookupError:
                pass

    def reap(self) -> List[Done]:
        """Bury every child that has ended; those that were tasks."""
        found = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            for task, (process, copier) in list(self._running.items()):
                if process.pid == pid:
                    process.returncode = code  # so that Popen does not wait for it
                    if task not in SERVANTS:
                        self.signal(task, signal.SIGKILL)  # half a CE must not live on
                    del self._running[task]
                    found.append(Done(task, code, copier.last()))
        return found

    def end_rest(self, seconds: float = 5.0) -> None:
        """Kill the children that are left: a CE's orphans are ours."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            left = _children()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.reap()
            if not left:
                return
            time.sleep(0.02)


class _Copier(threading.Thread):
    """Reads a task's output to its end, which may be later than the task's."""

    def __init__(self, source: IO[bytes], log: Optional[Log], task: str) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._log = log
        self._task = task
        self._tail = ""
        self.start()

    def run(self) -> None:
        with self._source as source:
            for line in iter(lambda: source.readline(_LINE), b""):
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._tail = text[-TAIL:]
                if self._log is not None:
                    self._log(self._task, text)

    def last(self) -> str:
        """The last line, once all is read or a moment has passed (a daemon keeps the pipe)."""
        self.join(0.5)
        return self._tail


def _children() -> List[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.append(int(name))
    return found


def _adopt_orphans() -> None:
    """Be the parent of what a CE leaves behind, also where we are not PID 1."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # an old kernel; then init does it
