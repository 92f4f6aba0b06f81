"""The schedd lets jobs that say how long they are wait in lanes, and no lane starve."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.schedd_parts import (
    JOB,
    SCHEDD,
    Events,
    Expression,
    ScheddHarness,
    ad_of,
    dump,
)
from thyme.broker.lanes import list_queues, parse_bounds
from thyme.errors import BadInvocation
from thyme.protocol import codec
from thyme.protocol.events import Submit
from thyme.protocol.job import JobId
from vobox.metrics.points import Tally
from vobox.schedd.lanes import LaneSettings, parse_attributes, read_declared_time
from vobox.schedd.state import Settings
from vobox.server.cli import DEFAULT_LANE_ATTRIBUTES

ATTRIBUTES = parse_attributes(DEFAULT_LANE_ATTRIBUTES)
LANES = LaneSettings(parse_bounds("10m,1h"), ATTRIBUTES, patience=3600.0)
SHORT, HOUR, LONG, OVERDUE = (f"pool.lane.{name}" for name in ("600", "3600", "long", "overdue"))


# --- what a job says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ({}, None),
        ({"MaxRuntime": 7200}, 7200.0),
        ({"MaxWallTimeMins": 90}, 5400.0),
        ({"maxwalltimemins": Expression("60 * 24")}, 86400.0),
        ({"JobTimeLimit": 3600}, 3600.0),
        ({"AllowedExecuteDuration": 300}, 300.0),
        ({"BatchRuntime": 1.5}, 1.5),
        ({"MaxRuntime": 7200, "AllowedJobDuration": 600}, 600.0),
        ({"MaxRuntime": 0}, None),
        ({"MaxRuntime": -5}, None),
        ({"MaxRuntime": "7200"}, None),
        ({"MaxRuntime": Expression("1/0")}, None),
        ({"MaxRuntime": Expression("RequestedTime")}, None),
        ({"MaxRuntime": Expression("((")}, None),
        ({"MaxRuntime": Expression("undefined"), "JobTimeLimit": 60}, 60.0),
    ],
)
def test_a_job_says_how_long_it_runs_in_one_of_several_attributes(
    attributes: dict[str, Any], seconds: float | None
) -> None:
    assert read_declared_time(ad_of(**attributes), ATTRIBUTES) == seconds


def test_a_site_names_its_own_attributes_with_their_units() -> None:
    mine = parse_attributes(" WallTimeHours*3600 , WallTime")
    assert mine == (("WallTimeHours", 3600.0), ("WallTime", 1.0))
    assert read_declared_time(ad_of(WallTimeHours=2, MaxRuntime=60), mine) == 7200.0
    assert parse_attributes("") == ()


@pytest.mark.parametrize("word", ["MaxRuntime*", "MaxRuntime*0", "60*MaxRuntime", "a b"])
def test_an_attribute_that_is_none_is_refused_with_what_to_write(word: str) -> None:
    with pytest.raises(BadInvocation) as caught:
        parse_attributes(f"WallTime,{word}")
    assert str(caught.value) == (
        f"lane attribute {word!r}: write NAME, or NAME*SECONDS for one in another unit, as "
        "MaxWallTimeMins*60"
    )


@pytest.mark.parametrize(
    ("attributes", "undeclared", "queue"),
    [
        ({"MaxRuntime": 600}, None, SHORT),
        ({"MaxRuntime": 601}, None, HOUR),
        ({"MaxRuntime": 3601}, None, LONG),
        ({}, None, "pool"),
        ({}, 1200.0, HOUR),
    ],
)
def test_a_job_waits_in_the_lane_of_the_time_that_it_says(
    attributes: dict[str, int], undeclared: float | None, queue: str
) -> None:
    lanes = LaneSettings(LANES.bounds, ATTRIBUTES, undeclared)
    for before in list_queues("pool", LANES.bounds):
        assert lanes.choose_queue(before, ad_of(**attributes)) == queue
    assert LaneSettings(attributes=ATTRIBUTES).choose_queue("pool", ad_of(**attributes)) == "pool"


# --- the queues ------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path, lease=300.0, lanes=LANES)  # type: ignore[arg-type]
    yield made
    made.close()


def submit(bench: ScheddHarness, queue: str, number: int = 0, **attributes: Any) -> Events:
    """Submit a job as condor_submit does, into this queue."""
    e = Events(JobId(38, number), attributes=attributes)
    bench.transport.submit(queue, [codec.encode(replace(e.submit(), pool=queue))])
    bench.settle()
    return e


def ready(bench: ScheddHarness) -> dict[str, int]:
    counts = {
        queue: bench.transport.count_ready(queue) for queue in list_queues("pool", LANES.bounds)
    }
    return {queue: count for queue, count in counts.items() if count}


def let_pass(bench: ScheddHarness, seconds: float) -> None:
    """Let time pass, with a look at the queues each minute."""
    end = bench.clock.now + seconds
    while bench.clock.now < end:
        bench.clock.now = min(bench.clock.now + 60.0, end)
        bench.end_leases()


def test_the_next_attempt_waits_in_the_lane_of_what_the_job_says_then(
    bench: ScheddHarness,
) -> None:
    e = submit(bench, "pool", MaxRuntime=7200)
    bench.record(e.started(), e.evicted())
    assert bench.job().pool == LONG
    assert ready(bench) == {"pool": 1, LONG: 1}  # the first message: no worker acknowledged it


def test_of_a_lane_that_workers_leave_alone_the_first_job_is_started_before_all_others(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        submit(bench, LONG, number, MaxRuntime=7200)
    busy = submit(bench, SHORT, 9, MaxRuntime=60)
    let_pass(bench, 3600.0)
    bench.record(busy.started())
    assert ready(bench) == {LONG: 3, SHORT: 1}

    with caplog.at_level(logging.WARNING):
        let_pass(bench, 180.0)

    assert [bench.job(JobId(38, number)).pool for number in range(3)] == [OVERDUE, LONG, LONG]
    assert ready(bench) == {LONG: 3, SHORT: 1, OVERDUE: 1}
    assert caplog.messages == [
        "job 38.0 is queued before all others: for 3600 s no worker has taken a job from "
        "pool.lane.long (pilots are not expected to live so long?)"
    ]


def test_no_lane_goes_without_a_start_for_longer_than_the_patience_and_a_look(
    bench: ScheddHarness,
) -> None:
    """Workers that live for ten minutes never run out of short jobs."""
    for number in range(5):
        submit(bench, LONG, number, MaxRuntime=7200)
        submit(bench, "pool", 10 + number)
    began, starts = bench.clock.now, []
    for turn in range(6 * 60):
        submit(bench, SHORT, 100 + turn, MaxRuntime=60)
        let_pass(bench, 60.0)
        # a worker comes each minute: it looks at the overdue jobs, then at the lane that fits
        delivery = bench.transport.take(OVERDUE) or bench.transport.take(SHORT)
        assert delivery is not None
        bench.transport.ack(delivery)
        message = codec.decode(delivery.body)
        assert isinstance(message, Submit)
        e = Events(message.job)
        bench.record(e.started(attempt=message.attempt))
        starts.append((bench.clock.now - began, message.job.proc))
    long = [when for when, proc in starts if proc < 10]
    plain = [when for when, proc in starts if 10 <= proc < 20]
    for times in (long, plain):
        assert len(times) == 5
        gaps = [after - before for before, after in zip([0.0, *times], times, strict=False)]
        # patience, the next look at the queues, and the next worker; twice, as both lanes starve
        assert max(gaps) <= 3600.0 + 60.0 + 2 * 60.0


def test_a_lane_from_which_jobs_start_or_in_which_none_waits_is_left_alone(
    bench: ScheddHarness,
) -> None:
    for number in range(4):
        submit(bench, LONG, number, MaxRuntime=7200)
    for number in range(3):
        let_pass(bench, 3000.0)
        bench.record(Events(JobId(38, number)).started())
    assert bench.job(JobId(38, 3)).pool == LONG

    while (delivery := bench.transport.take(LONG)) is not None:
        bench.transport.ack(delivery)
    let_pass(bench, 240.0)
    submit(bench, LONG, 8, MaxRuntime=7200)
    let_pass(bench, 3000.0)
    assert bench.job(JobId(38, 8)).pool == LONG


def test_without_lanes_nothing_is_ever_overdue(tmp_path: Path) -> None:
    bench = ScheddHarness(tmp_path, lease=1e6)
    bench.submit(Events(attributes={"MaxRuntime": 60}).submit())
    let_pass(bench, 86400.0)
    assert bench.kinds() == ["submit"]
    bench.close()


def test_jobs_of_a_lane_that_is_no_more_are_queued_where_they_belong_now(
    bench: ScheddHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    submit(bench, SHORT, 0, MaxRuntime=60)
    submit(bench, OVERDUE, 1)
    submit(bench, LONG, 2, MaxRuntime=1e6)
    bench.settings = Settings(SCHEDD, "pool", lanes=LaneSettings(parse_bounds("2m"), ATTRIBUTES))
    bench.restart()
    with caplog.at_level(logging.WARNING):
        let_pass(bench, 120.0)
    queues = [bench.job(JobId(38, number)).pool for number in range(3)]
    assert queues == ["pool.lane.120", OVERDUE, LONG]
    assert caplog.messages == [
        "1 jobs, job 38.0 the first, wait, and pool.lane.600 is no lane any more: they are queued "
        "again"
    ]


def test_a_message_that_a_lanes_queue_lost_is_queued_there_again(bench: ScheddHarness) -> None:
    submit(bench, SHORT, MaxRuntime=60)
    assert bench.transport.purge_queue(SHORT) == 1
    let_pass(bench, 700.0)
    assert bench.job().pool == SHORT and bench.job().attempt == 1
    assert ready(bench) == {SHORT: 1}


def test_a_ledger_made_again_knows_each_jobs_lane(bench: ScheddHarness) -> None:
    e = submit(bench, "pool", MaxRuntime=60)
    bench.record(e.started(), e.evicted())
    assert bench.job().pool == SHORT
    before = dump(bench.ledger)
    bench.restart(wiped=True)
    assert dump(bench.ledger) == before


def test_a_dead_letter_of_a_lane_holds_its_job_and_comes_back_into_the_lane(
    bench: ScheddHarness,
) -> None:
    bench.restart()
    submit(bench, SHORT, MaxRuntime=60)
    delivery = bench.transport.take(SHORT)
    assert delivery is not None
    bench.transport.reject(delivery, "no worker survived it")
    bench.settle()
    assert bench.job().status == 5
    assert bench.state.held == {JOB: ("pool", "DeadLetter")}

    assert bench.transport.requeue_dead_letters() == 1
    bench.settle()

    assert (bench.job().status, bench.job().pool) == (1, SHORT)


def test_metrics_count_a_pools_lanes_as_the_pool(bench: ScheddHarness) -> None:
    bench.state.tally = Tally()
    submit(bench, SHORT, 0, MaxRuntime=60)
    submit(bench, LONG, 1, MaxRuntime=7200)
    submit(bench, "pool", 2)
    bench.session.probe()
    assert bench.state.queue_depth == 3
    taken = bench.state.tally.take()
    assert {pool: one.counts["submitted"] for pool, one in taken.pools.items()} == {"pool": 3}
