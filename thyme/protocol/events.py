"""The kinds of message in the stream; a submit is in its pool's queue, too.

``mail.py`` has those that are not, ``codec.py`` puts both into bytes. Which way each kind goes:

========================================  ==========================================
submit                                    schedd → pool queue and stream
recorded, lost, removed, held, released,  schedd → stream
delivered, left, not_completed, marker,
edited, suspended, continued, vacated,
shared, snapshot, stored
started                                   schedd → stream
finished, evicted                         worker → stream
========================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeVar

from thyme.errors import BadMessage

from .job import JobId, SandboxFile, Task


@dataclass(frozen=True)
class Machine:
    """What a worker offers to a job, in HTCondor's units: CPUs, MiB of memory, KiB of scratch.

    ``arch``, ``opsys`` and ``opsys_and_ver`` in HTCondor's spelling: ``X86_64``, ``LINUX``,
    ``AlmaLinux9``. ``load`` is the node's load average of the last minute.
    """

    cpus: int
    memory: int
    disk: int
    arch: str
    opsys: str
    opsys_and_ver: str
    load: float = 0.0

    def list_system(self) -> dict[str, str | int]:
        """Return the attributes of a machine ad that tell the operating system."""
        found: dict[str, str | int] = {
            "Arch": self.arch, "OpSys": self.opsys, "OpSysAndVer": self.opsys_and_ver,
        }  # fmt: skip
        name = self.opsys_and_ver.rstrip("0123456789")
        version = self.opsys_and_ver[len(name) :][:9]
        if name:
            found["OpSysName"] = name
        if version:
            found["OpSysMajorVer"] = int(version)
        return found


@dataclass(frozen=True)
class Message:
    """Base of all kinds."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class ScheddMessage(Message):
    """A message about a schedd's job or marker; ``schedd`` is its name."""

    schedd: str


@dataclass(frozen=True)
class JobMessage(ScheddMessage):
    """A message about one job; ``time`` is the sender's wall clock, seconds since the epoch."""

    job: JobId
    time: float


@dataclass(frozen=True)
class RunMessage(JobMessage):
    """A job's task, or what comes of one of its runs; ``life``: see ``job.make_life``."""

    life: str = field(kw_only=True)


@dataclass(frozen=True)
class Submit(RunMessage):
    """Run this job: goes to the pool's queue and to the stream.

    ``ad`` is the job ad (attribute → ClassAd text), as the job finds it in ``.job.ad``.
    ``attempt`` > 0 is a re-queue of a job the stream already knows: the schedd then does not
    read its ``ad``.
    ``uid`` and ``gid`` own the job's files on the submit host.
    """

    kind = "submit"
    pool: str
    uid: int
    gid: int
    attempt: int
    ad: dict[str, str]
    task: Task


@dataclass(frozen=True)
class Recorded(RunMessage):
    """A job submitted on hold: recorded in the stream, in no queue yet."""

    kind = "recorded"
    pool: str
    uid: int
    gid: int
    ad: dict[str, str]
    task: Task


@dataclass(frozen=True)
class Started(RunMessage):
    """Attempt ``attempt`` starts on ``host`` under ``worker`` (a mail address).

    ``machine``: what the worker offers; None where it did not say.
    """

    kind = "started"
    attempt: int
    worker: str
    host: str
    machine: Machine | None = None


@dataclass(frozen=True)
class Usage:
    """What a run used, or has used so far.

    CPU and wall-clock seconds; KiB of memory, the most and now; KiB of the scratch directory.
    0 KiB also means that it could not be measured.
    """

    user_cpu: float = 0.0
    system_cpu: float = 0.0
    wall: float = 0.0
    peak_rss: int = 0
    rss: int = 0
    disk: int = 0
    #: bytes of the job's input files
    received: int = 0


#: Characters of a reason that a user gives, or an expression of his makes.
MAX_REASON: Final = 4096
_INT_LIMIT: Final = 2**31


#: What steers a terminal, of C0 and C1, but for line ends and tabs.
_CONTROLS: Final = {
    number: " " for number in (*range(32), *range(127, 160)) if number not in b"\t\n"
}


