"""Transitions of a job: every event in every state, in every order."""

import copy
import datetime
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.schedd_parts import USAGE, Events, describe_effects, describe_job, job_after
from thyme.protocol import codec
from thyme.protocol.events import Finished, JobMessage, Suspended, Usage, expect_kind
from vobox.jobs.job import LogEvent
from vobox.jobs.transitions import MAX_FAILED_STARTS, apply

#: state → the events that lead to it
HISTORIES: dict[str, Callable[[Events], list[JobMessage]]] = {
    "idle": lambda e: [e.submit()],
    "running": lambda e: [e.submit(), e.started()],
    "held": lambda e: [e.submit(), e.held()],
    "held, ending": lambda e: [e.submit(), e.started(), e.held()],
    "released, ending": lambda e: [e.submit(), e.started(), e.held(), e.released()],
    "waiting for its next message": lambda e: [e.submit(), e.started(), e.evicted()],
    "lost": lambda e: [e.submit(), e.started(), e.lost()],
    "next idle": lambda e: [e.submit(), e.started(), e.lost(), e.submit(1)],
    "next running": lambda e: [
        e.submit(), e.started(), e.lost(), e.submit(1), e.started("w2", 1),
    ],
    "removed, ending": lambda e: [e.submit(), e.started(), e.removed()],
    "transferring output": lambda e: [e.submit(), e.started(), e.finished()],
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

#: state → how ``describe_job`` describes it, and what each event makes of it: the job; log events
#: and control messages. An event that is not listed changes nothing.
TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "idle": (
        "idle with message",
        {
            "start w1": "running on w1 with message; 001",
            "start w2": "running on w2 with message; 001",
            "start w2 again": "running on w2 with message; 001",
            "finish w1": "ended with message and result; 006",
            "finish w2": "ended with message and result; 006",
            "removed": "removed, left the queue; 009",
            "forced": "removed, left the queue; 009",
            "held": "held with message; 012",
        },
    ),
    "running": (
        "running on w1 with message",
        {
            "start w2": "running on w1 with message; superseded",
            "start w2 again": "running on w1 with message; superseded",
            "finish w1": "ended with message and result; 006",
            "evict w1": "idle; 004",
            "lost": "idle; superseded 004",
            "removed": "removed on w1 with message; 004 009 remove",
            "forced": "removed on w1 with message; 004 009 remove",
            "held": "held on w1 with message; 004 012 hold",
        },
    ),
    "held": (
        "held with message",
        {
            "start w1": "held with message; superseded",
            "start w2": "held with message; superseded",
            "start w2 again": "held with message; superseded",
            "finish w1": "ended with message and result; 006",
            "finish w2": "ended with message and result; 006",
            "removed": "removed, left the queue; 009",
            "forced": "removed, left the queue; 009",
            "released": "idle; 013",
        },
    ),
    "held, ending": (
        "held on w1 with message",
        {
            "start w2": "held on w1 with message; superseded",
            "start w2 again": "held on w1 with message; superseded",
            "finish w1": "ended with message and result; 006",
            "evict w1": "held with message; ",
            "lost": "held with message; superseded",
            "removed": "removed on w1 with message; 009 remove",
            "forced": "removed on w1 with message; 009 remove",
            "released": "idle on w1; 013",
        },
    ),
    "released, ending": (
        "idle on w1",
        {
            "start w2": "idle on w1; superseded",
            "start w2 again": "idle on w1; superseded",
            "finish w1": "ended with result; 006",
            "evict w1": "idle; ",
            "lost": "idle; superseded",
            "removed": "removed on w1; 009 remove",
            "forced": "removed on w1; 009 remove",
            "held": "held on w1; 012 hold",
        },
    ),
    "waiting for its next message": (
        "idle",
        {
            "start w1": "idle; superseded",
            "start w2": "idle; superseded",
            "start w2 again": "running on w2; 001",
            "removed": "removed, left the queue; 009",
            "forced": "removed, left the queue; 009",
            "held": "held; 012",
        },
    ),
    "lost": (
        "idle",
        {
            "start w1": "idle; superseded",
            "start w2": "idle; superseded",
            "start w2 again": "running on w2; 001",
            "finish w1": "ended with result; 006",
            "finish w2": "ended with result; 006",
            "removed": "removed, left the queue; 009",
            "forced": "removed, left the queue; 009",
            "held": "held; 012",
        },
    ),
    "next idle": (
        "idle with message",
        {
            "start w1": "idle with message; superseded",
            "start w2": "idle with message; superseded",
            "start w2 again": "running on w2 with message; 001",
            "finish w1": "ended with message and result; 006",
            "finish w2": "ended with message and result; 006",
            "removed": "removed, left the queue; 009",
            "forced": "removed, left the queue; 009",
            "held": "held with message; 012",
        },
    ),
    "next running": (
        "running on w2 with message",
        {
            "start w1": "running on w2 with message; superseded",
            "start w2": "running on w2 with message; superseded",
            "finish w2": "ended with message and result; 006",
            "removed": "removed on w2 with message; 004 009 remove",
            "forced": "removed on w2 with message; 004 009 remove",
            "held": "held on w2 with message; 004 012 hold",
        },
    ),
    "removed, ending": (
        "removed on w1 with message",
        {
            "start w2": "removed on w1 with message; superseded",
            "start w2 again": "removed on w1 with message; superseded",
            "finish w1": "removed, left the queue; ",
            "evict w1": "removed, left the queue; ",
            "lost": "removed, left the queue; ",
            "forced": "removed, left the queue; ",
        },
    ),
    "transferring output": (
        "ended with message and result",
        {
            "start w1": "ended with message and result; superseded",
            "start w2": "ended with message and result; superseded",
            "start w2 again": "ended with message and result; superseded",
            "removed": "removed, left the queue; 009",
            "forced": "removed, left the queue; 009",
            "held": "held with message and result; 012",
            "delivered": "completed, left the queue; ",
        },
    ),
    "undelivered": (
        "held with message and result",
        {
            "start w1": "held with message and result; superseded",
            "start w2": "held with message and result; superseded",
            "start w2 again": "held with message and result; superseded",
            "held": "held with message and result; 012",
            "removed": "removed, left the queue; 009",
            "forced": "removed, left the queue; 009",
            "released": "ended with message and result; 013",
        },
    ),
    "completed": (
        "completed, left the queue",
        {
            "start w1": "completed, left the queue; superseded",
            "start w2": "completed, left the queue; superseded",
            "start w2 again": "completed, left the queue; superseded",
        },
    ),
    "removed": (
        "removed, left the queue",
        {
            "start w1": "removed, left the queue; superseded",
            "start w2": "removed, left the queue; superseded",
            "start w2 again": "removed, left the queue; superseded",
        },
    ),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", TABLE)
def test_every_event_in_every_state_does_what_the_table_says(state: str, event: str) -> None:
    events = Events()
    look, changes = TABLE[state]
    before = job_after(*HISTORIES[state](events))
    assert describe_job(before) == look
    untouched = copy.deepcopy(before)

    change = apply(before, EVENTS[event](events))

    assert change.job is not None
    if event in changes:
        assert f"{describe_job(change.job)}; {describe_effects(change)}" == changes[event]
    else:
        assert change.effects == []
        assert change.job == untouched


def test_an_eviction_by_a_worker_that_did_not_start_the_job_changes_nothing() -> None:
    """Its line broke while it claimed, or it was told to leave; the message is free again."""
    e = Events()
    job = job_after(e.submit(), e.evicted("w1", 0, "evicted with its pilot"))
    assert describe_job(job) == "idle with message"

    job = job_after(e.submit(), e.evicted(), e.started("w2"), e.finished("w2"))
    assert describe_job(job) == "ended with message and result"


def test_a_job_that_no_worker_can_run_is_held_after_some_attempts_and_says_why() -> None:
    e = Events()
    events: list[JobMessage] = [e.submit()]
    for attempt in range(MAX_FAILED_STARTS):
        assert job_after(*events).status == 1
        events += [e.submit(attempt)] if attempt else []
        events += [e.started("w1", attempt), e.evicted("w1", attempt, "No space left on device")]

    job = job_after(*events)

    assert describe_job(job) == "held"
    assert job.ad.text("HoldReason") == (
        "no worker could run it, 10 times in a row: No space left on device"
    )
    released = job_after(*events, e.released())
    assert (released.status, released.failed_starts) == (1, 0)


@pytest.mark.parametrize("reason", ["evicted with its pilot", "vacated"])
@pytest.mark.parametrize("usage", [Usage(wall=5.0), Usage(wall=36000.0), USAGE])
def test_evictions_of_runs_that_lasted_are_nobodys_failure(reason: str, usage: Usage) -> None:
    # also where no CPU time was used: the program slept
    e = Events()
    events: list[JobMessage] = [e.submit()]
    for attempt in range(2 * MAX_FAILED_STARTS):
        events += [e.submit(attempt)] if attempt else []
        events += [e.started("w1", attempt), e.evicted("w1", attempt, reason, usage)]
        assert job_after(*events).failed_starts == 0

    assert describe_job(job_after(*events)) == "idle"


@pytest.mark.parametrize("reason", ["evicted with its pilot", "vacated", "held", "removed"])
@pytest.mark.parametrize("wall", [0.0, 4.94])
def test_a_job_that_is_evicted_at_once_ten_times_in_a_row_is_held(reason: str, wall: float) -> None:
    e = Events()
    events: list[JobMessage] = [e.submit()]
    for attempt in range(MAX_FAILED_STARTS):
        assert job_after(*events).status == 1
        assert job_after(*events).failed_starts == attempt
        events += [e.submit(attempt)] if attempt else []
        events += [e.started("w1", attempt), e.evicted("w1", attempt, reason, Usage(wall=wall))]

    job = job_after(*events)

    assert describe_job(job) == "held"
    assert job.ad.text("HoldReason") == (
        f"no worker could run it, 10 times in a row: {reason} after {wall:.1f} s"
    )
    codes = (job.ad.number("HoldReasonCode"), job.ad.number("HoldReasonSubCode"))
    assert codes == (26, 0)
    assert [job.ad.number(name) for name in ("NumJobStarts", "NumVacates")] == [10, 10]
    released = job_after(*events, e.released())
    assert (released.status, released.failed_starts) == (1, 0)


def test_a_run_that_lasted_begins_the_count_of_evictions_at_once_again() -> None:
    e = Events()
    events: list[JobMessage] = [e.submit()]
    counts = []
    for attempt in range(3 * MAX_FAILED_STARTS):
        wall = 600.0 if attempt % MAX_FAILED_STARTS == 9 else 0.1
        reason = "No space left on device" if attempt % 4 == 1 and wall < 1 else "vacated"
        events += [e.submit(attempt)] if attempt else []
        events += [
            e.started("w1", attempt),
            e.evicted("w1", attempt, reason, Usage(wall=wall)),
        ]
        counts.append(job_after(*events).failed_starts)

    assert counts == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 3, "failed starts and evictions in one row"
    assert describe_job(job_after(*events)) == "idle"


YEAR = 365 * 86400.0


@pytest.mark.parametrize(
    ("clock", "shown"),
    # how far a node's clock is ahead, and how long after its start a run of 600 s then ended
    [(0.0, 603), (30.0, 633), (-30.0, 573), (YEAR, 600), (-YEAR, 600), (3600.0, 600)],
)
def test_a_run_ends_by_the_schedds_clock(clock: float, shown: int) -> None:
    e = Events()
    job = job_after(e.submit(), e.started())
    event = replace(e.finished(), time=e.now - 1.0 + 603.0 + clock)
    after = apply(job, replace(event, usage=Usage(wall=600.0))).job
    assert after is not None
    began = job.ad.number("JobCurrentStartDate")
    for name in ("CompletionDate", "EnteredCurrentStatus"):
        assert after.ad.number(name) - began == shown


def test_a_run_that_is_said_to_take_for_ever_ends_at_a_time_that_has_a_date() -> None:
    e = Events()
    job = job_after(e.submit(), e.started())
    event = codec.decode(codec.encode(replace(e.finished(), usage=Usage(wall=1e18))))
    after = apply(job, expect_kind(event, Finished)).job
    assert after is not None
    assert datetime.datetime.fromtimestamp(after.ad.number("CompletionDate")).year < 9999


def test_a_run_does_not_end_before_what_happened_to_it() -> None:
    e = Events()
    job = job_after(e.submit(), e.started(), Suspended(e.schedd, e.job, e.now + 100.0, ""))
    after = apply(job, e.finished()).job
    assert after is not None
    assert after.ad.number("CompletionDate") == job.ad.number("EnteredCurrentStatus")


def test_events_of_another_life_of_the_number_change_nothing() -> None:
    e = Events()
    job = job_after(e.submit(), e.started())
    for event in (e.finished(), e.evicted(), e.started("w2"), e.submit(1)):
        assert apply(job, replace(event, life="other")).job == job
        assert apply(job, replace(event, life="other")).effects == []


@pytest.mark.parametrize("state", TABLE)
def test_a_repeated_report_changes_nothing(state: str) -> None:
    # a worker repeats its report when it cannot know whether the broker took it
    events = Events()
    history = HISTORIES[state](events)
    job = job_after(*history)
    reports = [e for e in history if e.kind in ("started", "finished", "evicted")]
    for report in reports:
        before = copy.deepcopy(job)
        change = apply(job, report)
        assert change.job == before, report
        assert not any(isinstance(effect, LogEvent) for effect in change.effects)
