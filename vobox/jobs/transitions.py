"""Apply one event of the stream to one job: the only way in which a job's state changes.

``apply`` is pure: no clock, no files, no expression of a user's is evaluated (it may ask for
the time, or for a random number), and it returns a new job. A ledger that is
rebuilt from the stream therefore equals the one it replaces. What has to happen
outside because of an event (a line in the user log, output to write, a control
message to a worker) comes back as effects.

States are HTCondor's JobStatus; which attributes an event sets is in
``ad_updates.py``. Every run of a job has an attempt number of its own: once a
run has ended, only a message with a higher attempt can start the next one.

A job's message may end among the broker's dead letters: a worker could not read
it, it was delivered too often, or an administrator put it there. The stream
tells (``DeadLettered``), and the job is held, or queued again; otherwise it would
stay idle for ever, although its message will reach no worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from thyme.broker.base import TAKEN_TOO_OFTEN
from thyme.protocol.events import (
    ORDINARY_EVICTIONS,
    VACATED,
    Continued,
    Delivered,
    Edited,
    Evicted,
    Finished,
    Held,
    HoldReason,
    JobMessage,
    Left,
    Lost,
    Message,
    NotCompleted,
    Recorded,
    Released,
    Removed,
    RunMessage,
    Started,
    Submit,
    Suspended,
    Usage,
    Vacated,
    is_of_life,
)
from thyme.protocol.hold_codes import HoldReasonCode
from vobox.classad.ad import Ad, literal

from . import ad_updates, user_log_events
from .job import ControlMessage, Effect, Job, LogEvent, SaveOutput
from .policy import may_stay_in_queue
from .status import (
    COMPLETED,
    HELD,
    IDLE,
    REMOVED,
    RUNNING,
    SUSPENDED,
    TRANSFERRING_OUTPUT,
)

#: Attempts in a row that no worker could run or that were evicted at once, and messages of a job
#: that waits in a row that were taken too often, after which the job is held.
MAX_FAILED_STARTS: Final = 10
MAX_DEAD_LETTERS: Final = 3
#: Seconds of wall-clock time: an attempt that was evicted before counts as one that no worker could
#: run. Its worker measures them: the clocks of the schedd and of a node may differ by hours.
SHORT_RUN: Final = 5.0
#: Seconds between the clocks of the schedd and of a node, up to which the node's is believed.
CLOCK_DIFFERENCE: Final = 60.0
#: Seconds that a worker may say a run took, ten years: a time beyond the year 9999 has no date.
LONGEST_RUN: Final = 315_360_000.0
#: Holds that a worker's own errors cause: HTCondor logs them as an error of its starter, too.
_WORKERS_ERRORS: Final = (
    HoldReasonCode.FAILED_TO_CREATE_PROCESS,
    HoldReasonCode.TRANSFER_OUTPUT_ERROR,
    HoldReasonCode.TRANSFER_INPUT_ERROR,
    HoldReasonCode.MAX_TRANSFER_OUTPUT_SIZE_EXCEEDED,
)
#: Attributes whose change is logged, or counted in the metrics.
_WATCHED_ATTRIBUTES: Final = frozenset({"jobprio", "holdreasoncode", "holdreasonsubcode"})
#: HoldReasonSubCode (EBADMSG) of a job whose message is among the dead letters.
DEAD_LETTER_SUBCODE: Final = 74
#: Name of that reason in the metrics.
DEAD_LETTER: Final = "DeadLetter"


@dataclass(frozen=True)
class DeadLettered(RunMessage):
    """The message of this attempt is among the dead letters. Never sent: made from a record."""

    kind = "dead_lettered"
    attempt: int
    reason: str
    taken_too_often: bool = False


@dataclass
class Transition:
    """What an event did: the job after it (None: no job is known) and what is to be done."""

    job: Job | None
    effects: list[Effect] = field(default_factory=list)


def apply(job: Job | None, event: JobMessage) -> Transition:
    """Return the job after ``event``, and the effects. The given job stays as it is.

    Events that come late or twice change nothing, nor do those of another job with its number.
    """
    if job is None:
        if isinstance(event, (Submit, Recorded)):
            return _create(event)
        return Transition(None)
    rule = _RULES.get(type(event))
    if rule is None or not is_of_life(event, job.life):
        return Transition(job)
    if isinstance(event, (Finished, Evicted)):
        event = replace(event, time=_find_end(job, event))
    changed = job.copy()
    return Transition(changed, rule(changed, event))


def _find_end(job: Job, event: Finished | Evicted) -> float:
    """Return when the run ended, in epoch seconds of the schedd's clock.

    That of a node may be years away: a job would enter its next state in the future, where no
    policy that waits for some seconds in it ever applies. The schedd knows when the run began, and
    the worker how long it took.
    """
    if job.worker != event.worker:
        return event.time  # its start was not recorded
    end = job.ad.number("JobCurrentStartDate") + min(event.usage.wall, LONGEST_RUN)
    if abs(event.time - end) <= CLOCK_DIFFERENCE:
        end = event.time
    return max(end, float(job.ad.number("EnteredCurrentStatus")))


# Everything below changes the job that it is given: the copy that ``apply`` made.


def _create(event: Submit | Recorded) -> Transition:
    if isinstance(event, Submit) and event.attempt > 0:
        return Transition(None)  # a later attempt of a job whose beginning the stream has forgotten
    queued, ad = isinstance(event, Submit), Ad(event.ad)
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
        life=event.life,
    )
    ad_updates.set_initial_status(job.ad, job.status)
    if "UserLog" not in ad:
        return Transition(job)
    effects: list[Effect] = [LogEvent(user_log_events.format_submit(job.id, event.time, job.ad))]
    code = job.ad.number("HoldReasonCode")
    if on_hold and code != HoldReasonCode.SUBMITTED_ON_HOLD:
        effects.append(LogEvent(user_log_events.format_held(job.id, event.time, job.ad)))
    return Transition(job, effects)


def _set_status(job: Job, status: int, now: float) -> None:
    ad_updates.set_status(job.ad, status, job.status, now)
    job.status = status


# --- a message of the job is in the queue ------------------------------------------------


def _on_submit(job: Job, event: Submit | Recorded) -> list[Effect]:
    """Apply the next submission of a known job: another attempt, or a requeued dead letter."""
    if isinstance(event, Recorded):
        return []
    if event.attempt == job.attempt and is_dead_lettered(job):
        # the next attempt will be queued; the old message is refused when a worker claims it
        reason = "its message was taken from the dead letters and queued again"
        # not the message's own time: that is of its first submission
        now = max(event.time, float(job.ad.number("EnteredCurrentStatus")))
        return _release(job, reason, now)
    if event.attempt > job.attempt and job.in_queue:
        if is_dead_lettered(job):
            # that dead letter is of an attempt before, and cannot bring the job back
            job.ad["HoldReasonSubCode"] = "0"
        job.attempt = event.attempt
        job.pool = event.pool  # another lane, if it says another time
        job.queued = job.status == IDLE
    return []


def read_dead_letter(message: Message, reason: str, now: float) -> DeadLettered | None:
    """Make the event of a dead letter's record; None where it is not a job's message.

    ``reason``: the broker's or the worker's; ``now``: the record's time, epoch seconds.
    """
    if not isinstance(message, Submit):
        return None
    too_often = reason.endswith(TAKEN_TOO_OFTEN)
    return DeadLettered(
        message.schedd, message.job, now, message.attempt, reason, too_often, life=message.life
    )


def _on_dead_lettered(job: Job, event: DeadLettered) -> list[Effect]:
    waits = job.in_queue and job.status == IDLE and job.queued
    if not waits or event.attempt != job.attempt:
        return []  # the job has gone on without that message
    if event.taken_too_often and job.dead_letters + 1 < MAX_DEAD_LETTERS:
        # its workers may have waited for a schedd that was away: it is queued again
        job.dead_letters += 1
        job.queued = False
        return []
    why = " ".join(event.reason.split()) or "no worker could take it"
    reason = f"its message was put aside by the broker: {why}"
    # the broker tells when the message was submitted, or a worker by the clock of its node
    now = max(event.time, float(job.ad.number("EnteredCurrentStatus")))
    _set_status(job, HELD, now)
    hold = HoldReason(HoldReasonCode.SYSTEM_POLICY, DEAD_LETTER_SUBCODE, reason)
    ad_updates.record_hold(job.ad, hold)
    return [LogEvent(user_log_events.format_held(job.id, now, job.ad))]


def name_hold(job: Job) -> str:
    """Return the hold reason's name of a held job for the metrics; "" for a job not held.

    That is HTCondor's name of its HoldReasonCode, ``Other`` for a code of the user's own, and
    ``DeadLetter`` where its message is among the dead letters.
    """
    if job.status != HELD:
        return ""
    if is_dead_lettered(job):
        return DEAD_LETTER
    name = ad_updates.name_reason(job.ad.number("HoldReasonCode"))
    return "Other" if name.startswith("Code") else name


def is_dead_lettered(job: Job) -> bool:
    """Return whether it is held because its message is among the dead letters."""
    if job.status != HELD:
        return False
    codes = (job.ad.number("HoldReasonCode"), job.ad.number("HoldReasonSubCode"))
    return codes == (HoldReasonCode.SYSTEM_POLICY, DEAD_LETTER_SUBCODE)


# --- a run begins and ends ---------------------------------------------------------------


def _on_started(job: Job, event: Started) -> list[Effect]:
    if job.worker == event.worker and job.attempt == event.attempt:
        return []
    if not may_start(job, event.attempt):
        return [ControlMessage(event.worker, event.attempt, "superseded")]
    _set_status(job, RUNNING, event.time)
    job.worker, job.dead_letters = event.worker, 0
    # the record of what it took from the queue may be lost
    job.attempt = max(job.attempt, event.attempt)
    ad_updates.record_start(job.ad, event.host, event.time, event.machine)
    text = user_log_events.format_execute(job.id, event.time, event.host, event.machine)
    return [LogEvent(text)]


def may_start(job: Job, attempt: int) -> bool:
    """Return whether nobody runs the job, and this attempt is the present one or the next."""
    is_present = attempt == job.attempt and job.queued
    waits = job.in_queue and job.status == IDLE and not job.worker
    return waits and attempt > job.ended and (is_present or attempt > job.attempt)


def _on_finished(job: Job, event: Finished) -> list[Effect]:
    if _is_outdated(job, event):
        return []
    if job.status == REMOVED:
        return _end_removed_run(job, event)
    if job.has_result or job.status in (COMPLETED, TRANSFERRING_OUTPUT):
        return []
    _end_run(job, event)
    job.failed_starts = 0
    ad = job.ad
    effects: list[Effect] = []
    if memory := event.usage.peak_rss:
        effects.append(LogEvent(user_log_events.format_image_size(job.id, event.time, memory)))
    ad_updates.clear_hold(ad)
    if event.exit_code is not None or event.signal is not None:
        ad_updates.record_exit(ad, event)
    if (hold := event.hold) is not None:  # it exceeded a limit, or could not run
        if hold.code in _WORKERS_ERRORS:
            text = user_log_events.format_remote_error(job.id, event.time, event.host, hold)
            effects.append(LogEvent(text))
        return [*effects, *_hold(job, hold, event, event.usage), SaveOutput()]
    _set_status(job, TRANSFERRING_OUTPUT, event.time)
    ad["CompletionDate"] = literal(int(event.time))
    job.has_result = True
    return effects


def _on_not_completed(job: Job, event: NotCompleted) -> list[Effect]:
    if job.status != TRANSFERRING_OUTPUT or not job.has_result:
        return []
    job.has_result = False
    job.ad.pop("CompletionDate", None)
    if event.hold is not None:
        if event.hold.code != HoldReasonCode.JOB_POLICY:  # its output could not be delivered
            ad_updates.uncount_completion(job.ad)
        return [*_hold(job, event.hold, event), SaveOutput()]
    _set_status(job, IDLE, event.time)
    job.queued = False
    job.ad["RequeueReason"] = literal(event.reason)
    text = user_log_events.format_requeued(job.id, event, job.ad)
    return [LogEvent(text), SaveOutput()]


def _on_evicted(job: Job, event: Evicted) -> list[Effect]:
    if _is_outdated(job, event):
        return []
    if job.status == REMOVED:
        return _end_removed_run(job, event)
    if job.worker != event.worker:
        return []  # it had asked for the job, and its start was not recorded
    _end_run(job, event)
    ad_updates.record_forced_end(job.ad, event)
    if job.status not in (RUNNING, SUSPENDED):
        # held, or held and released: now it may be queued again
        return []
    job.queued = False
    if event.reason == VACATED:
        reason, code = "Job vacated by schedd", ad_updates.VACATED
    else:
        reason, code = event.reason, ad_updates.WORKER_LEFT
    effects: list[Effect] = [_vacate(job, reason, code, 0, event.time, event.usage)]
    is_ordinary, seconds = event.reason in ORDINARY_EVICTIONS, event.usage.wall
    job.failed_starts = 0 if is_ordinary and seconds >= SHORT_RUN else job.failed_starts + 1
    if job.failed_starts >= MAX_FAILED_STARTS:
        why = f"{event.reason} after {seconds:.1f} s" if is_ordinary else event.reason
        text = f"no worker could run it, {job.failed_starts} times in a row: {why}"
        hold = HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, text)
        return [*effects, *_hold(job, hold, event)]
    _set_status(job, IDLE, event.time)
    return effects


def _vacate(job: Job, reason: str, code: int, subcode: int, now: float, used: Usage) -> LogEvent:
    """Record that the run was ended before its time; ``used``: as far as it is known."""
    ad_updates.record_vacate(job.ad, reason, code, subcode, now)
    cause = HoldReason(code, subcode, reason)
    return LogEvent(user_log_events.format_evicted(job.id, now, used, cause, job.ad))


def _is_outdated(job: Job, event: Finished | Evicted) -> bool:
    """Return whether this end was reported before, or is of a lost attempt while another runs."""
    if not job.in_queue or job.worker not in ("", event.worker):
        return True
    return job.status != REMOVED and event.attempt <= job.ended


def _end_run(job: Job, event: Finished | Evicted) -> None:
    job.worker = ""
    job.ended = max(job.ended, event.attempt)
    job.attempt = max(job.attempt, event.attempt)
    ad_updates.record_end(job.ad, event.host, event.usage)


def _end_removed_run(job: Job, event: Finished | Evicted) -> list[Effect]:
    if job.worker:
        _end_run(job, event)
        ad_updates.record_forced_end(job.ad, event)
    # not the time of the event: the worker's clock may be years away
    _leave_queue_unless_kept(job, float(job.ad.number("EnteredCurrentStatus")))
    return []


def _on_lost(job: Job, event: Lost) -> list[Effect]:
    if event.attempt != job.attempt or not job.in_queue or not job.worker:
        return []
    lost_worker, job.worker = job.worker, ""
    ad_updates.record_loss(job.ad, event.time)
    effects: list[Effect] = [ControlMessage(lost_worker, event.attempt, "superseded")]
    if job.status == REMOVED:
        _leave_queue_unless_kept(job, event.time)
        return []
    if job.status in (RUNNING, SUSPENDED):
        job.losses += 1
        job.queued = False
        effects.append(_vacate(job, event.reason, ad_updates.WORKER_LOST, 0, event.time, Usage()))
        if event.hold is not None:
            return [*effects, *_hold(job, event.hold, event)]
        _set_status(job, IDLE, event.time)
    return effects


def _on_delivered(job: Job, event: Delivered) -> list[Effect]:
    if job.status == TRANSFERRING_OUTPUT:
        _set_status(job, COMPLETED, event.time)
        ad_updates.record_completion(job.ad)
        job.has_result = False
        _leave_queue_unless_kept(job, event.time)
    return []


def _on_left(job: Job, event: Left) -> list[Effect]:
    if job.in_queue and job.status in (COMPLETED, REMOVED) and not job.worker:
        _leave_queue(job, event.time)
    return []


# --- commands of users, and policies -----------------------------------------------------


def _on_removed(job: Job, event: Removed) -> list[Effect]:
    if job.in_queue and job.status == REMOVED and event.force:
        job.ad["RemoveReason"], job.ad["LeaveJobInQueue"] = literal(event.reason), "false"
        _leave_queue(job, event.time)
    if not job.in_queue or job.status == REMOVED:
        return []
    effects: list[Effect] = []
    if job.worker and job.status in (RUNNING, SUSPENDED):
        code = ad_updates.JOB_REMOVED
        effects.append(_vacate(job, event.reason, code, 0, event.time, Usage()))
    _set_status(job, REMOVED, event.time)
    ad_updates.clear_hold(job.ad)
    job.ad["RemoveReason"] = literal(event.reason)
    job.has_result = False
    text = user_log_events.format_aborted(job.id, event.time, event.reason)
    effects.append(LogEvent(text))
    if job.worker:
        return [*effects, ControlMessage(job.worker, job.attempt, "remove")]
    _leave_queue_unless_kept(job, event.time)
    return effects


def _leave_queue_unless_kept(job: Job, now: float) -> None:
    """Let a completed job, or a removed one that no worker runs, leave the queue.

    As in HTCondor, leave_in_queue keeps a removed job too, until condor_rm -forcex. Where that is
    an expression, ``Left`` says when it no longer keeps the job.
    """
    if job.in_queue and not may_stay_in_queue(job.ad):
        _leave_queue(job, now)


def _leave_queue(job: Job, now: float) -> None:
    ad_updates.clear_remote_host(job.ad)
    job.in_queue, job.left_at = False, now
    job.queued, job.has_result, job.worker = False, False, ""


def _on_held(job: Job, event: Held) -> list[Effect]:
    if not job.in_queue or job.status in (REMOVED, COMPLETED):
        return []
    if job.status == HELD and (
        event.hold.code != HoldReasonCode.USER_REQUEST or is_held_by_user(job)
    ):
        return []
    effects: list[Effect] = []
    runs = bool(job.worker) and job.status in (RUNNING, SUSPENDED)
    if job.has_result and event.hold.code == HoldReasonCode.TRANSFER_OUTPUT_ERROR:
        # as with HTCondor, a run whose output could not be written was in vain
        host = job.ad.text("LastRemoteHost")
        text = user_log_events.format_remote_error(job.id, event.time, host, event.hold)
        effects.append(LogEvent(text))
        runs = True
    return [*effects, *_hold(job, event.hold, event, Usage() if runs else None)]


def is_held_by_user(job: Job) -> bool:
    """Return whether a held job is held by condor_hold: another hold may become one."""
    return job.ad.number("HoldReasonCode") == HoldReasonCode.USER_REQUEST


def _hold(job: Job, hold: HoldReason, event: JobMessage, used: Usage | None = None) -> list[Effect]:
    """Hold the job; ``used``: of the run that this ends before its time, None if there is none."""
    effects: list[Effect] = []
    if used is not None:
        effects.append(_vacate(job, hold.text, hold.code, hold.subcode, event.time, used))
    _set_status(job, HELD, event.time)
    ad_updates.record_hold(job.ad, hold)
    effects.append(LogEvent(user_log_events.format_held(job.id, event.time, job.ad)))
    if job.worker:
        effects.append(ControlMessage(job.worker, job.attempt, "hold"))
    return effects


def _on_released(job: Job, event: Released) -> list[Effect]:
    if not job.in_queue or job.status != HELD:
        return []
    return _release(job, event.reason, event.time)


def _release(job: Job, reason: str, now: float) -> list[Effect]:
    ad_updates.clear_hold(job.ad)
    job.ad["ReleaseReason"] = literal(reason)
    if job.has_result:
        # it ran; only its output could not be written. Running it again would waste it
        _set_status(job, TRANSFERRING_OUTPUT, now)
    else:
        _set_status(job, IDLE, now)
        job.queued = False
        job.losses = job.failed_starts = job.dead_letters = 0
    return [LogEvent(user_log_events.format_released(job.id, now, reason))]


def _on_edited(job: Job, event: Edited) -> list[Effect]:
    if not job.in_queue:
        return []
    effects: list[Effect] = []
    for name, text in event.ad.items():
        old = job.ad.get(name, "undefined")
        if name.lower() == "jobprio" and old != text:
            effects.append(
                LogEvent(
                    user_log_events.format_attribute_update(job.id, event.time, name, old, text)
                )
            )
        job.ad[name] = text
    return effects


def only_sets_attributes(event: JobMessage) -> bool:
    """Return whether all that the event does to a job in the queue is to set attributes of its ad.

    So it is whatever the job's state is, and nothing else is to follow.
    """
    if not isinstance(event, Edited):
        return False
    return _WATCHED_ATTRIBUTES.isdisjoint(name.lower() for name in event.ad)


def _on_suspended(job: Job, event: Suspended) -> list[Effect]:
    if job.status != RUNNING or not job.worker:
        return []
    _set_status(job, SUSPENDED, event.time)
    job.ad["TotalSuspensions"] = literal(job.ad.number("TotalSuspensions") + 1)
    job.ad["LastSuspensionTime"] = literal(int(event.time))
    text = user_log_events.format_suspended(job.id, event.time)
    return [LogEvent(text), ControlMessage(job.worker, job.attempt, "suspend")]


def _on_continued(job: Job, event: Continued) -> list[Effect]:
    if job.status != SUSPENDED:
        return []
    _set_status(job, RUNNING, event.time)
    text = user_log_events.format_unsuspended(job.id, event.time)
    return [LogEvent(text), ControlMessage(job.worker, job.attempt, "continue")]


def _on_vacated(job: Job, event: Vacated) -> list[Effect]:
    """Ask the worker to evict the run; its report of the eviction changes the job."""
    if job.status not in (RUNNING, SUSPENDED) or not job.worker:
        return []
    action = "vacate_fast" if event.force else "vacate"
    return [ControlMessage(job.worker, job.attempt, action)]


_RULES: dict[type[JobMessage], Callable[[Job, Any], list[Effect]]] = {
    Submit: _on_submit,
    Recorded: _on_submit,
    DeadLettered: _on_dead_lettered,
    Started: _on_started,
    Finished: _on_finished,
    Evicted: _on_evicted,
    Lost: _on_lost,
    Delivered: _on_delivered,
    NotCompleted: _on_not_completed,
    Left: _on_left,
    Removed: _on_removed,
    Held: _on_held,
    Released: _on_released,
    Edited: _on_edited,
    Suspended: _on_suspended,
    Continued: _on_continued,
    Vacated: _on_vacated,
}
