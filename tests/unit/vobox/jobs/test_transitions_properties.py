"""Any events in any order leave a job in a state that makes sense."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schedd_parts import LIFE, NOW, SCHEDD, Events, Expression
from thyme.protocol.events import (
    Continued,
    Edited,
    HoldReason,
    JobMessage,
    Removed,
    Suspended,
    Vacated,
)
from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.jobs.status import (
    COMPLETED,
    HELD,
    IDLE,
    REMOVED,
    RUNNING,
    SUSPENDED,
    TRANSFERRING_OUTPUT,
)
from vobox.jobs.transitions import DeadLettered, apply

JOBS = (JobId(7, 0), JobId(7, 1), JobId(8, 0))
WORKERS = st.sampled_from(["w1", "w2"])
ATTEMPTS = st.integers(0, 2)
KINDS = (
    "submit", "recorded", "started", "finished", "evicted", "lost", "removed", "held", "released",
    "delivered", "left", "not_completed", "edited", "suspended", "continued",
    "vacated", "dead_lettered",
)  # fmt: skip
ORDERS = ("edited", "suspended", "continued", "vacated")
EDITS = st.sampled_from(
    [{"JobPrio": "7"}, {"Extra": '"new"', "jobprio": "ClusterId + 1"}, {"LeaveJobInQueue": "true"}]
)


def _event(draw: st.DrawFn, job: JobId, place: int) -> JobMessage:
    made = Events(job, NOW + place, attributes={"LeaveJobInQueue": draw(st.booleans())})
    kind = draw(st.sampled_from(KINDS))
    if kind == "submit":
        return made.submit(draw(ATTEMPTS))
    if kind == "lost":
        return made.lost(draw(ATTEMPTS))
    if kind == "removed":
        return made.removed(draw(st.booleans()))
    if kind == "started":
        return made.started(draw(WORKERS), draw(ATTEMPTS))
    if kind == "evicted":
        return made.evicted(draw(WORKERS), draw(ATTEMPTS))
    if kind == "finished":
        how = draw(st.sampled_from([(0, None, None), (None, 9, None), (None, None, (12, 2, "x"))]))
        hold = HoldReason(*how[2]) if how[2] else None
        return made.finished(draw(WORKERS), draw(ATTEMPTS), how[0], how[1], hold=hold)
    if kind == "dead_lettered":
        return DeadLettered(
            SCHEDD, job, made.now, draw(ATTEMPTS), "no worker could read it", life=LIFE
        )
    if kind in ORDERS:
        return _order(draw, kind, job, made.now)
    simple: JobMessage = getattr(made, kind)()
    return simple


def _order(draw: st.DrawFn, kind: str, job: JobId, now: float) -> JobMessage:
    """Return what a user wants of a job that may run."""
    if kind == "edited":
        return Edited(SCHEDD, job, now, draw(EDITS))
    if kind == "vacated":
        return Vacated(SCHEDD, job, now, "via condor_vacate_job", draw(st.booleans()))
    return (Suspended if kind == "suspended" else Continued)(SCHEDD, job, now, f"via {kind}")


@st.composite
def streams(draw: st.DrawFn) -> list[JobMessage]:
    """Events of three jobs, each submitted first; some told twice."""
    policies = draw(
        st.sampled_from([{}, {"OnExitHold": "ExitCode =?= 0"}, {"OnExitRemove": "false"}])
    )
    attributes = {name: Expression(text) for name, text in policies.items()}
    events: list[JobMessage] = [Events(job, attributes=attributes).submit() for job in JOBS]
    for place in range(draw(st.integers(0, 25))):
        if place and draw(st.integers(0, 4)) == 0:
            events.append(draw(st.sampled_from(events)))
        else:
            events.append(_event(draw, draw(st.sampled_from(JOBS)), place))
    return events


def makes_sense(job: Job) -> list[str]:
    """Return what is wrong with this job's state."""
    ad = job.ad
    wrong = {
        "status": ad.number("JobStatus") == job.status,
        "state": job.status
        in (IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING_OUTPUT, SUSPENDED),
        "running without a worker": job.status not in (RUNNING, SUSPENDED) or bool(job.worker),
        "RemoteHost": ("RemoteHost" in ad) <= bool(job.worker),
        "running, and out in the queue again": not (job.status == RUNNING and job.has_result),
        "left, and yet at work": job.in_queue or not (job.worker or job.queued or job.has_result),
        "left in a state of the queue": job.in_queue or job.status in (REMOVED, COMPLETED),
        "attempts": -1 <= job.ended <= job.attempt,
        "a result": job.has_result <= (job.status in (HELD, TRANSFERRING_OUTPUT)),
        "output of no result": job.status != TRANSFERRING_OUTPUT or job.has_result,
        "held without a reason": job.status != HELD or ad.number("HoldReasonCode", -1) >= 0,
        "not held, with a reason": job.status == HELD or ad.get("HoldReasonCode") != "1",
        "suspended, and nobody counted": job.status != SUSPENDED
        or ad.number("TotalSuspensions") > 0 < ad.number("LastSuspensionTime"),
        "not suspended, and since when": job.status == SUSPENDED
        or not ad.number("LastSuspensionTime"),
        "time stood still": ad.number("CumulativeSuspensionTime") >= 0,
    }
    return [what for what, is_right in wrong.items() if not is_right]


@given(events=streams())
@settings(max_examples=300, deadline=None)
def test_no_order_of_events_makes_a_state_without_sense(events: list[JobMessage]) -> None:
    jobs: dict[JobId, Job] = {}
    delivered = set()
    for event in events:
        before = copy.deepcopy(jobs.get(event.job))
        job = apply(jobs.get(event.job), event).job
        assert job is not None
        jobs[event.job] = job
        delivered |= {event.job} if event.kind == "delivered" else set()
        assert makes_sense(job) == [], event
        assert job.status != COMPLETED or event.job in delivered, "without its output"
        if before is not None:
            assert job.attempt >= before.attempt and job.ended >= before.ended
            assert not before.worker or job.worker in ("", before.worker), "two workers"
            assert before.in_queue or job == before, "a job that left the queue was changed"


@given(events=streams())
@settings(max_examples=100, deadline=None)
def test_the_job_before_an_event_stays_as_it_was(events: list[JobMessage]) -> None:
    jobs: dict[JobId, Job | None] = {}
    for event in events:
        before = jobs.get(event.job)
        known = before and (vars(before) | {"ad": dict(before.ad.items())})
        jobs[event.job] = apply(before, event).job
        assert known == (before and (vars(before) | {"ad": dict(before.ad.items())})), event


@given(events=streams())
@settings(max_examples=100, deadline=None)
def test_an_event_told_again_at_once_changes_nothing(events: list[JobMessage]) -> None:
    jobs: dict[JobId, Job | None] = {}
    for event in events:
        once = apply(jobs.get(event.job), event).job
        assert once is not None
        before = (vars(once) | {"ad": dict(once.ad.items())}).copy()
        again = apply(once, event).job
        assert again is not None
        jobs[event.job] = again
        # the second condor_rm -forcex ends what the first one has only asked to end
        if not (isinstance(event, Removed) and event.force):
            assert before == vars(again) | {"ad": dict(again.ad.items())}, event
