"""The fold: every event in every state, and whatever order the stream tells them in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vobox_fakes import NOW, Events, Expression, after, told
from thyme.message import HoldReason, JobMessage
from vobox.fold import apply
from vobox.state import Job, LogEvent, SaveOutput, Tell

STATUS = {1: "idle", 2: "running", 3: "removed", 4: "completed", 5: "held", 6: "ended"}

#: state → the events that lead to it
HISTORIES: dict[str, Callable[[Events], list[JobMessage]]] = {
    "idle": lambda e: [e.submit()],
    "running": lambda e: [e.submit(), e.started()],
    "held": lambda e: [e.submit(), e.held()],
    "held, ending": lambda e: [e.submit(), e.started(), e.held()],
    "released, ending": lambda e: [e.submit(), e.started(), e.held(), e.released()],
    "to be queued": lambda e: [e.submit(), e.started(), e.evicted()],
    "lost": lambda e: [e.submit(), e.started(), e.lost()],
    "next idle": lambda e: [e.submit(), e.started(), e.lost(), e.submit(1)],
    "next running": lambda e: [
        e.submit(), e.started(), e.lost(), e.submit(1), e.started("w2", 1),
    ],
    "removed, ending": lambda e: [e.submit(), e.started(), e.removed()],
    "output on its way": lambda e: [e.submit(), e.started(), e.finished()],
    "undelivered": lambda e: [e.submit(), e.started(), e.finished(), e.held(12)],
    "completed": lambda e: [e.submit(), e.started(), e.finished(), e.delivered()],
    "removed": lambda e: [e.submit(), e.removed()],
}  # fmt: skip

EVENTS: dict[str, Callable[[Events], JobMessage]] = {
    "start w1": lambda e: e.started(),
    "start w2": lambda e: e.started("w2"),
    "start w2 again": lambda e: e.started("w2", 1),
    "finish w1": lambda e: e.finished(),
    "finish w2": lambda e: e.finished("w2"),
    "evict w1": lambda e: e.evicted(),
    "lost": lambda e: e.lost(),
    "removed": lambda e: e.removed(),
    "forced": lambda e: e.removed(force=True),
    "held": lambda e: e.held(),
    "released": lambda e: e.released(),
    "delivered": lambda e: e.delivered(),
}

#: state → what it looks like, and what each event makes of it: the job; log events and orders.
#: An event that is not listed changes nothing. "queued": a message of the attempt is out.
TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "idle": (
        "idle by nobody queued in",
        {
            "start w1": "running by w1 queued in; 001",
            "start w2": "running by w2 queued in; 001",
            "start w2 again": "running by w2 queued in; 001",
            "finish w1": "ended by nobody queued result in; ",
            "finish w2": "ended by nobody queued result in; ",
            "lost": "idle by nobody in; ",
            "removed": "removed by nobody out; 009",
            "forced": "removed by nobody out; 009",
            "held": "held by nobody queued in; 012",
        },
    ),
    "running": (
        "running by w1 queued in",
        {
            "start w2": "running by w1 queued in; superseded",
            "start w2 again": "running by w1 queued in; superseded",
            "finish w1": "ended by nobody queued result in; ",
            "evict w1": "idle by nobody in; 004",
            "lost": "idle by nobody in; superseded 004",
            "removed": "removed by w1 queued in; 009 remove",
            "forced": "removed by w1 queued in; 009 remove",
            "held": "held by w1 queued in; 012 hold",
        },
    ),
    "held": (
        "held by nobody queued in",
        {
            "start w1": "held by w1 queued in; hold",
            "start w2": "held by w2 queued in; hold",
            "start w2 again": "held by w2 queued in; hold",
            "finish w1": "ended by nobody queued result in; ",
            "finish w2": "ended by nobody queued result in; ",
            "removed": "removed by nobody out; 009",
            "forced": "removed by nobody out; 009",
            "released": "idle by nobody in; 013",
        },
    ),
    "held, ending": (
        "held by w1 queued in",
        {
            "start w2": "held by w1 queued in; superseded",
            "start w2 again": "held by w1 queued in; superseded",
            "finish w1": "ended by nobody queued result in; ",
            "evict w1": "held by nobody queued in; ",
            "lost": "held by nobody queued in; superseded",
            "removed": "removed by w1 queued in; 009 remove",
            "forced": "removed by w1 queued in; 009 remove",
            "released": "idle by w1 in; 013",
        },
    ),
    "released, ending": (
        "idle by w1 in",
        {
            "start w2": "idle by w1 in; superseded",
            "start w2 again": "idle by w1 in; superseded",
            "finish w1": "ended by nobody result in; ",
            "evict w1": "idle by nobody in; ",
            "lost": "idle by nobody in; superseded",
            "removed": "removed by w1 in; 009 remove",
            "forced": "removed by w1 in; 009 remove",
            "held": "held by w1 in; 012 hold",
        },
    ),
    "to be queued": (
        "idle by nobody in",
        {
            "start w1": "idle by nobody in; superseded",
            "start w2": "idle by nobody in; superseded",
            "start w2 again": "running by w2 in; 001",
            "removed": "removed by nobody out; 009",
            "forced": "removed by nobody out; 009",
            "held": "held by nobody in; 012",
        },
    ),
    "lost": (
        "idle by nobody in",
        {
            "start w1": "idle by nobody in; superseded",
            "start w2": "idle by nobody in; superseded",
            "start w2 again": "running by w2 in; 001",
            "finish w1": "ended by nobody result in; ",
            "finish w2": "ended by nobody result in; ",
            "removed": "removed by nobody out; 009",
            "forced": "removed by nobody out; 009",
            "held": "held by nobody in; 012",
        },
    ),
    "next idle": (
        "idle by nobody queued in",
        {
            "start w1": "idle by nobody queued in; superseded",
            "start w2": "idle by nobody queued in; superseded",
            "start w2 again": "running by w2 queued in; 001",
            "finish w1": "ended by nobody queued result in; ",
            "finish w2": "ended by nobody queued result in; ",
            "removed": "removed by nobody out; 009",
            "forced": "removed by nobody out; 009",
            "held": "held by nobody queued in; 012",
        },
    ),
    "next running": (
        "running by w2 queued in",
        {
            "start w1": "running by w2 queued in; superseded",
            "start w2": "running by w2 queued in; superseded",
            "finish w2": "ended by nobody queued result in; ",
            "removed": "removed by w2 queued in; 009 remove",
            "forced": "removed by w2 queued in; 009 remove",
            "held": "held by w2 queued in; 012 hold",
        },
    ),
    "removed, ending": (
        "removed by w1 queued in",
        {
            "start w2": "removed by w1 queued in; remove",
            "start w2 again": "removed by w1 queued in; remove",
            "finish w1": "removed by nobody out; ",
            "evict w1": "removed by nobody out; ",
            "lost": "removed by nobody out; ",
            "forced": "removed by nobody out; ",
        },
    ),
    "output on its way": (
        "ended by nobody queued result in",
        {
            "start w1": "ended by nobody queued result in; superseded",
            "start w2": "ended by nobody queued result in; superseded",
            "start w2 again": "ended by nobody queued result in; superseded",
            "removed": "removed by nobody out; 009",
            "forced": "removed by nobody out; 009",
            "held": "held by nobody queued result in; 012",
            "delivered": "completed by nobody out; ",
        },
    ),
    "undelivered": (
        "held by nobody queued result in",
        {
            "start w1": "held by nobody queued result in; superseded",
            "start w2": "held by nobody queued result in; superseded",
            "start w2 again": "held by nobody queued result in; superseded",
            "removed": "removed by nobody out; 009",
            "forced": "removed by nobody out; 009",
            "released": "ended by nobody queued result in; 013",
        },
    ),
    "completed": (
        "completed by nobody out",
        {
            "start w1": "completed by nobody out; superseded",
            "start w2": "completed by nobody out; superseded",
            "start w2 again": "completed by nobody out; superseded",
        },
    ),
    "removed": (
        "removed by nobody out",
        {
            "start w1": "removed by nobody out; remove",
            "start w2": "removed by nobody out; remove",
            "start w2 again": "removed by nobody out; remove",
        },
    ),
}


def shown(job: Job) -> str:
    words = [STATUS[job.status], f"by {job.worker or 'nobody'}"]
    words += ["queued"] * job.queued + ["result"] * job.has_result
    return " ".join([*words, "in" if job.in_queue else "out"])


def effects(change: Any) -> str:
    names = {LogEvent: lambda e: e.text[:3], Tell: lambda e: e.action, SaveOutput: lambda e: "save"}
    return " ".join(names[type(effect)](effect) for effect in change.effects)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", TABLE)
def test_every_event_in_every_state_does_what_the_table_says(state: str, event: str) -> None:
    events = Events()
    look, changes = TABLE[state]
    before = after(*HISTORIES[state](events))
    assert shown(before) == look
    untouched = copy.deepcopy(before)

    change = apply(before, EVENTS[event](events))

    assert change.job is not None
    if event in changes:
        assert f"{shown(change.job)}; {effects(change)}" == changes[event]
    else:
        assert change.effects == []
        assert change.job == untouched


@pytest.mark.parametrize("state", TABLE)
def test_what_ended_a_run_may_be_told_again_and_changes_nothing(state: str) -> None:
    # a worker repeats its report when it cannot know whether the broker took it
    events = Events()
    history = HISTORIES[state](events)
    job = after(*history)
    reports = [e for e in history if e.kind in ("started", "finished", "evicted")]
    for report in reports:
        before = copy.deepcopy(job)
        change = apply(job, report)
        assert change.job == before, report
        assert not any(isinstance(effect, LogEvent) for effect in change.effects)


WORKERS = st.sampled_from(["w1", "w2", "w3"])
ATTEMPTS = st.integers(0, 3)
ANY_EVENT = st.one_of(
    st.builds(lambda a: ("submit", {"attempt": a}), st.integers(1, 4)),
    st.builds(lambda w, a: ("started", {"worker": w, "attempt": a}), WORKERS, ATTEMPTS),
    st.builds(lambda w, a: ("finished", {"worker": w, "attempt": a}), WORKERS, ATTEMPTS),
    st.builds(lambda w, a: ("evicted", {"worker": w, "attempt": a}), WORKERS, ATTEMPTS),
    st.builds(lambda a: ("lost", {"attempt": a}), ATTEMPTS),
    st.builds(lambda f: ("removed", {"force": f}), st.booleans()),
    st.sampled_from([("held", {}), ("held", {"code": 12}), ("released", {}), ("delivered", {})]),
)
STORIES = st.tuples(
    st.lists(ANY_EVENT, max_size=25),
    st.booleans(),
    st.sampled_from(["", "OnExitHold", "OnExitRemove"]),
    st.lists(st.integers(0, 30), max_size=5),
)


def stream(story: Any) -> list[JobMessage]:
    """A stream with any events in any order, some of them told twice."""
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
    assert after(*events) == after(*events)


@settings(max_examples=200, deadline=None)
@given(STORIES)
def test_each_event_twice_in_a_row_is_as_good_as_once(story: Any) -> None:
    events = stream(story)
    doubled = [event for event in events for _ in (0, 1)]
    # condor_rm -forcex is two steps by itself: removed, then let go
    if not any(event.kind == "removed" and event.force for event in events):  # type: ignore[attr-defined]
        assert after(*doubled) == after(*events)


# --- races ------------------------------------------------------------------------------------


def test_a_job_released_while_it_is_ending_is_queued_only_when_its_worker_has_gone() -> None:
    e = Events()
    history = [e.submit(), e.started(), e.held(), e.released()]
    assert after(*history).worker == "w1"  # the ledger does not queue what somebody still ends

    job = after(*history, e.evicted())

    assert (job.status, job.worker, job.queued) == (1, "", False)


def test_a_job_that_ends_by_itself_while_it_is_being_held_has_ended() -> None:
    e = Events()
    job = after(e.submit(), e.started(), e.held(), e.finished(code=4))
    assert (job.status, job.has_result, job.ad["ExitCode"]) == (6, True, "4")
    assert job.ad["HoldReasonCode"] == "undefined"


def test_a_lost_worker_may_still_hand_in_its_result_while_the_next_attempt_waits() -> None:
    e = Events()
    job = after(e.submit(), e.started(), e.lost(), e.submit(1), e.finished("w1", 0))
    assert (job.status, job.has_result) == (6, True)


def test_a_lost_worker_that_ends_while_another_is_asked_to_end_is_not_heard() -> None:
    # w2 still has the job: a job queued now would have two workers
    e = Events()
    running = [e.submit(), e.started(), e.lost(), e.submit(1), e.started("w2", 1)]
    job = after(*running, e.held(), e.released(), e.finished("w1", 0))
    assert (job.status, job.worker) == (1, "w2")


def test_an_undelivered_result_is_delivered_after_the_release_without_another_run() -> None:
    e = Events()
    held = [e.submit(), e.started(), e.finished(code=3), e.held(12, 2, "no such directory")]
    assert after(*held).ad["HoldReasonCode"] == "12"

    released = after(*held, e.released())
    assert (released.status, released.has_result, released.queued) == (6, True, True)

    done = after(*held, e.released(), e.delivered())
    assert (done.status, done.in_queue, done.ad["ExitCode"]) == (4, False, "3")
    assert done.ad["NumJobStarts"] == "1"


def test_a_worker_that_starts_a_held_job_is_told_and_waited_for() -> None:
    # no schedd answered its claim: the job was held meanwhile
    e = Events()
    change = told(e.submit(), e.held(), e.started())
    assert change.job is not None and change.job.worker == "w1"
    assert change.effects == [Tell("w1", 0, "hold")]


def test_leave_in_queue_keeps_a_completed_job_and_a_removed_one_until_forced() -> None:
    keep = {"LeaveJobInQueue": Expression("JobStatus >= 3")}
    e = Events(attributes=keep)
    completed = after(e.submit(), e.started(), e.finished(), e.delivered())
    assert (completed.status, completed.in_queue) == (4, True)

    e = Events(attributes=keep)
    removal = [e.submit(), e.removed()]
    assert after(*removal).in_queue
    assert after(*removal, e.removed()).in_queue
    assert not after(*removal, e.removed(force=True)).in_queue


def test_the_release_starts_the_count_of_lost_workers_again() -> None:
    e = Events()
    lost = [e.submit(), e.started(), e.lost(), e.held(26)]
    assert after(*lost).losses == 1
    assert after(*lost, e.released()).losses == 0


def test_an_event_of_a_job_that_the_stream_has_forgotten_makes_no_job() -> None:
    e = Events()
    assert [told(event).job for event in (e.started(), e.finished(), e.submit(2))] == [None] * 3


# --- the end by the job's own policy ------------------------------------------------------------


def test_a_job_held_by_its_exit_keeps_its_exit_code_and_its_output_is_saved() -> None:
    # DIRAC: on_exit_hold = ExitCode =!= 0, subcode 55
    e = Events(attributes={"OnExitHold": Expression("ExitCode =!= 0"), "OnExitHoldSubCode": 55})
    change = told(e.submit(), e.started(), e.finished(code=7))
    job = change.job
    assert job is not None
    assert (job.status, job.ad["ExitCode"], job.ad["HoldReasonCode"]) == (5, "7", "3")
    assert job.ad["HoldReasonSubCode"] == "55"
    assert "CompletionDate" not in job.ad
    assert effects(change) == "012 save"


def test_a_job_that_does_not_want_to_leave_runs_again() -> None:
    e = Events(attributes={"OnExitRemove": Expression("ExitCode == 0")})
    change = told(e.submit(), e.started(), e.finished(code=1))
    assert change.job is not None
    assert shown(change.job) == "idle by nobody in"
    assert effects(change) == "004 save"
    done = after(e.submit(), e.started("w1", 0), e.finished(code=0))
    assert done.status == 6


def test_a_job_that_could_not_be_started_is_held_without_an_exit_code() -> None:
    e = Events()
    hold = HoldReason(6, 2, "Failed to execute")
    job = after(e.submit(), e.started(), e.finished(code=None, hold=hold))
    assert (job.status, job.ad["HoldReasonCode"], job.has_result) == (5, "6", False)
    assert "ExitCode" not in job.ad and "TerminationPending" not in job.ad


# --- attributes (contract, section 5) -----------------------------------------------------------


def test_attributes_at_submit() -> None:
    ad = after(Events().submit()).ad
    assert {ad[name] for name in ("NumJobStarts", "NumJobCompletions", "CurrentHosts")} == {"0"}
    assert ad["RemoteWallClockTime"] == "0.0" and ad["ExitBySignal"] == "false"
    absent = ("JobStartDate", "CompletionDate", "ExitCode", "RemoteHost", "LastJobStatus")
    assert [name for name in absent if name in ad] == []


def test_attributes_of_a_running_job() -> None:
    e = Events()
    ad = after(e.submit(), e.started()).ad
    start = str(int(NOW) + 2)
    assert ad["JobStartDate"] == ad["JobCurrentStartDate"] == start
    assert ad["JobCurrentStartExecutingDate"] == ad["EnteredCurrentStatus"] == start
    assert (ad["RemoteHost"], ad["CurrentHosts"]) == ('"slot1_1@w1"', "1")
    assert (ad["NumJobStarts"], ad["JobRunCount"], ad["LastJobStatus"]) == ("1", "1", "1")
    assert ad["RemoteWallClockTime"] == "0.0"


def test_attributes_of_a_second_run_remember_the_first() -> None:
    e = Events()
    first = [e.submit(), e.started(), e.evicted(reason="pilot evicted")]
    ad = after(*first).ad
    assert "RemoteHost" not in ad and ad["LastRemoteHost"] == '"slot1_1@w1"'
    ad = after(*first, e.submit(1), e.started("w2", 1), e.finished("w2", 1)).ad
    assert ad["NumJobStarts"] == "2"
    assert ad["JobStartDate"] == ad["JobLastStartDate"] != ad["JobCurrentStartDate"]
    assert (ad["RemoteWallClockTime"], ad["RemoteUserCpu"]) == ("20.0", "1.5")
    assert (ad["CumulativeRemoteUserCpu"], ad["CumulativeRemoteSysCpu"]) == ("3.0", "1.0")


def test_attributes_of_a_completed_job() -> None:
    e = Events()
    ended = [e.submit(), e.started(), e.finished(code=3, stdout=b"hi\n")]
    ad = after(*ended, e.delivered()).ad
    assert (ad["ExitCode"], ad["ExitBySignal"], ad["ExitStatus"]) == ("3", "false", "0")
    assert "ExitSignal" not in ad and ad["BytesSent"] == "3.0"
    assert ad["CompletionDate"] == str(int(NOW) + 3)
    assert ad["EnteredCurrentStatus"] == str(int(NOW) + 4)
    assert ad["ResidentSetSize"] == "2048"
    assert ad["MemoryUsage"] == "((ResidentSetSize + 1023) / 1024)"


def test_attributes_of_a_job_that_died_of_a_signal() -> None:
    e = Events()
    ad = after(e.submit(), e.started(), e.finished(code=None, signal=9)).ad
    assert (ad["ExitBySignal"], ad["ExitSignal"], "ExitCode" in ad) == ("true", "9", False)


def test_attributes_of_a_job_removed_while_it_ran() -> None:
    e = Events()
    ad = after(e.submit(), e.started(), e.removed(), e.evicted()).ad
    assert (ad["ExitBySignal"], ad["ExitSignal"], "ExitCode" in ad) == ("true", "15", False)
    assert ad["RemoveReason"] == '"via condor_rm (by user games)"'
    assert "CompletionDate" not in ad and "RemoteHost" not in ad
    assert ad["RemoteWallClockTime"] == "10.0"


def test_attributes_of_a_hold_and_of_the_release() -> None:
    e = Events()
    held = [e.submit(), e.held(3, 7, "the job attribute")]
    ad = after(*held).ad
    assert (ad["HoldReasonCode"], ad["HoldReasonSubCode"]) == ("3", "7")
    assert (ad["NumHolds"], ad["NumSystemHolds"]) == ("1", "1")

    ad = after(*held, e.released()).ad
    names = ("HoldReason", "HoldReasonCode", "HoldReasonSubCode")
    assert {ad[name] for name in names} == {"undefined"}
    assert ad["LastHoldReason"] == '"the job attribute"' and ad["LastHoldReasonCode"] == "3"
    assert ad["ReleaseReason"] == '"via condor_release (by user games)"'


def test_a_job_submitted_on_hold_logs_its_submission_alone() -> None:
    assert effects(told(Events().recorded(15))) == "000"
    assert effects(told(Events().recorded(13))) == "000 012"
    assert shown(after(Events().recorded(15))) == "held by nobody in"


def test_wall_clock_time_of_a_lost_run_counts_and_its_cpu_time_stays_unknown() -> None:
    e = Events()
    history = [e.submit(), e.started()]
    e.now += 100
    ad = after(*history, e.lost()).ad
    assert (ad["RemoteWallClockTime"], ad["RemoteUserCpu"]) == ("101.0", "0.0")
    assert ad["LastRemoteHost"] == '"slot1_1@w1"'
