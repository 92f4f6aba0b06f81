"""One event of the stream applied to one job: the only way a job's state ever changes.

Pure: no clock, no files. A ledger rebuilt from the stream therefore equals
the one it replaces. What has to happen outside because of an event (a line in
the user log, output to be written, word to a worker) comes back as effects.

States are HTCondor's JobStatus; which attributes an event sets is in
``attributes.py``. Every run of a job has an attempt of its own: once a run
has ended, only a message with a higher attempt can start the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thyme.protocol.events import (
    Continued,
    Delivered,
    Edited,
    Evicted,
    Finished,
    Held,
    HoldReason,
    JobMessage,
    Lost,
    Recorded,
    Released,
    Removed,
    Started,
    Submit,
    Suspended,
    Vacated,
)
from vobox.classad.ad import Ad, literal
from vobox.jobs import ad_updates, user_log_events
from vobox.jobs.job import Change, Effect, Job, LogEvent, SaveOutput, Tell, enter
from vobox.jobs.policy import on_exit, stays_in_queue
from vobox.jobs.status import (
    COMPLETED,
    HELD,
    IDLE,
    REMOVED,
    RUNNING,
    SUSPENDED,
    TRANSFERRING_OUTPUT,
)

from . import dead_letters, submit_and_start, user_orders


def apply(job: Job | None, event: JobMessage, ad_of: submit_and_start.AdOf = Ad) -> Change:
    """The job after ``event``. Events that come late or twice change nothing.

    ``ad_of`` makes the ad of a new job of what its message says.
    """
    if isinstance(event, (Submit, Recorded)):
        return _requeued(job, event) if job is not None else submit_and_start.created(event, ad_of)
    if job is None:
        return Change(None)
    rule = _RULES.get(type(event))
    return rule(job, event) if rule else Change(job)


def _requeued(job: Job, event: Submit | Recorded) -> Change:
    if isinstance(event, Submit) and dead_letters.is_back(job, event):
        return dead_letters.queued_again(job, event)
    if isinstance(event, Submit) and event.attempt > job.attempt and job.in_queue:
        dead_letters.outlived(job)
        job.attempt = event.attempt
        job.queued = job.status == IDLE
    return Change(job)


def _finished(job: Job, event: Finished) -> Change:
    if _is_old_news(job, event):
        return Change(job)
    if job.status == REMOVED:
        return _removed_run_ended(job, event)
    if job.has_result or job.status in (COMPLETED, TRANSFERRING_OUTPUT):
        return Change(job)
    _run_ended(job, event)
    ad = job.ad
    ad_updates.no_longer_held(ad)
    if event.exit_code is not None or event.signal is not None:
        ad_updates.exited(ad, event)
    hold = event.hold
    if hold is None:
        verdict = on_exit(ad, event.time)
        hold = verdict.hold
        if hold is None and verdict.leaves:
            enter(job, TRANSFERRING_OUTPUT, event.time)
            ad["CompletionDate"] = literal(int(event.time))
            job.has_result = True
            return Change(job)
    if hold is not None:
        change = _hold(job, hold, event.time)
        change.effects.append(SaveOutput())
        return change
    enter(job, IDLE, event.time)
    job.queued = False
    text = user_log_events.evicted(job.id, event.time, event.usage, "OnExitRemove is false", True)
    return Change(job, [LogEvent(text), SaveOutput()])


def _is_old_news(job: Job, event: Finished | Evicted) -> bool:
    """Whether this end of a run was told before, or is of a lost attempt while another runs."""
    if not job.in_queue or job.worker not in ("", event.worker):
        return True
    return job.status != REMOVED and event.attempt <= job.ended


def _run_ended(job: Job, event: Finished | Evicted) -> None:
    job.worker = ""
    job.ended = max(job.ended, event.attempt)
    job.attempt = max(job.attempt, event.attempt)
    ad_updates.run_ended(job.ad, event.host, event.usage)


def _evicted(job: Job, event: Evicted) -> Change:
    if _is_old_news(job, event):
        return Change(job)
    if job.status == REMOVED:
        return _removed_run_ended(job, event)
    if job.worker != event.worker:
        return _never_began(job, event)
    _run_ended(job, event)
    if job.status not in (RUNNING, SUSPENDED):
        # held, or held and released: now it may be queued again
        return Change(job)
    enter(job, IDLE, event.time)
    job.queued = False
    text = user_log_events.evicted(job.id, event.time, event.usage, event.reason, False)
    return Change(job, [LogEvent(text)])


def _never_began(job: Job, event: Evicted) -> Change:
    """A worker that may have been told to start it could not, and nobody runs it.

    Whoever got the message after it may have been refused for its sake, and acknowledged: that
    message may be gone, so the job is queued anew.
    """
    if not job.worker and job.status == IDLE and job.queued and event.attempt == job.attempt:
        job.ended = event.attempt
        job.queued = False
    return Change(job)


def _removed_run_ended(job: Job, event: Finished | Evicted) -> Change:
    if job.worker:
        _run_ended(job, event)
    return _ended_for_good(job, event.time)


def _lost(job: Job, event: Lost) -> Change:
    lost_worker = job.worker
    if event.attempt != job.attempt or not job.in_queue:
        return Change(job)
    if job.status == IDLE and job.queued:  # claimed, and never started
        job.queued = False
        return Change(job)
    if not lost_worker:
        return Change(job)
    job.worker = ""
    ad_updates.run_lost(job.ad, event.time)
    effects: list[Effect] = [Tell(lost_worker, event.attempt, "superseded")]
    if job.status == REMOVED:
        return _ended_for_good(job, event.time)
    if job.status in (RUNNING, SUSPENDED):
        job.losses += 1
        job.queued = False
        enter(job, IDLE, event.time)
        effects.append(LogEvent(user_log_events.lost(job.id, event.time, event.reason)))
    return Change(job, effects)


def _removed(job: Job, event: Removed) -> Change:
    if job.in_queue and job.status == REMOVED and event.force:
        leave_queue(job, event.time)
    if not job.in_queue or job.status == REMOVED:
        return Change(job)
    enter(job, REMOVED, event.time)
    ad_updates.no_longer_held(job.ad)
    job.ad["RemoveReason"] = literal(event.reason)
    job.has_result = False
    effects: list[Effect] = [LogEvent(user_log_events.aborted(job.id, event.time, event.reason))]
    if job.worker:
        ad_updates.removed_while_running(job.ad)
        effects.append(Tell(job.worker, job.attempt, "remove"))
        return Change(job, effects)
    return Change(_ended_for_good(job, event.time).job, effects)


def _ended_for_good(job: Job, now: float) -> Change:
    """A removed job that nobody runs: it leaves the queue."""
    # as HTCondor: leave_in_queue keeps a removed job too, until condor_rm -forcex
    if job.in_queue and not stays_in_queue(job.ad, now):
        leave_queue(job, now)
    return Change(job)


def leave_queue(job: Job, now: float) -> None:
    """From the queue into the history; at no time in neither."""
    ad_updates.nobody_runs(job.ad)
    job.in_queue, job.left_at = False, now
    job.queued, job.has_result, job.worker = False, False, ""


def _held(job: Job, event: Held) -> Change:
    if not job.in_queue or job.status in (REMOVED, HELD, COMPLETED):
        return Change(job)
    return _hold(job, event.hold, event.time)


def _hold(job: Job, hold: HoldReason, now: float) -> Change:
    enter(job, HELD, now)
    ad_updates.held(job.ad, hold)
    effects: list[Effect] = [LogEvent(user_log_events.held(job.id, now, job.ad))]
    if job.worker:
        effects.append(Tell(job.worker, job.attempt, "hold"))
    return Change(job, effects)


def _released(job: Job, event: Released) -> Change:
    if not job.in_queue or job.status != HELD:
        return Change(job)
    ad_updates.no_longer_held(job.ad)
    job.ad["ReleaseReason"] = literal(event.reason)
    effects: list[Effect] = [LogEvent(user_log_events.released(job.id, event.time, event.reason))]
    if job.has_result:
        # it ran; only its output could not be written. Running it again would waste it
        enter(job, TRANSFERRING_OUTPUT, event.time)
        return Change(job, effects)
    enter(job, IDLE, event.time)
    job.queued = False
    job.losses = 0
    return Change(job, effects)


def _delivered(job: Job, event: Delivered) -> Change:
    if job.status != TRANSFERRING_OUTPUT:
        return Change(job)
    enter(job, COMPLETED, event.time)
    job.has_result = False
    if not stays_in_queue(job.ad, event.time):
        leave_queue(job, event.time)
    return Change(job)


_RULES: dict[type[JobMessage], Callable[[Job, Any], Change]] = {
    Started: submit_and_start.started,
    Finished: _finished,
    Evicted: _evicted,
    Lost: _lost,
    Removed: _removed,
    Held: _held,
    Released: _released,
    Delivered: _delivered,
    Edited: user_orders.edited,
    dead_letters.PutAside: dead_letters.put_aside,
    Suspended: user_orders.suspended,
    Continued: user_orders.continued,
    Vacated: user_orders.vacated,
}