def clean_reason(text: str) -> str:
    """Return the text as others' terminals and user logs can show it.

    Control characters become blanks; of a longer text the first ``MAX_REASON`` characters are
    left, with a mark that there was more.
    """
    if len(text) > MAX_REASON:
        text = text[: MAX_REASON - 3] + "..."
    return text if text.isprintable() else text.translate(_CONTROLS)


@dataclass(frozen=True)
class HoldReason:
    """HTCondor's HoldReasonCode, HoldReasonSubCode (mostly an errno) and HoldReason.

    What a user's expression or a worker gives is cut to what every reader takes: numbers to 32
    bits, the text as by ``clean_reason``.
    """

    code: int
    subcode: int
    text: str

    def __post_init__(self) -> None:
        for name in ("code", "subcode"):
            if not -_INT_LIMIT <= (number := getattr(self, name)) < _INT_LIMIT:
                limit = _INT_LIMIT - 1 if number > 0 else -_INT_LIMIT
                object.__setattr__(self, name, limit)
        if (text := clean_reason(self.text)) != self.text:
            object.__setattr__(self, "text", text)


@dataclass(frozen=True)
class Finished(RunMessage):
    """The job ended by itself.

    Exactly one of ``exit_code`` and ``signal`` is set, or neither where ``hold`` says why the job
    never ran.
    """

    kind = "finished"
    attempt: int
    worker: str
    host: str
    exit_code: int | None
    signal: int | None
    usage: Usage
    stdout: bytes
    stderr: bytes
    files: tuple[SandboxFile, ...]
    hold: HoldReason | None


#: Reasons of evictions that are nobody's failure: the pilot's end, and what control mail asks for.
EVICTED_WITH_PILOT: Final = "evicted with its pilot"
VACATED: Final = "vacated"
ORDINARY_EVICTIONS: Final = frozenset({EVICTED_WITH_PILOT, VACATED, "removed", "held"})


@dataclass(frozen=True)
class Evicted(RunMessage):
    """The job was ended before its time: by a control message or with its pilot.

    ``exit_code``, ``signal``: how its program ended then; neither where it was never started.
    """

    kind = "evicted"
    attempt: int
    worker: str
    host: str
    reason: str
    usage: Usage
    exit_code: int | None = None
    signal: int | None = None


@dataclass(frozen=True)
class Lost(JobMessage):
    """No news of attempt ``attempt`` for its whole lease: the schedd gives it up.

    ``hold``: the job was lost too often, and is held instead of queued again.
    """

    kind = "lost"
    attempt: int
    reason: str
    hold: HoldReason | None = None


@dataclass(frozen=True)
class Removed(JobMessage):
    """``force``: a removed job leaves the queue although its worker has not answered."""

    kind = "removed"
    reason: str
    force: bool


@dataclass(frozen=True)
class Held(JobMessage):
    """The job is on hold."""

    kind = "held"
    hold: HoldReason


@dataclass(frozen=True)
class Released(JobMessage):
    """The job is no longer on hold."""

    kind = "released"
    reason: str


@dataclass(frozen=True)
class Edited(JobMessage):
    """These attributes (name → ClassAd text) have these values from now on."""

    kind = "edited"
    ad: dict[str, str]


@dataclass(frozen=True)
class Suspended(JobMessage):
    """The running job is to stand still; its worker is told by control mail."""

    kind = "suspended"
    reason: str


@dataclass(frozen=True)
class Continued(JobMessage):
    """The suspended job is to run on."""

    kind = "continued"
    reason: str


@dataclass(frozen=True)
class Vacated(JobMessage):
    """The run is to end, and the job to be queued again; ``force``: without a grace."""

    kind = "vacated"
    reason: str
    force: bool


@dataclass(frozen=True)
class Delivered(JobMessage):
    """Output and user log are on the submit host: a rebuilt ledger must not write them again."""

    kind = "delivered"


def is_of_life(event: JobMessage, life: str) -> bool:
    """Return whether the event can be of the job with that life, and not of another of its number.

    What only its schedd says names no life: its schedd knows one job of each number.
    """
    return not isinstance(event, RunMessage) or event.life == life


