"""What a job's message among the dead letters does to the job (see ``fold.py``). Pure.

A broker puts a message aside when a worker could not read it, when each worker that took it
died, or when an administrator wants it so; it says so in the stream. Without this rule the job
would stay idle for ever, with a message out that nobody will get.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from thyme.protocol.events import HoldReason, JobMessage, Message, Submit
from vobox.classad.ad import literal
from vobox.jobs import ad_updates, user_log_events
from vobox.jobs.job import Change, Job, LogEvent, enter
from vobox.jobs.status import HELD, IDLE

#: HoldReasonCode "system policy", with a subcode (EBADMSG) that only dead letters have.
CODE: Final = 26
SUBCODE: Final = 74


@dataclass(frozen=True)
class PutAside(JobMessage):
    """The message of this attempt is among the dead letters. Never sent: made of a record's key."""

    kind = "put_aside"
    attempt: int
    reason: str


def event_of(message: Message, reason: str, now: float) -> PutAside | None:
    """What the record of a dead letter tells; None for one that is no job. ``now``: its time."""
    if not isinstance(message, Submit):
        return None
    return PutAside(message.schedd, message.job, now, message.attempt, reason)


def put_aside(job: Job, event: PutAside) -> Change:
    if not _waits(job) or event.attempt != job.attempt:
        return Change(job)  # it has gone on without that message
    why = " ".join(event.reason.split()) or "no worker could take it"
    reason = f"its message was put aside by the broker: {why}"
    enter(job, HELD, event.time)
    ad_updates.held(job.ad, HoldReason(CODE, SUBCODE, reason))
    return Change(job, [LogEvent(user_log_events.held(job.id, event.time, job.ad))])


def is_back(job: Job, event: Submit) -> bool:
    """Whether that is the job's dead letter, which somebody put into the queue again."""
    return event.attempt == job.attempt and is_dead(job)


def is_dead(job: Job) -> bool:
    """Whether it is held because its message is among the dead letters."""
    codes = (job.ad.number("HoldReasonCode"), job.ad.number("HoldReasonSubCode"))
    return job.status == HELD and codes == (CODE, SUBCODE)


def outlived(job: Job) -> None:
    """A later attempt is out: the dead letter is of one before, and cannot bring the job back."""
    if is_dead(job):
        job.ad["HoldReasonSubCode"] = "0"


def queued_again(job: Job, event: Submit) -> Change:
    ad_updates.no_longer_held(job.ad)
    reason = "its message was taken from the dead letters and queued again"
    job.ad["ReleaseReason"] = literal(reason)
    # not the message's own time: that is of its first journey
    now = max(event.time, float(job.ad.number("EnteredCurrentStatus")))
    enter(job, IDLE, now)
    job.queued = True
    return Change(job, [LogEvent(user_log_events.released(job.id, now, reason))])


def _waits(job: Job) -> bool:
    return job.in_queue and job.status == IDLE and job.queued
