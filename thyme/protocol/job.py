"""A job: its id and what a worker has to run for it.

The words are HTCondor's: a job is one *proc* of a *cluster* and is written
``cluster.proc``; an *attempt* is the n-th run of a job, counted from 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

#: Seconds a running job is believed without a heartbeat, when it sets none.
DEFAULT_LEASE = 300.0
#: Bytes of stdout and of stderr that a worker returns; the middle of a longer one is cut.
DEFAULT_MAX_STREAM = 4 * 1024 * 1024
#: Bytes of each that it returns at most, whatever is asked: two fit into one message.
LARGEST_STREAM = 7 * 1024 * 1024
#: Bytes of changed files, all together, that a worker returns.
DEFAULT_MAX_OUTPUT = 64 * 1024 * 1024

#: Bytes of a file that are in memory at once.
_CHUNK = 256 * 1024
#: 18 digits fit every 64-bit integer.
_JOB_ID = re.compile(r"(\d{1,18})\.(\d{1,18})\Z", re.ASCII)


class JobId(NamedTuple):
    """``cluster.proc``, unique within one schedd; sorts as HTCondor sorts."""

    cluster: int
    proc: int

    @classmethod
    def parse(cls, text: str) -> JobId:
        """Read ``"12.0"``; raises ValueError for anything else."""
        match = _JOB_ID.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not a job id (cluster.proc)")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.cluster}.{self.proc}"


def find_runs(jobs: Iterable[JobId]) -> list[tuple[int, int, int]]:
    """Return (cluster, first proc, last proc) of each run of jobs that follow each other."""
    runs: list[tuple[int, int, int]] = []
    for cluster, proc in jobs:
        if runs and runs[-1][0] == cluster and runs[-1][2] == proc - 1:
            runs[-1] = (cluster, runs[-1][1], proc)
        else:
            runs.append((cluster, proc, proc))
    return runs


def make_life() -> str:
    """Return a random word for jobs that are being submitted: their life.

    Where a job's number is used again, the other job has another one. So what workers are told and
    report names it.
    """
    return os.urandom(8).hex()


@dataclass(frozen=True)
class SandboxFile:
    """A file, or an empty directory, that travels with the job or comes back from it.

    ``name`` is a path relative to the scratch directory, without ``..``;
    ``mode`` are the permission bits, e.g. 0o600 for a proxy.
    """

    name: str
    data: bytes
    mode: int = 0o644
    #: an empty directory; it has no data
    is_directory: bool = False


class FileOnDisk(SandboxFile):
    """A file whose bytes stay on the disk until its message is encoded: it may be large."""

    def __init__(self, name: str, path: Path, mode: int) -> None:
        for field_name, value in (("name", name), ("mode", mode), ("path", path)):
            object.__setattr__(self, field_name, value)

    path: Path

    @property
    def data(self) -> bytes:
        """The whole content; raises OSError."""
        return self.path.read_bytes()

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in chunks; raises OSError."""
        with self.path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                yield chunk


@dataclass(frozen=True)
class Task:
    """What to run, exactly as HTCondor's starter would.

    The environment is the whole environment that the submit description asks
    for; the worker adds HTCondor's own variables (``_CONDOR_SCRATCH_DIR``,
    ...) and nothing of its own environment.
    """

    #: absolute path on the node, or a name relative to the scratch directory
    executable: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    #: names of variables whose value is a path inside the scratch directory (X509_USER_PROXY);
    #: the worker makes the values absolute
    scratch_env: tuple[str, ...] = ()
    files: tuple[SandboxFile, ...] = ()
    #: name of the file (among ``files``) or absolute path that becomes stdin; "" is /dev/null
    stdin: str = ""
    #: run here instead of in the scratch directory ("" means scratch): should_transfer_files = NO
    directory: str = ""
    #: which files come back: None all new or changed ones at the top, () none, else these names
    output_files: tuple[str, ...] | None = None
    #: stderr goes into the same file as stdout (output == error in the description)
    merge_stderr: bool = False
    max_stream: int = DEFAULT_MAX_STREAM
    max_output: int = DEFAULT_MAX_OUTPUT
    #: signal that asks the job to end (kill_sig)
    kill_signal: int = 15
    #: seconds between asking and SIGKILL
    kill_grace: float = 10.0
    #: seconds (job_lease_duration) that it is believed without news; 0: the schedd's default
    lease: float = 0.0
    #: seconds that a run may last, from the start of the attempt (allowed_job_duration), and
    #: that its program may run (allowed_execute_duration); 0: as long as it likes
    allowed_job_duration: float = 0.0
    allowed_execute_duration: float = 0.0

    def forget_files(self) -> None:
        """Drop the input files, once they are on the disk, to free the memory for the job."""
        object.__setattr__(self, "files", ())
