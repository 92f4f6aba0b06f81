"""The kinds of message that travel between the schedd, the broker and the workers.

``codec.py`` puts them into bytes. Which way each kind goes:

========================================  ==========================================
submit                                    schedd → pool queue and stream
recorded, lost, removed, held, released,  schedd → stream
delivered, marker, edited, suspended,
continued
started                                   schedd, or worker, → stream
finished, evicted                         worker → stream
claim, heartbeat                          worker → the schedd's inbox (transient)
waiting                                   worker → every schedd of its pool (transient)
verdict, control, peek                    schedd → the worker's inbox (transient)
peeked                                    worker → the schedd's inbox (transient)
========================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from .errors import BadMessage
from .job import JobId, SandboxFile, Task


@dataclass(frozen=True)
class Message:
    """Base of all kinds."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class ScheddMessage(Message):
    """``schedd`` is the name of the schedd whose job, or whose mark, it is about."""

    schedd: str


@dataclass(frozen=True)
class JobMessage(ScheddMessage):
    """About one job; ``time`` is the sender's wall clock, seconds since the epoch."""

    job: JobId
    time: float


@dataclass(frozen=True)
class Submit(JobMessage):
    """Run this job: goes to the pool's queue and to the stream.

    ``ad`` is the job ad (attribute → ClassAd text). ``attempt`` > 0 is a
    re-queue of a job the stream already knows; its ``ad`` is then empty.
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
class Recorded(JobMessage):
    """A job submitted on hold: recorded in the stream, in no queue yet."""

    kind = "recorded"
    pool: str
    uid: int
    gid: int
    ad: dict[str, str]
    task: Task


@dataclass(frozen=True)
class Started(JobMessage):
    """Attempt ``attempt`` starts on ``host`` under ``worker`` (a mail address)."""

    kind = "started"
    attempt: int
    worker: str
    host: str


@dataclass(frozen=True)
class Usage:
    """What a run used, or has used so far: CPU and wall-clock seconds; KiB of memory at the
    most and now, of its scratch directory. 0 KiB is also said where nobody could measure.
    """

    user_cpu: float = 0.0
    system_cpu: float = 0.0
    wall: float = 0.0
    peak_rss: int = 0
    rss: int = 0
    disk: int = 0


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


@dataclass(frozen=True)
class HoldReason:
    """HTCondor's HoldReasonCode, HoldReasonSubCode (mostly an errno) and HoldReason."""

    code: int
    subcode: int
    text: str


@dataclass(frozen=True)
class Finished(JobMessage):
    """The job ended by itself: exactly one of ``exit_code`` and ``signal`` is set,
    or neither where ``hold`` says why it never ran."""

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


@dataclass(frozen=True)
class Evicted(JobMessage):
    """The job was ended before its time: by a control message or with its pilot."""

    kind = "evicted"
    attempt: int
    worker: str
    host: str
    reason: str
    usage: Usage


@dataclass(frozen=True)
class Lost(JobMessage):
    """No news of attempt ``attempt`` for its whole lease: the schedd gives it up."""

    kind = "lost"
    attempt: int
    reason: str


@dataclass(frozen=True)
class Removed(JobMessage):
    """``force``: a removed job leaves the queue although its worker has not answered."""

    kind = "removed"
    reason: str
    force: bool


@dataclass(frozen=True)
class Held(JobMessage):
    kind = "held"
    hold: HoldReason


@dataclass(frozen=True)
class Released(JobMessage):
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


@dataclass(frozen=True)
class Marker(ScheddMessage):
    """A schedd's own mark in the stream: read back, it shows that all before it was read.

    ``next_cluster`` keeps cluster ids from being used again after a rebuild.
    """

    kind = "marker"
    token: str
    next_cluster: int


@dataclass(frozen=True)
class Claim(ScheddMessage):
    """May ``worker`` start this attempt?"""

    kind = "claim"
    job: JobId
    attempt: int
    worker: str
    host: str


@dataclass(frozen=True)
class Verdict(ScheddMessage):
    """The answer to a claim; ``reason`` says why not.

    ``recorded``: the stream has it that the worker starts this attempt; it need not say so.
    """

    kind = "verdict"
    job: JobId
    attempt: int
    run: bool
    reason: str
    recorded: bool = False


@dataclass(frozen=True)
class Heartbeat(ScheddMessage):
    """``worker`` is running this attempt on ``host``, and what it has used so far."""

    kind = "heartbeat"
    job: JobId
    attempt: int
    worker: str
    host: str
    usage: Usage
    machine: Machine | None = None


@dataclass(frozen=True)
class Waiting(Message):
    """``worker`` waits for a job of ``pool`` on ``host`` (the slot, HTCondor's ``slot1@node``).

    Sent when it begins to wait and every ``interval`` seconds from then on; who hears nothing
    for some intervals forgets it. ``since``: when it began to wait, epoch seconds; ``jobs``:
    how many it has run; ``leaving``: it goes, and will not be heard of again.
    ``machine``: None where the worker could not tell.
    """

    kind = "waiting"
    worker: str
    host: str
    pool: str
    since: float
    interval: float
    machine: Machine | None
    jobs: int = 0
    leaving: bool = False


@dataclass(frozen=True)
class Control(ScheddMessage):
    """To a worker, about this attempt. ``action`` is one of ``ACTIONS``.

    remove, hold, vacate, superseded end it; vacate_fast ends it without a
    grace; suspend (SIGSTOP) and continue (SIGCONT) do not end it.
    """

    kind = "control"
    job: JobId
    attempt: int
    action: str


ACTIONS: Final = (
    "remove", "hold", "vacate", "vacate_fast", "superseded", "suspend", "continue",
)  # fmt: skip


@dataclass(frozen=True)
class Peek(ScheddMessage):
    """To a worker: send some of a file of the running attempt, as ``Peeked`` to ``reply_to``.

    ``name``: path in the scratch directory (``_condor_stdout``, ``_condor_stderr`` are the
    streams). At most ``limit`` bytes from ``offset``; -1 means the last ``limit`` bytes.
    """

    kind = "peek"
    job: JobId
    attempt: int
    name: str
    offset: int
    limit: int


@dataclass(frozen=True)
class Peeked(ScheddMessage):
    """The answer to a ``Peek``: ``data`` begins at ``offset`` of a file of ``size`` bytes now.

    ``reason``: why there is nothing to send; "" when the file was read.
    """

    kind = "peeked"
    job: JobId
    attempt: int
    name: str
    offset: int
    size: int
    data: bytes
    reason: str


#: kind → class
KINDS: Final[dict[str, type[Message]]] = {
    kind.kind: kind
    for kind in (
        Submit, Recorded, Started, Finished, Evicted, Lost, Removed, Held, Released, Delivered,
        Edited, Suspended, Continued, Vacated, Peek, Peeked, Marker, Claim, Verdict, Heartbeat,
        Waiting, Control,
    )
}  # fmt: skip

M = TypeVar("M", bound=Message)


def expect(message: Message, kind: type[M]) -> M:
    """``message`` if it is of that kind; raises BadMessage."""
    if not isinstance(message, kind):
        raise BadMessage(f"expected a {kind.kind} message, not {message.kind}")
    return message
