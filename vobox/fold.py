"""One event of the stream applied to one job: the only way a job's state ever changes.

Pure: no clock, no files. A ledger rebuilt from the stream therefore equals
the one it replaces. What has to happen outside because of an event (a line in
the user log, output to be written, word to a worker) comes back as effects.

States are HTCondor's JobStatus; attributes are set when HTCondor sets them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from thyme.job import JobId
from thyme.message import (
    Delivered,
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
)

from . import logtext
from .ads import Ad, literal
from .policy import on_exit, stays_in_queue
from .status import COMPLETED, HELD, IDLE, REMOVED, RUNNING, TRANSFERRING_OUTPUT

#: HoldReasonCode of ``hold = true``, the one hold that leaves no line in the user log.
SUBMITTED_ON_HOLD = 15


@dataclass
class Job:
    """A job as the ledger knows it.

    ``attempt``: number of the current attempt; ``queued``: whether a message
    of that attempt is out (an idle job without one is to be queued again);
    ``worker``: who runs it, or is still ending it, "" for nobody;
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


Effect = LogEvent | Tell


@dataclass
class Change:
    """What an event did: the job after it (None: the event is about no known job)."""

    job: Job | None
    effects: list[Effect] = field(default_factory=list)


def apply(job: Job | None, event: JobMessage) -> Change:
    """The job after ``event``. Events that come late or twice change nothing."""
    if isinstance(event, (Submit, Recorded)):
        return _requeued(job, event) if job is not None else _created(event)
    if job is None:
        return Change(None)
    rule = _RULES.get(type(event))
    return rule(job, event) if rule else Change(job)


def _created(event: Submit | Recorded) -> Change:
    ad = Ad(event.ad)
    on_hold = isinstance(event, Recorded)
    job = Job(
        id=event.job,
        uid=event.uid,
        gid=event.gid,
        pool=event.pool,
        ad=ad,
        status=HELD if on_hold else IDLE,
        attempt=0 if on_hold else event.attempt,  # type: ignore[union-attr]
        queued=not on_hold,
        lease=event.task.lease,
    )
    ad["JobStatus"] = literal(job.status)
    effects: list[Effect] = [LogEvent(logtext.submitted(job.id, event.time, ad))]
    if on_hold and ad.number("HoldReasonCode") != SUBMITTED_ON_HOLD:
        effects.append(LogEvent(logtext.held(job.id, event.time, ad)))
    return Change(job, effects)


def _requeued(job: Job, event: Submit | Recorded) -> Change:
    if isinstance(event, Submit) and event.attempt > job.attempt and job.in_queue:
        job.attempt = event.attempt
        job.queued = job.status == IDLE
    return Change(job)


def _started(job: Job, event: Started) -> Change:
    word = _unwelcome(job, event)
    if word:
        if job.in_queue and job.status in (REMOVED, HELD) and not job.worker:
            job.worker = event.worker  # until it has ended, nobody else may run the job
        return Change(job, [Tell(event.worker, event.attempt, word)])
    if job.worker == event.worker and job.status == RUNNING:
        return Change(job)
    now = int(event.time)
    _enter(job, RUNNING, event.time)
    job.worker = event.worker
    ad = job.ad
    ad.setdefault("JobStartDate", literal(now))
    if "JobCurrentStartDate" in ad:
        ad["JobLastStartDate"] = ad["JobCurrentStartDate"]
    ad["JobCurrentStartDate"] = ad["JobCurrentStartExecutingDate"] = literal(now)
    for counter in ("NumJobStarts", "JobRunCount", "NumShadowStarts"):
        ad[counter] = literal(ad.number(counter) + 1)
    ad["RemoteHost"] = literal(event.host)
    ad["CurrentHosts"] = literal(1)
    return Change(job, [LogEvent(logtext.executing(job.id, event.time, event.host))])


def _unwelcome(job: Job, event: Started) -> str:
    """Why this start must end at once: the control action; "" when it may go on."""
    if job.status == REMOVED:
        return "remove"
    if job.status in (COMPLETED, TRANSFERRING_OUTPUT) or event.attempt < job.attempt:
        return "superseded"
    if job.status == HELD:
        return "hold"
    if job.worker and job.worker != event.worker:
        return "superseded"
    return ""


