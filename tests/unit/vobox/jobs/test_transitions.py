"""Transitions of a job: every event in every state, in every order."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.schedd_parts import Events, after, effects, shown
from thyme.protocol.events import JobMessage
from vobox.jobs.job import LogEvent
from vobox.jobs.transitions import MAX_FAILED_STARTS, apply

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
            "finish w1": "ended by nobody queued result in; 006",
            "finish w2": "ended by nobody queued result in; 006",
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
            "finish w1": "ended by nobody queued result in; 006",
            "evict w1": "idle by nobody in; 004",
            "lost": "idle by nobody in; superseded 004",
            "removed": "removed by w1 queued in; 004 009 remove",
            "forced": "removed by w1 queued in; 004 009 remove",
            "held": "held by w1 queued in; 004 012 hold",
        },
    ),
    "held": (
        "held by nobody queued in",
        {
            "start w1": "held by nobody queued in; superseded",
            "start w2": "held by nobody queued in; superseded",
            "start w2 again": "held by nobody queued in; superseded",
            "finish w1": "ended by nobody queued result in; 006",
            "finish w2": "ended by nobody queued result in; 006",
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
            "finish w1": "ended by nobody queued result in; 006",
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
            "finish w1": "ended by nobody result in; 006",
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
            "finish w1": "ended by nobody result in; 006",
            "finish w2": "ended by nobody result in; 006",
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
            "finish w1": "ended by nobody queued result in; 006",
            "finish w2": "ended by nobody queued result in; 006",
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
            "finish w2": "ended by nobody queued result in; 006",
            "removed": "removed by w2 queued in; 004 009 remove",
            "forced": "removed by w2 queued in; 004 009 remove",
            "held": "held by w2 queued in; 004 012 hold",
        },
    ),
    "removed, ending": (
        "removed by w1 queued in",
        {
            "start w2": "removed by w1 queued in; superseded",
            "start w2 again": "removed by w1 queued in; superseded",
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
            "start w1": "removed by nobody out; superseded",
            "start w2": "removed by nobody out; superseded",
            "start w2 again": "removed by nobody out; superseded",
        },
    ),
}


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


def test_an_eviction_by_a_worker_that_did_not_start_the_job_changes_nothing() -> None:
    """Its line broke while it claimed, or it was told to leave; the message is free again."""
    e = Events()
    job = after(e.submit(), e.evicted("w1", 0, "evicted with its pilot"))
    assert shown(job) == "idle by nobody queued in"

    job = after(e.submit(), e.evicted(), e.started("w2"), e.finished("w2"))
    assert shown(job) == "ended by nobody queued result in"


def test_a_job_that_no_worker_can_run_is_held_after_some_attempts_and_says_why() -> None:
    e = Events()
    events: list[JobMessage] = [e.submit()]
    for attempt in range(MAX_FAILED_STARTS):
        assert after(*events).status == 1
        events += [e.submit(attempt)] if attempt else []
        events += [e.started("w1", attempt), e.evicted("w1", attempt, "No space left on device")]

    job = after(*events)

    assert shown(job) == "held by nobody in"
    assert job.ad.text("HoldReason") == (
        "no worker could run it, 10 times in a row: No space left on device"
    )
    released = after(*events, e.released())
    assert (released.status, released.failed_starts) == (1, 0)


@pytest.mark.parametrize("reason", ["evicted with its pilot", "vacated"])
def test_evictions_that_are_nobodys_failure_are_not_counted(reason: str) -> None:
    e = Events()
    events: list[JobMessage] = [e.submit()]
    for attempt in range(2 * MAX_FAILED_STARTS):
        events += [e.submit(attempt)] if attempt else []
        events += [e.started("w1", attempt), e.evicted("w1", attempt, reason)]

    assert after(*events).failed_starts == 0
    assert shown(after(*events)) == "idle by nobody in"


def test_events_of_another_life_of_the_number_change_nothing() -> None:
    e = Events()
    submit = replace(e.submit(), life="one")
    job = after(submit, replace(e.started(), life="one"))
    for event in (e.finished(), e.evicted(), e.started("w2"), e.submit(1)):
        assert apply(job, replace(event, life="other")).job == job
        assert apply(job, replace(event, life="other")).effects == []
    assert after(submit, e.started(), e.finished()).status == 6  # of an older release


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
