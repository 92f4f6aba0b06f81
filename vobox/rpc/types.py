"""The request of a condor command, its answer, and what a command may use of the schedd.

The wire format is in ``vobox/client/client.py`` (the client's side, standard library only)
and ``server.py`` (the schedd's side).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from thyme.protocol.job import JobId, Task
from vobox.classad.ad import Ad
from vobox.classad.cost import Charge, charge_nobody


class Caller(Protocol):
    """The client of a request, which the schedd can ask while it waits for its answer."""

    def stdin(self) -> bytes:
        """Return its standard input, to the end."""

    def run(self, argv: Sequence[str], limit: int) -> tuple[int, bytes]:
        """Let the client run a program.

        Returns the exit code (127: there is no such program) and at most ``limit`` bytes of its
        stdout. Raises CommandRefused if there was more, or if the client went away.
        """

    def keep_waiting(self) -> None:
        """Let the client know, from time to time, that its command is still at work.

        Raises CommandRefused if the client went away.
        """


@dataclass(frozen=True)
class Request:
    """One run of a condor command by a user.

    ``uid``, ``gid`` and ``user`` are the socket peer's, from the kernel (SO_PEERCRED),
    never from the client.
    """

    command: str
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    uid: int
    gid: int
    user: str
    stdin: bytes = b""
    caller: Caller | None = None
    #: is told how long each expression of the user took; raises ``TooSlow``
    charge: Charge = charge_nobody


@dataclass(frozen=True)
class Answer:
    """The output and exit code of a command.

    ``more``: further parts, printed as they come; the last one's code is the command's.
    """

    stdout: str = ""
    stderr: str = ""
    code: int = 0
    more: Iterator[Answer] | None = None


class QueueView(Protocol):
    """What the query commands may read of the ledger."""

    schedd_name: str  #: e.g. "vobox1.example.org"
    address: str  #: sinful string without brackets' content parsed, e.g. "<127.0.0.1:0>"
    trouble: str  #: why the answer cannot be trusted to be current; "" when it can
    is_partial: bool  #: whether jobs are missing, as the ledger is being made from nothing

    def pause(self) -> None:
        """Let others compute, if it is time; to be called often by who computes for long."""

    def begin_keeping_many(self) -> None:
        """Wait for the caller's other queries that keep many ads in memory until they are read.

        Called at most once. Raises CommandRefused where they are not read in time.
        """

    def read_jobs(
        self,
        clusters: Sequence[int] | None = None,
        owners: Sequence[str] | None = None,
        statuses: Collection[int] | None = None,
    ) -> Iterator[Ad]:
        """Yield the ads of the jobs in the queue, ordered by cluster and proc.

        ``clusters``, ``owners`` (compared without case) and ``statuses`` (JobStatus) may narrow
        what is read, to save time; other jobs can still be among the ads, so the caller checks
        each. None: any.
        """

    def read_history(
        self, clusters: Sequence[int] | None = None, oldest_first: bool = False
    ) -> Iterator[Ad]:
        """Yield the ads of the jobs that left the queue, newest first unless ``oldest_first``."""

    def count_jobs(self, owner: str | None = None) -> Mapping[int, int]:
        """Return the number of jobs in the queue by JobStatus, of one owner or of all."""

    def count_queued_before(self, job: JobId) -> int | None:
        """Return how many idle jobs of its pool were queued before this; None: it is not queued."""

    def read_slots(self) -> Iterator[Ad]:
        """Yield the machine ads of the workers that wait for a job or run one."""


class PreparedJob(NamedTuple):
    """One proc, as condor_submit made it from the submit description."""

    proc: int
    ad: Ad
    task: Task
    on_hold: bool = False  #: ``hold = true``: it is recorded, not queued
    unmatched: bool = False  #: no machine can meet its Requirements: recorded, and idle

    @property
    def is_recorded(self) -> bool:
        """Whether it is recorded in the stream only, so that no worker takes it yet."""
        return self.on_hold or self.unmatched


class SubmitTarget(Protocol):
    """What condor_submit needs of the schedd."""

    schedd_name: str
    address: str
    pool: str
    max_jobs: int  #: of one submit

    def list_pilots(self) -> Iterable[Mapping[str, str]]:
        """Return the ads of the pilots that are known."""

    def new_cluster(self) -> int:
        """Return the next cluster id; an id may stay unused, and is never given twice."""

    def submit(self, cluster: int, jobs: Sequence[PreparedJob]) -> None:
        """Queue all jobs or none; returns when condor_q shows them. Raises CommandRefused."""


class CommandRefused(Exception):
    """The schedd cannot carry out the command; the text is what follows ``ERROR: ``."""


class OwnerFiles(Protocol):
    """Files of the submit host, with the owner's rights."""

    def read(self, path: str) -> bytes:
        """Return the whole content of a file; raises OSError."""

    def mode(self, path: str) -> int:
        """Return a file's mode (st_mode); raises OSError."""

    def size(self, path: str) -> int:
        """Return a file's size in bytes; raises OSError."""

    def walk(self, path: str) -> Iterator[str]:
        """Yield relative paths of files and empty directories (``d/``) below; raises OSError."""

    def glob(self, directory: str, pattern: str) -> list[str]:
        """Return the paths that match, sorted and relative to ``directory``; raises OSError."""

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file; raises OSError."""
