"""Transitions of a job: ends, holds, releases and losses that cross each other."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schedd_parts import Events, Expression, job_after, transition_after
from thyme.protocol.events import HoldReason, JobMessage
from vobox.jobs.job import Job
from vobox.jobs.transitions import apply

WORKERS = st.sampled_from(["w1", "w2", "w3"])
ATTEMPTS = st.integers(0, 3)
HOLD = HoldReason(3, 0, "on_exit_hold")
ANY_EVENT = st.one_of(
    st.builds(lambda a: ("submit", {"attempt": a}), st.integers(1, 4)),
    st.builds(lambda w, a: ("started", {"worker": w, "attempt": a}), WORKERS, ATTEMPTS),
    st.builds(lambda w, a: ("finished", {"worker": w, "attempt": a}), WORKERS, ATTEMPTS),
    st.builds(lambda w, a: ("evicted", {"worker": w, "attempt": a}), WORKERS, ATTEMPTS),
    st.builds(lambda a: ("lost", {"attempt": a}), ATTEMPTS),
    st.builds(lambda f: ("removed", {"force": f}), st.booleans()),
    st.sampled_from([("held", {}), ("held", {"code": 12}), ("released", {}), ("delivered", {})]),
    st.sampled_from([("left", {}), ("not_completed", {}), ("not_completed", {"hold": HOLD})]),
)
STORIES = st.tuples(
    st.lists(ANY_EVENT, max_size=25),
    st.booleans(),
    st.sampled_from(["", "OnExitHold", "OnExitRemove"]),
    st.lists(st.integers(0, 30), max_size=5),
)


def stream(story: Any) -> list[JobMessage]:
    """Return a stream with any events in any order, some of them told twice."""
    steps, keep, policy, again = story
    attributes: dict[str, Any] = {"LeaveJobInQueue": keep}
    if policy:
        attributes[policy] = Expression("ExitCode =?= 0" if policy == "OnExitHold" else "false")
    events = Events(attributes=attributes)
    told_once = [events.submit(), *(getattr(events, name)(**how) for name, how in steps)]
    return told_once + [told_once[i] for i in again if i < len(told_once)]


@settings(max_examples=300, deadline=None)
@given(STORIES)
def test_whatever_the_stream_tells_the_job_stays_one_that_can_be(story: Any) -> None:
    job: Job | None = None
    delivered = False
    for event in stream(story):
        attempt = job.attempt if job else 0
        ended = job.ended if job else -1
        had_left = job is not None and not job.in_queue
        was = copy.deepcopy(job)
        job = apply(job, event).job
        assert job is not None
        delivered = delivered or event.kind == "delivered"
        assert job.attempt >= attempt and job.ended >= ended
        assert job.ad["JobStatus"] == str(job.status)
        assert job.status != 4 or delivered, "completed without its output on the submit host"
        assert job.has_result <= (job.status in (5, 6))
        assert job.status != 6 or job.has_result
        assert job.status != 2 or job.worker
        assert job.in_queue or not (job.worker or job.queued or job.has_result)
        assert job.in_queue or job.status in (3, 4)
        assert ("RemoteHost" in job.ad) <= bool(job.worker)
        if was is not None and was.worker and job.worker and was.worker != job.worker:
            raise AssertionError("one worker replaced by another that still runs it")
        if had_left:
            assert job == was, "a job that left the queue was changed"


@settings(max_examples=100, deadline=None)
@given(STORIES)
def test_the_same_stream_gives_the_same_job(story: Any) -> None:
    events = stream(story)
    assert job_after(*events) == job_after(*events)


@settings(max_examples=200, deadline=None)
@given(STORIES)
def test_each_event_twice_in_a_row_is_as_good_as_once(story: Any) -> None:
    events = stream(story)
    doubled = [event for event in events for _ in (0, 1)]
    # condor_rm -forcex is two steps by itself: removed, then let go
    if not any(event.kind == "removed" and event.force for event in events):  # type: ignore[attr-defined]
        assert job_after(*doubled) == job_after(*events)


# --- races ------------------------------------------------------------------------------------


def test_a_job_released_while_it_is_ending_is_queued_only_when_its_worker_has_gone() -> None:
    e = Events()
    history = [e.submit(), e.started(), e.held(), e.released()]
    assert job_after(*history).worker == "w1"  # the ledger does not queue what somebody still ends

    job = job_after(*history, e.evicted())

    assert (job.status, job.worker, job.queued) == (1, "", False)


def test_a_job_that_ends_by_itself_while_it_is_being_held_has_ended() -> None:
    e = Events()
    job = job_after(e.submit(), e.started(), e.held(), e.finished(code=4))
    assert (job.status, job.has_result, job.ad["ExitCode"]) == (6, True, "4")
    assert "HoldReasonCode" not in job.ad


def test_a_lost_worker_may_still_hand_in_its_result_while_the_next_attempt_waits() -> None:
    e = Events()
    job = job_after(e.submit(), e.started(), e.lost(), e.submit(1), e.finished("w1", 0))
    assert (job.status, job.has_result) == (6, True)


def test_a_lost_worker_that_ends_while_another_is_asked_to_end_is_not_heard() -> None:
    # w2 still has the job: a job queued now would have two workers
    e = Events()
    running = [e.submit(), e.started(), e.lost(), e.submit(1), e.started("w2", 1)]
    job = job_after(*running, e.held(), e.released(), e.finished("w1", 0))
    assert (job.status, job.worker) == (1, "w2")


def test_an_undelivered_result_is_delivered_after_the_release_without_another_run() -> None:
    e = Events()
    held = [e.submit(), e.started(), e.finished(code=3), e.held(12, 2, "no such directory")]
    assert job_after(*held).ad["HoldReasonCode"] == "12"

    released = job_after(*held, e.released())
    assert (released.status, released.has_result, released.queued) == (6, True, True)

    done = job_after(*held, e.released(), e.delivered())
    assert (done.status, done.in_queue, done.ad["ExitCode"]) == (4, False, "3")
    assert done.ad["NumJobStarts"] == "1"


def test_leave_in_queue_keeps_a_completed_job_and_a_removed_one_until_forced() -> None:
    keep = {"LeaveJobInQueue": Expression("JobStatus >= 3")}
    e = Events(attributes=keep)
    completed = job_after(e.submit(), e.started(), e.finished(), e.delivered())
    assert (completed.status, completed.in_queue) == (4, True)

    e = Events(attributes=keep)
    removal = [e.submit(), e.removed()]
    assert job_after(*removal).in_queue
    assert job_after(*removal, e.removed()).in_queue
    assert not job_after(*removal, e.removed(force=True)).in_queue


def test_the_release_starts_the_count_of_lost_workers_again() -> None:
    e = Events()
    lost = [e.submit(), e.started(), e.lost(), e.held(26)]
    assert job_after(*lost).losses == 1
    assert job_after(*lost, e.released()).losses == 0


def test_an_event_of_a_job_that_the_stream_has_forgotten_makes_no_job() -> None:
    e = Events()
    assert [transition_after(event).job for event in (e.started(), e.finished(), e.submit(2))] == [
        None
    ] * 3
