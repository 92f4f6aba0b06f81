"""How a job begins, and a run of it (see ``fold.py``). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from thyme.protocol.events import Recorded, Started, Submit
from vobox.classad.ad import Ad
from vobox.jobs import ad_updates, user_log_events
from vobox.jobs.ad_updates import SUBMITTED_ON_HOLD
from vobox.jobs.job import Change, Effect, Job, LogEvent, Tell, enter
from vobox.jobs.status import COMPLETED, HELD, IDLE, REMOVED, RUNNING, TRANSFERRING_OUTPUT

AdOf = Callable[[Mapping[str, str]], Ad]


def created(event: Submit | Recorded, ad_of: AdOf) -> Change:
    if isinstance(event, Submit) and event.attempt > 0:
        return Change(None)  # a later attempt of a job whose beginning the stream has forgotten
    queued, ad = isinstance(event, Submit), ad_of(event.ad)
    # recorded and not held: its Requirements cannot match, so it waits for them to change
    held = "HoldReasonCode" in ad or ad.get("JobStatus") != str(IDLE)
    on_hold = held and not queued
    job = Job(
        id=event.job,
        uid=event.uid,
        gid=event.gid,
        pool=event.pool,
        ad=ad,
        status=HELD if on_hold else IDLE,
        queued=queued,
        lease=event.task.lease,
    )
    ad_updates.created(job.ad, job.status)
    if "UserLog" not in ad:  # a submit of ten thousand: no text that nobody writes
        return Change(job)
    effects: list[Effect] = [LogEvent(user_log_events.submitted(job.id, event.time, job.ad))]
    if on_hold and job.ad.number("HoldReasonCode") != SUBMITTED_ON_HOLD:
        effects.append(LogEvent(user_log_events.held(job.id, event.time, job.ad)))
    return Change(job, effects)


def started(job: Job, event: Started) -> Change:
    if job.worker == event.worker and job.attempt == event.attempt:
        return Change(job)
    word = _unwelcome(job, event)
    if word:
        if word in ("remove", "hold") and job.in_queue and not job.worker:
            job.worker = event.worker  # until it has ended, nobody else may run the job
            job.attempt = max(job.attempt, event.attempt)
        return Change(job, [Tell(event.worker, event.attempt, word)])
    enter(job, RUNNING, event.time)
    job.worker = event.worker
    # a worker may be faster than the record of what it took from the queue
    job.attempt = max(job.attempt, event.attempt)
    ad_updates.run_started(job.ad, event.host, event.time)
    return Change(job, [LogEvent(user_log_events.executing(job.id, event.time, event.host))])


def _unwelcome(job: Job, event: Started) -> str:
    """Why this start must end at once: the control action; "" when it may go on."""
    if job.status == REMOVED:
        return "remove"
    if job.status in (COMPLETED, TRANSFERRING_OUTPUT) or job.has_result:
        return "superseded"
    if event.attempt < job.attempt or event.attempt <= job.ended:
        return "superseded"
    if job.worker not in ("", event.worker):
        return "superseded"
    if job.status == HELD:
        return "hold"
    # idle without a message out: the run of this attempt has ended, or was held before it began
    return "" if job.queued or event.attempt > job.attempt else "superseded"
