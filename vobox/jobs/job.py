"""A job as the ledger knows it, and the effects that an event about it can ask for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from thyme.errors import BadMessage
from thyme.protocol.events import Snapshot
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad


@dataclass
class Job:
    """A job as the ledger knows it.

    ``status``: HTCondor's JobStatus; ``attempt``: number of the current attempt;
    ``queued``: whether a message of that attempt is in the job queue (an idle job
    without one is to be queued again); ``worker``: the worker that runs it or is
    still ending it, "" for none; ``ended``: the last attempt whose worker reported
    its end (-1: none); ``losses``: attempts in a row whose worker was lost;
    ``lease``: seconds that a worker is believed without news, 0 for the schedd's own;
    ``has_result``: it ended by itself, and its output is not on the submit host yet
    (JobStatus 6 until it is; held if it could not be written); ``left_at``: when it
    left the queue, epoch seconds; ``life``: a random word, another one where the job's
    number was used before; ``failed_starts``: attempts in a row that
    no worker could run, or that were evicted within seconds; ``dead_letters``: messages in a row
    that were taken too often and never led to a start.

    What the stream reader notes, as ``apply`` does not know of records: ``version``: events
    of the job that were read; ``submitted``: offset of the record of the message that is, or
    was, in the job queue; ``recorded``: offset from which on the stream tells the
    whole job (-1: it is not known).
    """

    id: JobId
    uid: int
    gid: int
    pool: str
    ad: Ad
    status: int
    attempt: int = 0
    queued: bool = True
    worker: str = ""
    ended: int = -1
    losses: int = 0
    lease: float = 0.0
    has_result: bool = False
    in_queue: bool = True
    left_at: float = 0.0
    life: str = ""
    failed_starts: int = 0
    dead_letters: int = 0
    version: int = 0
    submitted: int = 0
    recorded: int = -1

    def copy(self) -> Job:
        """Return another job with the same values; its ad can be changed by itself.

        As ``dataclasses.replace``, in a fraction of the time: one is made for each event.
        """
        return Job.of_values(vars(self), ad=self.ad.copy())

    @classmethod
    def of_values(cls, values: Mapping[str, Any] | Iterable[tuple[str, Any]], **others: Any) -> Job:
        """Return the job with the values of all its attributes, in half of the constructor's time.

        :param values: attributes with their values
        :param others: further ones, or others than in ``values``
        """
        made = cls.__new__(cls)
        vars(made).update(values, **others)
        return made


#: What a snapshot's ``state`` has: all that the message has no field for.
_STATE: Final = {
    each.name: {"int": int, "bool": bool, "str": str, "float": float}[str(each.type)]
    for each in fields(Job)
    if each.name not in ("id", "uid", "gid", "pool", "ad")
}


def encode_state(job: Job) -> str:
    """Return the text of a snapshot's ``state``."""
    return json.dumps({name: getattr(job, name) for name in _STATE}, separators=(",", ":"))


def make_job(snapshot: Snapshot) -> Job:
    """Return the job of a snapshot; raises BadMessage."""
    try:
        values = json.loads(snapshot.state)
        state = {name: read(values[name]) for name, read in _STATE.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise BadMessage(f"snapshot: state {snapshot.state[:100]!r}: {error}") from error
    owner = (snapshot.uid, snapshot.gid, snapshot.pool)
    return Job(snapshot.job, *owner, Ad(snapshot.ad), **state)


@dataclass(frozen=True)
class LogEvent:
    """Append this text to the job's user log."""

    text: str


@dataclass(frozen=True)
class ControlMessage:
    """Send ``action`` (see ``thyme.protocol.mail.Control``) to ``worker`` for its ``attempt``."""

    worker: str
    attempt: int
    action: str


@dataclass(frozen=True)
class SaveOutput:
    """Write the output of this run although the job is not completed: it is held or runs again."""


Effect = LogEvent | ControlMessage | SaveOutput