def _finished(job: Job, event: Finished) -> Change:
    if job.status == REMOVED:
        return _ended_for_good(job, event.worker, event.time)
    if job.has_result or job.status == COMPLETED or not job.in_queue:
        return Change(job)
    if job.status == RUNNING and job.worker != event.worker:
        return Change(job)  # a lost attempt came back while the next one runs
    _run_ended(job, event)
    ad = job.ad
    _forget_hold(ad)
    ran = event.exit_code is not None or event.signal is not None
    if ran:
        ad["ExitBySignal"] = literal(event.signal is not None)
        ad.pop("ExitCode", None)
        ad.pop("ExitSignal", None)
        if event.signal is not None:
            ad["ExitSignal"] = literal(event.signal)
        else:
            ad["ExitCode"] = literal(event.exit_code or 0)
        ad["TerminationPending"] = "true"
        ad["BytesSent"] = literal(float(_bytes_sent(event)))
        ad["NumJobCompletions"] = literal(ad.number("NumJobCompletions") + 1)
    if event.hold is not None:
        return _hold(job, event.hold, event.time)
    verdict = on_exit(ad, event.time)
    if verdict.hold is not None:
        return _hold(job, verdict.hold, event.time)
    if not verdict.leaves:
        _enter(job, IDLE, event.time)
        job.queued = False
        text = logtext.evicted(job.id, event.time, event.usage, "OnExitRemove is false", True)
        return Change(job, [LogEvent(text)])
    _enter(job, TRANSFERRING_OUTPUT, event.time)
    ad["CompletionDate"] = literal(int(event.time))
    job.has_result = True
    return Change(job)


def _bytes_sent(event: Finished) -> int:
    return len(event.stdout) + len(event.stderr) + sum(len(file.data) for file in event.files)


def _run_ended(job: Job, event: Finished | Evicted) -> None:
    """The attributes of an ended run, however it ended."""
    ad, used = job.ad, event.usage
    job.worker = ""
    ad["LastRemoteHost"] = ad.pop("RemoteHost", literal(event.host))
    ad["CurrentHosts"] = literal(0)
    for name, seconds in (
        ("RemoteWallClockTime", used.wall),
        ("CumulativeSlotTime", used.wall),
        ("CumulativeRemoteUserCpu", used.user_cpu),
        ("CumulativeRemoteSysCpu", used.system_cpu),
    ):
        ad[name] = literal(_real(ad, name) + round(seconds, 6))
    ad["RemoteUserCpu"] = literal(round(used.user_cpu, 6))
    ad["RemoteSysCpu"] = literal(round(used.system_cpu, 6))
    ad["LastRemoteWallClockTime"] = literal(round(used.wall, 6))
    if used.peak_rss:
        ad["ResidentSetSize"] = ad["ResidentSetSize_RAW"] = literal(used.peak_rss)
        ad["MemoryUsage"] = "((ResidentSetSize + 1023) / 1024)"


def _real(ad: Ad, name: str) -> float:
    try:
        return float(ad[name])
    except (KeyError, ValueError):
        return 0.0


def _evicted(job: Job, event: Evicted) -> Change:
    if job.status == REMOVED:
        return _ended_for_good(job, event.worker, event.time)
    if job.worker != event.worker:
        return Change(job)
    _run_ended(job, event)
    if job.status != RUNNING:  # held, or held and released: now it may be queued again
        return Change(job)
    _enter(job, IDLE, event.time)
    job.queued = False
    text = logtext.evicted(job.id, event.time, event.usage, event.reason, False)
    return Change(job, [LogEvent(text)])


def _lost(job: Job, event: Lost) -> Change:
    if event.attempt != job.attempt or job.has_result or not job.in_queue:
        return Change(job)
    if job.status == REMOVED:
        return _ended_for_good(job, job.worker, event.time)
    lost_worker, job.worker = job.worker, ""
    if job.status == HELD:
        return Change(job)
    job.queued = False
    if job.status == IDLE:  # claimed, and never started
        return Change(job)
    job.losses += 1
    job.ad["LastRemoteHost"] = job.ad.pop("RemoteHost", literal(""))
    job.ad["CurrentHosts"] = literal(0)
    _enter(job, IDLE, event.time)
    return Change(
        job,
        [
            Tell(lost_worker, event.attempt, "superseded"),
            LogEvent(logtext.lost(job.id, event.time, event.reason)),
        ],
    )


