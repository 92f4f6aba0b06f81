"""Runs one task as HTCondor's starter would, and ends it when told to.

The job's environment is what its description asked for plus HTCondor's own
variables and those that tell about the node (``FEATURES``); nothing else of the worker's
environment reaches it. The job leads a
session of its own, as its own user where the worker is root; whatever it
starts is killed when it ends.

A job must die with its worker, or it would run twice. Outside containers the child asks the
kernel for that (PDEATHSIG), which takes a fork; the first process of a container needs no such
request, and starts jobs by the cheaper vfork.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from thyme.protocol.events import HoldReason, Usage
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import Task

from . import processes
from .ipc_objects import remove_ipc_objects
from .sandbox import JOB_AD, MACHINE_AD, STDERR, STDOUT, Sandbox
from .start_errors import CannotStart, one_line, translate_start_error
from .usage import UsageMeter
from .users import JobUser

#: Machine/Job Features (HSF-TN-2016-02), and until when the pilot may expect to live.
FEATURES = ("MACHINEFEATURES", "JOBFEATURES", "PLANCTON_LIFE")
#: Seconds between two looks at what a job uses: the first soon, as many jobs are short.
FIRST_LOOK, LOOK_INTERVAL = 0.25, 3.0
#: Seconds until a job that was killed and still runs is killed again.
KILL_AGAIN = 1.0
#: The kernel, out of memory, takes the job before the worker, which has to report that.
_OOM_SCORE = b"1000"
#: Bytes that the kernel reads of a script's first line.
_LONGEST_FIRST_LINE = 256
_TO_QUOTE = re.compile(r"[ \t\r\n']+")


@dataclass(frozen=True)
class ExecutionResult:
    """How the job's first process ended: exactly one of exit code and signal is set.

    ``dumped_by``: its process id if it left a core file, else 0. ``is_gone``: whether nothing of
    it still runs.
    """

    exit_code: int | None
    signal: int | None
    usage: Usage
    dumped_by: int = 0
    is_gone: bool = True


class Execution:
    """A running job. ``poll`` tells whether it has ended; SIGCHLD says when that may be."""

    def __init__(
        self,
        task: Task,
        sandbox: Sandbox,
        slot: str,
        clock: Callable[[], float],
    ) -> None:
        """Start it; raises CannotStart, or NodeUnfit."""
        self._task = task
        self._clock = clock
        self._user = sandbox.user
        self._received = sandbox.received
        self._started = clock()
        self._next_look = self._started + FIRST_LOOK
        self._kill_at: float | None = None
        self._outcome: ExecutionResult | None = None
        self._meter = UsageMeter(sandbox.path, self._user)
        # a child begins as a copy of us, and the kernel counts that as its size
        self._size_of_the_copy = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with self._user.acting():
            self._process = self._start(sandbox, slot)
            _raise_oom_scores(self._process.pid)
        # it may have ended before the first look that is due
        self._meter.look_at_first(self._process.pid)

    def _start(self, sandbox: Sandbox, slot: str) -> subprocess.Popen[bytes]:
        task, scratch = self._task, str(sandbox.path)
        # an absolute path stays what it is
        program = str(Path(scratch, task.executable))
        directory = os.path.join(scratch, task.directory) if task.directory else scratch  # noqa: PTH118
        # unlike Path.is_dir this is False, not an error, for whatever a path may hold
        if not os.path.isdir(directory):  # noqa: PTH112
            text = f"Error from {slot}: the job's directory {directory}"
            text = one_line(text, " does not exist on this node")
            raise CannotStart(HoldReason(HoldReasonCode.IWD_ERROR, 2, text))
        stdout, stderr = sandbox.open_stream(STDOUT), sandbox.open_stream(STDERR)
        with _open_stdin(os.path.join(scratch, task.stdin or os.devnull)) as stdin:  # noqa: PTH118
            try:
                return processes.start_process(
                    [program, *task.arguments],
                    directory,
                    build_environment(task, scratch, slot, self._user),
                    (stdin, stdout, subprocess.STDOUT if task.merge_stderr else stderr),
                    self._user,
                    sandbox.path,
                )
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                text = f"Error from {slot}: Failed to execute '{program}'"
                if task.arguments:
                    text += f" with arguments {_format_arguments(task.arguments)}"
                missing = _find_missing_interpreter(program)
                cause = f"invalid interpreter ({missing}) specified on first line of script "
                raise translate_start_error(
                    error, HoldReasonCode.FAILED_TO_CREATE_PROCESS, text, cause if missing else ""
                ) from error

    def poll(self) -> ExecutionResult | None:
        """Return how it ended, or None while it runs; ``clean_up`` returns all that it used."""
        if self._outcome is None:
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                outcome = self._ended(os.waitstatus_to_exitcode(status), used)
                dumped_by = pid if os.WCOREDUMP(status) else 0
                self._outcome = replace(outcome, dumped_by=dumped_by)
        return self._outcome

    def _ended(self, code: int, used: resource.struct_rusage) -> ExecutionResult:
        self._process.returncode = code
        peak = used.ru_maxrss if used.ru_maxrss > self._size_of_the_copy else 0
        usage = Usage(used.ru_utime, used.ru_stime, self._clock() - self._started, peak)
        return ExecutionResult(code if code >= 0 else None, -code if code < 0 else None, usage)

    def measure(self) -> None:
        """Measure what it uses, if that is due."""
        if self._clock() >= self._next_look and self._outcome is None:
            self._next_look = self._clock() + LOOK_INTERVAL
            self._meter.measure(self._process.pid)

    def get_usage(self) -> Usage:
        """Return what all its processes have used up to the last ``measure``."""
        meter, wall = self._meter, self._clock() - self._started
        cpu = meter.get_cpu_seconds()
        return Usage(*cpu, wall, meter.peak, meter.rss, meter.disk, self._received)

    def get_least_disk(self) -> int:
        """Return the KiB that its scratch directory had at least at the last ``measure``."""
        return self._meter.least_disk

    def suspend(self) -> None:
        """Stop all its processes; called again, also those started since."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue all its processes."""
        self._signal_all(signal.SIGCONT)

    def request_end(self) -> None:
        """Send the job's kill signal; ``kill_after_grace`` kills it when its grace has passed."""
        if self._kill_at is None:
            self._kill_at = self._clock() + self._task.kill_grace
            self._signal(self._task.kill_signal or signal.SIGTERM)
            # one that stands still would not heed it
            self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it now, with all that it has started; to be done again in a moment if it still runs.

        Whoever traces its first process, maybe from another group, keeps it from being waited for.
        """
        self._kill_at = self._clock() + KILL_AGAIN
        self._signal_all(signal.SIGKILL)

    def kill_after_grace(self) -> float | None:
        """Kill it if its grace has passed; else the seconds until then (None: not asked to end)."""
        if self._kill_at is None:
            return None
        if self._kill_at <= self._clock():
            self.kill()
        return max(self._kill_at - self._clock(), 0.0)

    def clean_up(self) -> ExecutionResult:
        """Kill what the ended job left running; return how it ended and all that it used."""
        if self._outcome is None:
            raise RuntimeError("clean_up before the end of the job")
        is_gone = processes.kill_descendants(self._user)
        remove_ipc_objects(self._user)
        self._meter.measure_end()
        first, meter = self._outcome.usage, self._meter
        usage = Usage(
            *meter.get_cpu_seconds(), first.wall, max(first.peak_rss, meter.peak), 0, meter.disk,
            self._received,
        )  # fmt: skip
        return replace(self._outcome, usage=usage, is_gone=is_gone)

    def _signal(self, number: int) -> None:
        """Send a signal to the job's own process group, as a terminal or HTCondor would."""
        if self._outcome is None:
            try:
                with self._user.acting():
                    os.killpg(self._process.pid, number)
            except (ProcessLookupError, PermissionError):
                pass  # gone: clean_up says what is left

    def _signal_all(self, number: int) -> None:
        if self._outcome is None:
            processes.signal_descendants(number, self._user)


