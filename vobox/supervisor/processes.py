"""Processes of the CE's user: start them, wait for them, end them.

Each runs a shell line and leads its own process group. SIGTERM, SIGINT and SIGCHLD are blocked and
taken up in ``wait`` alone, so that a signal never interrupts anything else. We also wait for
processes whose parent has ended: PID 1 has to, and elsewhere nothing of a CE outlives us.
"""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from .settings import User

#: Characters of the last line that a command prints, kept as the reason of a failure.
REASON = 300
#: Bytes read at the end of what a command has printed.
OUTPUT = 8192
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
#: From linux/prctl.h.
_PR_SET_CHILD_SUBREAPER = 36


class StopRequested(Exception):
    """SIGTERM or SIGINT has arrived; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Result(NamedTuple):
    """How a command ended; ``code`` None: it was killed because its time was over."""

    code: Optional[int]
    last_line: str = ""

    def __str__(self) -> str:
        how = "its time was over" if self.code is None else describe_code(self.code)
        return how + (" (%s)" % self.last_line if self.last_line else "")


def describe_code(code: int) -> str:
    """Describe an exit code of Popen: negative, it is a signal's number."""
    return "signal %d" % -code if code < 0 else "exit code %d" % code


def log(name: str, text: str) -> None:
    """Print one line of the log: time, who, text."""
    try:
        sys.stdout.write("%s %s: %s\n" % (time.strftime("%Y-%m-%d %H:%M:%S"), name, text))
        sys.stdout.flush()
    except (OSError, ValueError):
        pass  # nobody reads the log any more; the CE must not suffer for it


class System:
    """Clock and processes; ``user`` None: processes run as the user who we are."""

    def __init__(self, user: Optional[User]) -> None:
        self._user = user
        self._own: Dict[int, "subprocess.Popen[bytes]"] = {}
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except (OSError, AttributeError):
            pass  # on a kernel before 3.4 init takes the orphans

    def monotonic(self) -> float:
        """Return the monotonic clock, in seconds."""
        return time.monotonic()

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Wait until the time is over or a child has ended. Raises StopRequested."""
        received = signal.sigtimedwait(_SIGNALS, max(0.0, seconds))
        for pid, zombie in _list_children():
            if zombie and pid not in self._own:
                os.waitpid(pid, os.WNOHANG)
        if received is not None and received.si_signo != signal.SIGCHLD:
            raise StopRequested(received.si_signo)

    def start(
        self, line: str, environment: Mapping[str, str], output: Optional[int] = None
    ) -> "subprocess.Popen[bytes]":
        """Start a shell line in HOME; ``output``: a file descriptor, else ours. Raises OSError.

        Where HOME cannot be used the process says so and ends with 127.
        """
        home = environment.get("HOME", "/")
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        try:
            process = subprocess.Popen(
                [shell, "-c", line], env=dict(environment), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT if output else None,
                preexec_fn=lambda: self._become_user(home),
            )  # fmt: skip
        except (ValueError, subprocess.SubprocessError) as error:
            # we cannot become the user, as in a user namespace that does not know it
            raise OSError(errno.EPERM, str(error)) from None
        self._own[process.pid] = process
        return process

    def _become_user(self, home: str) -> None:
        # between fork and exec: system calls only
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if self._user is not None:
            os.setgroups(self._user.groups)
            os.setgid(self._user.gid)
            os.setuid(self._user.uid)
        try:
            os.chdir(home)  # now: a file server may not trust root
        except OSError as error:
            os.write(2, ("HOME=%s: %s\n" % (home, error.strerror)).encode("utf-8", "replace"))
            os._exit(127)

    def run(
        self, line: str, environment: Mapping[str, str], timeout: float, show: str = ""
    ) -> Result:
        """Run a shell line to its end, then kill what it has left in its process group.

        ``show``: the name under which its output is logged. Raises StopRequested.
        """
        try:
            with tempfile.TemporaryFile() as output:
                process = self.start(line, environment, output.fileno())
                code = self._finish(process, timeout)
                self.kill_group(process)
                output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT))
                lines = output.read(OUTPUT).decode("utf-8", "replace").splitlines()
        except OSError as error:
            return Result(127, error.strerror or str(error))
        lines = [text.rstrip() for text in lines if text.strip()]
        for text in lines if show else ():
            log(show, text)
        return Result(code, lines[-1][-REASON:] if lines else "")

    def run_service(self, line: str, environment: Mapping[str, str], timeout: float) -> Result:
        """Run a shell line that leaves daemons behind; its output and theirs is ours.

        ``line``: for ``sh -c``; ``timeout``: seconds.
        """
        try:
            return Result(self._finish(self.start(line, environment), timeout))
        except OSError as error:
            return Result(127, error.strerror or str(error))

    def _finish(self, process: "subprocess.Popen[bytes]", timeout: float) -> Optional[int]:
        until = self.monotonic() + timeout
        try:
            while process.poll() is None:
                left = until - self.monotonic()
                if left <= 0:
                    return None
                self.wait(left)
            return process.returncode
        finally:
            if process.returncode is None:
                self.kill_group(process)
            del self._own[process.pid]

    def signal_group(self, process: "subprocess.Popen[bytes]", number: int) -> None:
        """Send a signal to a process and to all that has stayed in its group."""
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # all that is left of it is none of ours, as with ``sudo``

    def kill_group(self, process: "subprocess.Popen[bytes]") -> None:
        """Kill a process and all that has stayed in its group, and wait for it."""
        self.signal_group(process, signal.SIGKILL)
        process.wait()

    def forget(self, process: "subprocess.Popen[bytes]") -> None:
        """Let go of a process that has ended."""
        self._own.pop(process.pid, None)

    def kill_children(self, seconds: float = 5.0) -> None:
        """Kill every child that is left: a CE's orphans are ours."""
        until = self.monotonic() + seconds
        while self.monotonic() < until:
            children = _list_children()
            if not children:
                return
            for pid, zombie in children:
                try:
                    if zombie:
                        os.waitpid(pid, os.WNOHANG)
                    else:
                        os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)


def _list_children() -> List[Tuple[int, bool]]:
    """List our children, and whether each has ended already."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _read_stat(int(name))
            if stat is not None and stat[1] == os.getpid():
                found.append((int(name), stat[0]))
    return found


def is_zombie(pid: int) -> bool:
    """Tell whether a process has ended and only its parent does not know it yet."""
    stat = _read_stat(pid)
    return stat is not None and stat[0]


def _read_stat(pid: int) -> Optional[Tuple[bool, int]]:
    """Read whether a process has ended, and its parent; None if it cannot be seen.

    Its name, in parentheses, may be any bytes: every user chooses those of his processes.
    """
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0] == b"Z", int(fields[1])