def _removed(job: Job, event: Removed) -> Change:
    if job.in_queue and job.status == REMOVED and event.force:
        leave_queue(job, event.time)
    if not job.in_queue or job.status == REMOVED:
        return Change(job)
    was_running = job.status in (RUNNING, HELD, IDLE) and bool(job.worker)
    _enter(job, REMOVED, event.time)
    job.ad["RemoveReason"] = literal(event.reason)
    job.has_result = False
    effects: list[Effect] = [LogEvent(logtext.aborted(job.id, event.time, event.reason))]
    if was_running:
        job.ad["ExitBySignal"], job.ad["ExitSignal"] = "true", literal(15)
        effects.append(Tell(job.worker, job.attempt, "remove"))
        return Change(job, effects)
    change = _ended_for_good(job, "", event.time)
    return Change(change.job, effects)


def _ended_for_good(job: Job, worker: str, now: float) -> Change:
    """A removed job's last run has ended: it leaves the queue."""
    if job.in_queue and job.worker in ("", worker):
        job.worker = ""
        if "RemoteHost" in job.ad:
            job.ad["LastRemoteHost"] = job.ad.pop("RemoteHost")
        job.ad["CurrentHosts"] = literal(0)
        # as HTCondor: leave_in_queue keeps a removed job too, until condor_rm -forcex
        if not stays_in_queue(job.ad, now):
            leave_queue(job, now)
    return Change(job)


def leave_queue(job: Job, now: float) -> None:
    """From the queue into the history; at no time in neither."""
    job.in_queue, job.left_at, job.queued, job.has_result = False, now, False, False


def _held(job: Job, event: Held) -> Change:
    if not job.in_queue or job.status in (REMOVED, HELD):
        return Change(job)
    if job.status == COMPLETED:
        return Change(job)
    return _hold(job, event.hold, event.time)


def _hold(job: Job, hold: HoldReason, now: float) -> Change:
    _enter(job, HELD, now)
    ad = job.ad
    ad["HoldReason"] = literal(hold.text)
    ad["HoldReasonCode"], ad["HoldReasonSubCode"] = literal(hold.code), literal(hold.subcode)
    ad["NumHolds"] = literal(ad.number("NumHolds") + 1)
    if hold.code not in (1, SUBMITTED_ON_HOLD):
        ad["NumSystemHolds"] = literal(ad.number("NumSystemHolds") + 1)
    effects: list[Effect] = [LogEvent(logtext.held(job.id, now, ad))]
    if job.worker:
        effects.append(Tell(job.worker, job.attempt, "hold"))
    return Change(job, effects)


def _released(job: Job, event: Released) -> Change:
    if job.status != HELD:
        return Change(job)
    ad = job.ad
    _forget_hold(ad)
    ad["ReleaseReason"] = literal(event.reason)
    effects: list[Effect] = [LogEvent(logtext.released(job.id, event.time, event.reason))]
    if job.has_result:
        # it ran; only its output could not be written. Running it again would waste it
        _enter(job, TRANSFERRING_OUTPUT, event.time)
        return Change(job, effects)
    _enter(job, IDLE, event.time)
    job.queued = False
    job.losses = 0
    return Change(job, effects)


def _forget_hold(ad: Ad) -> None:
    for name in ("HoldReason", "HoldReasonCode", "HoldReasonSubCode"):
        if name in ad and ad[name] != "undefined":
            ad["Last" + name] = ad[name]
            ad[name] = "undefined"


def _delivered(job: Job, event: Delivered) -> Change:
    if job.status != TRANSFERRING_OUTPUT:
        return Change(job)
    _enter(job, COMPLETED, event.time)
    job.has_result = False
    if not stays_in_queue(job.ad, event.time):
        leave_queue(job, event.time)
    return Change(job)


def _enter(job: Job, status: int, now: float) -> None:
    if status != job.status:
        job.ad["LastJobStatus"] = literal(job.status)
    job.status = status
    job.ad["JobStatus"] = literal(status)
    job.ad["EnteredCurrentStatus"] = literal(int(now))


_RULES: dict[type[JobMessage], Callable[[Job, Any], Change]] = {
    Started: _started,
    Finished: _finished,
    Evicted: _evicted,
    Lost: _lost,
    Removed: _removed,
    Held: _held,
    Released: _released,
    Delivered: _delivered,
}