def _format_arguments(arguments: Sequence[str]) -> str:
    """Format arguments as HTCondor's attribute Arguments: ``-c exit' '3``."""
    return " ".join(
        _TO_QUOTE.sub(lambda found: "'" + found[0].replace("'", "''") + "'", word) or "''"
        for word in arguments
    )


def _find_missing_interpreter(program: str) -> str:
    """Return the interpreter of the script's first line if it does not exist, else ""."""
    try:
        with open(program, "rb", buffering=0, opener=_open_without_waiting) as file:
            line = file.readline(_LONGEST_FIRST_LINE)
        interpreter = os.fsdecode(line[2:].split()[0]) if line.startswith(b"#!") else ""
        return "" if os.path.lexists(interpreter) else interpreter
    except (OSError, ValueError, IndexError):
        return ""


def _open_without_waiting(name: str, flags: int) -> int:
    """Open a file, also a pipe that nobody writes to."""
    return os.open(name, flags | os.O_NONBLOCK)


def _open_stdin(path: str) -> IO[bytes]:
    """Open the job's standard input; raises CannotStart or NodeUnfit."""
    try:
        stdin = open(path, "rb", buffering=0, opener=_open_without_waiting)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise translate_start_error(
            error, HoldReasonCode.UNABLE_TO_OPEN_INPUT, f"Failed to open '{path}' as standard input"
        ) from error
    os.set_blocking(stdin.fileno(), True)
    return stdin


def _raise_oom_scores(pid: int) -> None:
    """Raise the score of the job's first process, and of what that has started meanwhile."""
    _raise_oom_score(pid)
    for each in processes.list_descendants():
        if each != pid:
            _raise_oom_score(each)


def _raise_oom_score(pid: int) -> None:
    try:
        handle = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
        try:
            os.write(handle, _OOM_SCORE)
        finally:
            os.close(handle)
    except OSError:
        pass  # it has ended, or the node does not let us


def read_features(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the worker that tell a job about its node and how long it may run.

    They name directories with the Machine/Job Features of HSF-TN-2016-02: a job agent asks its
    central service for work that fits.
    """
    return {name: environ[name] for name in FEATURES if name in environ}


def build_environment(
    task: Task, scratch: str, slot: str, user: JobUser | None = None
) -> dict[str, str]:
    """Return the job's environment: its own, completed as HTCondor's starter does.

    ``scratch``: the absolute path of the scratch directory; ``slot``: its slot, ``NAME@NODE``.
    """
    given = dict(task.environment)
    for name in task.scratch_env:
        if name in given:
            given[name] = os.path.join(scratch, given[name])  # noqa: PTH118
    temporary = dict.fromkeys(
        ("TMPDIR", "TMP", "TEMP", "APPTAINER_CACHEDIR", "SINGULARITY_CACHEDIR"), scratch
    )
    return {
        "BATCH_SYSTEM": "HTCondor",
        **temporary,
        **(user or JobUser()).variables(scratch),
        **read_features(os.environ),
        **given,
        "_CONDOR_SCRATCH_DIR": scratch,
        "_CONDOR_JOB_IWD": str(Path(scratch, task.directory)) if task.directory else scratch,
        "_CONDOR_SLOT": slot.partition("@")[0],
        "_CONDOR_JOB_AD": str(Path(scratch, JOB_AD)),
        "_CONDOR_MACHINE_AD": str(Path(scratch, MACHINE_AD)),
        "_CONDOR_JOB_PIDS": "",
    }
