"""Runs one task as HTCondor's starter would, and ends it when told to.

The job's environment is what its description asked for plus HTCondor's own
variables; nothing of the worker's environment reaches it. The job leads a
session of its own; whatever it starts is killed when it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import processes
from .faults import EXEC_FAILED, NO_DIRECTORY, NO_STDIN, CannotStart, fault, one_line
from .job import Task
from .message import HoldReason, Usage
from .sandbox import STDERR, STDOUT, Sandbox


@dataclass(frozen=True)
class Outcome:
    """How the job's first process ended: one of the two is set."""

    exit_code: int | None
    signal: int | None
    usage: Usage


class Execution:
    """A running job. ``on_exit`` is called once, from another thread, when it has ended."""

    def __init__(
        self,
        task: Task,
        sandbox: Sandbox,
        slot: str,
        clock: Callable[[], float],
        on_exit: Callable[[], None],
    ) -> None:
        """Start it; raises CannotStart, or NodeUnfit."""
        self._task = task
        self._clock = clock
        self._started = clock()
        self._kill_at: float | None = None
        self._outcome: Outcome | None = None
        self._process = self._start(sandbox, slot)
        self._waiter = threading.Thread(target=self._wait, args=(on_exit,), daemon=True)
        self._waiter.start()

    def _start(self, sandbox: Sandbox, slot: str) -> subprocess.Popen[bytes]:
        task, scratch = self._task, sandbox.path
        program = scratch / task.executable  # an absolute path stays what it is
        directory = scratch / task.directory
        # unlike Path.is_dir this is False, not an error, for whatever a path may hold
        if not os.path.isdir(directory):  # noqa: PTH112
            text = f"Error from {slot}: the job's directory {directory}"
            text = one_line(text, " does not exist on this node")
            raise CannotStart(HoldReason(NO_DIRECTORY, 2, text))
        stdout, stderr = sandbox.open_stream(STDOUT), sandbox.open_stream(STDERR)
        parent, ignored = os.getpid(), processes.ignored_signals()
        with _open_stdin(scratch / task.stdin if task.stdin else Path(os.devnull)) as stdin:
            try:
                return subprocess.Popen(
                    [str(program), *task.arguments],
                    cwd=directory,
                    env=environment(task, scratch, slot),
                    stdin=stdin,
                    stdout=stdout,
                    stderr=subprocess.STDOUT if task.merge_stderr else stderr,
                    start_new_session=True,
                    # the one thing that only the child can do: a worker killed with -9
                    # must not leave its job running, it will run elsewhere
                    preexec_fn=lambda: processes.start_as_a_job(parent, ignored),
                )
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                line = " ".join([f"'{program}'", *task.arguments])
                text = f"Error from {slot}: Failed to execute {line}"
                raise fault(error, EXEC_FAILED, text) from error

    def _wait(self, on_exit: Callable[[], None]) -> None:
        _pid, status, used = os.wait4(self._process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        self._outcome = Outcome(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            usage=Usage(
                used.ru_utime, used.ru_stime, self._clock() - self._started, used.ru_maxrss
            ),
        )
        on_exit()

    def outcome(self) -> Outcome | None:
        """How it ended, or None while it runs."""
        return self._outcome

    def usage(self) -> Usage:
        """What is known while it runs: wall-clock seconds and the first process's peak."""
        return Usage(wall=self._clock() - self._started, peak_rss=self.peak_rss())

    def peak_rss(self) -> int:
        """Peak resident KiB of the job's first process so far; 0 when it cannot be read."""
        try:
            status = Path("/proc", str(self._process.pid), "status").read_text()
        except OSError:
            return 0
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        return 0

    def ask_to_end(self) -> None:
        """Send the job's kill signal; ``keep_after`` kills it when its grace has passed."""
        if self._kill_at is None:
            self._kill_at = self._clock() + self._task.kill_grace
            self._signal(self._task.kill_signal or signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._kill_at = float("inf")
        self._signal(signal.SIGKILL)

    def keep_after(self) -> float | None:
        """Kill it if its grace has passed; else the seconds until then (None: not asked to end)."""
        if self._kill_at is None:
            return None
        left = self._kill_at - self._clock()
        if left <= 0:
            self.kill()
        return max(left, 0.0)

    def clean_up(self) -> None:
        """After its end: whatever it left running is killed."""
        self._waiter.join()
        processes.kill_descendants()

    def _signal(self, number: int) -> None:
        if self._outcome is None:
            try:
                os.killpg(self._process.pid, number)
            except (ProcessLookupError, PermissionError):
                pass  # gone, or all of another user: clean_up says what is left


def _open_stdin(path: Path) -> IO[bytes]:
    """Raises CannotStart or NodeUnfit. A pipe that nobody writes to does not stop us here."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK)

    try:
        stdin = open(path, "rb", buffering=0, opener=opener)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise fault(error, NO_STDIN, f"Failed to open '{path}' as standard input") from error
    os.set_blocking(stdin.fileno(), True)
    return stdin


def environment(task: Task, scratch: Path, slot: str) -> dict[str, str]:
    """The job's whole environment: its own, completed as HTCondor's starter does."""
    given = dict(task.environment)
    for name in task.scratch_env:
        if name in given:
            given[name] = str(scratch / given[name])
    temporary = {name: str(scratch) for name in ("TMPDIR", "TMP", "TEMP")}
    return {
        "BATCH_SYSTEM": "HTCondor",
        **temporary,
        **given,
        "_CONDOR_SCRATCH_DIR": str(scratch),
        "_CONDOR_JOB_IWD": str(scratch / task.directory),
        "_CONDOR_SLOT": slot.partition("@")[0],
    }