E = TypeVar("E", bound=JobMessage)
#: What can happen to many jobs alike: what users' commands do, and what is delivered together.
SHARED_KINDS: Final[tuple[type[JobMessage], ...]] = (
    Removed, Held, Released, Edited, Suspended, Continued, Vacated, Delivered,
)  # fmt: skip
#: Jobs of one shared event at most: its reader applies it to all of them in one step.
MAX_SHARING: Final = 1000


@dataclass(frozen=True)
class SharedEvent(ScheddMessage):
    """One event of several jobs: the same as such an event of each of them, in this order.

    So nothing that holds for events of single jobs is different here, and a reader may replace it
    by them.
    ``event``: that of the first job; ``job_ids``: all jobs, the first one included.
    """

    kind = "shared"
    event: JobMessage
    job_ids: tuple[JobId, ...]

    def list_events(self) -> Iterator[JobMessage]:
        """Yield the event of each job."""
        return (give_to(job, self.event) for job in self.job_ids)


def give_to(job: JobId, event: E) -> E:
    """Return the same event of another job, as ``dataclasses.replace``, which takes much longer."""
    made = object.__new__(type(event))
    vars(made).update(vars(event), job=job)
    return made


def share_events(events: Iterable[JobMessage]) -> list[JobMessage | SharedEvent]:
    """Return these events, with those that follow each other and differ in the job only as one."""
    found: list[JobMessage | SharedEvent] = []
    first: JobMessage | None = None
    jobs: list[JobId] = []

    def end_run() -> None:
        if first is not None:
            found.append(SharedEvent(first.schedd, first, tuple(jobs)) if len(jobs) > 1 else first)

    for event in events:
        if first is not None and len(jobs) < MAX_SHARING and _is_alike(first, event):
            jobs.append(event.job)
            continue
        end_run()
        first, jobs = event, [event.job]
    end_run()
    return found


def _is_alike(event: JobMessage, other: JobMessage) -> bool:
    """Return whether the events differ in nothing but their job, and may share a record."""
    if type(event) is not type(other) or not isinstance(event, SHARED_KINDS):
        return False
    return vars(event) == {**vars(other), "job": event.job}


@dataclass(frozen=True)
class NotCompleted(JobMessage):
    """The job's on_exit_hold or on_exit_remove does not let it be completed by the run that ended.

    It is held with ``hold``; None: it runs again, because of ``reason``. ``exit_code``, ``signal``
    and ``usage`` are those of the run.
    """

    kind = "not_completed"
    exit_code: int | None
    signal: int | None
    usage: Usage
    hold: HoldReason | None
    reason: str


@dataclass(frozen=True)
class Left(JobMessage):
    """The job was completed or removed, and its leave_in_queue keeps it in the queue no longer."""

    kind = "left"


@dataclass(frozen=True)
class StoredMessage(JobMessage):
    """Some of a message that the schedd keeps for a job; all of them come before its snapshot.

    ``name``: what it is kept for (``Ledger.put_body``); ``data`` begins at its byte ``offset``.
    """

    kind = "stored"
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class Snapshot(JobMessage):
    """A whole job, for readers that lack the records before.

    ``ad``: as it is now; ``state``: the schedd's own text (``vobox/jobs/job.py``).
    """

    kind = "snapshot"
    pool: str
    uid: int
    gid: int
    ad: dict[str, str]
    state: str


@dataclass(frozen=True)
class Marker(ScheddMessage):
    """A schedd's marker in the stream: when it is read back, all before it has been read.

    ``next_cluster`` keeps cluster ids from being used again after a rebuild.
    """

    kind = "marker"
    token: str
    next_cluster: int


#: All kinds of the stream.
IN_STREAM: Final[tuple[type[Message], ...]] = (
    Submit, Recorded, Started, Finished, Evicted, Lost, Removed, Held, Released, Delivered,
    NotCompleted, Left, Edited, Suspended, Continued, Vacated, SharedEvent, StoredMessage, Snapshot,
    Marker,
)  # fmt: skip

M = TypeVar("M", bound=Message)


def expect_kind(message: Message, kind: type[M]) -> M:
    """Return ``message`` if it is of that kind; raises BadMessage."""
    if not isinstance(message, kind):
        raise BadMessage(f"expected a {kind.kind} message, not {message.kind}")
    return message
