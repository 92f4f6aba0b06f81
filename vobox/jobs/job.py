"""A job as the ledger knows it, and what an event about it asks for outside."""

from __future__ import annotations

from dataclasses import dataclass, field

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad

from . import ad_updates


@dataclass
class Job:
    """A job as the ledger knows it.

    ``attempt``: number of the current attempt; ``queued``: whether a message
    of that attempt is out (an idle job without one is to be queued again);
    ``worker``: who runs it, or is still ending it, "" for nobody;
    ``ended``: the last attempt whose worker told how it ended (-1: none);
    ``has_result``: it ended by itself, and its output is not on the submit host
    yet (JobStatus 6 until it is; held if it could not be written).
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


@dataclass(frozen=True)
class LogEvent:
    """Append this text to the job's user log."""

    text: str


@dataclass(frozen=True)
class Tell:
    """Send control mail to ``worker`` about its ``attempt``."""

    worker: str
    attempt: int
    action: str


@dataclass(frozen=True)
class SaveOutput:
    """Write what this run left, although the job is not done: held by its end, or to run again."""


Effect = LogEvent | Tell | SaveOutput


@dataclass
class Change:
    """What an event did: the job after it (None: the event is about no known job)."""

    job: Job | None
    effects: list[Effect] = field(default_factory=list)


def enter(job: Job, status: int, now: float) -> None:
    """Its state, and what its ad says of that, in one step. ``now``: epoch seconds."""
    ad_updates.entered(job.ad, status, job.status, now)
    job.status = status
