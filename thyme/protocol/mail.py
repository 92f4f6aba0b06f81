"""The messages that schedds and workers send each other directly; never in the stream.

``events.py`` has the messages of the stream, ``codec.py`` encodes both. Which way each kind goes:

==========================  =================================
claim, heartbeat            worker → the schedd's inbox
waiting                     worker → every schedd of its pool
claim_reply, control, peek  schedd → the worker's inbox
peeked                      worker → the schedd's inbox
==========================  =================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .events import Machine, Message, ScheddMessage, Usage
from .job import JobId


@dataclass(frozen=True)
class AttemptMail(ScheddMessage):
    """Mail about one attempt of a job; ``life``: the job's, see ``job.make_life``."""

    job: JobId
    attempt: int
    life: str = field(kw_only=True)


@dataclass(frozen=True)
class Claim(AttemptMail):
    """``worker`` asks whether it may start this attempt.

    ``machine``: what it offers; None where it could not tell. ``again``: the message was delivered
    before, or claimed by this worker.
    """

    kind = "claim"
    worker: str
    host: str
    machine: Machine | None = None
    again: bool = False


@dataclass(frozen=True)
class ClaimReply(AttemptMail):
    """The reply to a claim: yes (``run``: the start is recorded), no, or ``wait`` and ask again.

    ``reason`` says why not. After a no the worker acknowledges the job's message.
    """

    kind = "claim_reply"
    run: bool
    reason: str
    wait: bool = False


@dataclass(frozen=True)
class Heartbeat(AttemptMail):
    """``worker`` is running this attempt on ``host``, and what it has used so far."""

    kind = "heartbeat"
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
class Control(AttemptMail):
    """To a worker, about this attempt. ``action`` is one of ``ACTIONS``.

    remove, hold, vacate, superseded end it; vacate_fast ends it without a
    grace; suspend (SIGSTOP) and continue (SIGCONT) do not end it.
    """

    kind = "control"
    action: str


ACTIONS: Final = (
    "remove", "hold", "vacate", "vacate_fast", "superseded", "suspend", "continue",
)  # fmt: skip


@dataclass(frozen=True)
class Peek(AttemptMail):
    """To a worker: send some of a file of the running attempt, as ``Peeked`` to ``reply_to``.

    ``name``: path in the scratch directory (``_condor_stdout``, ``_condor_stderr`` are the
    streams). At most ``limit`` bytes from ``offset``; -1 means the last ``limit`` bytes.
    """

    kind = "peek"
    name: str
    offset: int
    limit: int


@dataclass(frozen=True)
class Peeked(AttemptMail):
    """The answer to a ``Peek``: ``data`` begins at ``offset`` of a file of ``size`` bytes now.

    ``reason``: why there is nothing to send; "" when the file was read.
    """

    kind = "peeked"
    name: str
    offset: int
    size: int
    data: bytes
    reason: str


#: All kinds of mail.
BY_MAIL: Final[tuple[type[Message], ...]] = (
    Claim, ClaimReply, Heartbeat, Waiting, Control, Peek, Peeked,
)  # fmt: skip


def make_schedd_inbox_name(schedd: str) -> str:
    """Return the name of the inbox of the schedd named ``schedd``."""
    return f"thyme.schedd.{schedd}"
