"""Dead letters and forged records: no job is silently stuck, none is made up."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.schedd_parts import (
    SCHEDD,
    Events,
    ScheddHarness,
    describe_job,
    job_after,
    logged,
    read_all_jobs,
)
from thyme.broker import connect, routing_keys
from thyme.protocol import codec
from thyme.protocol.events import JobMessage, Snapshot
from vobox.jobs.job import encode_state
from vobox.jobs.transitions import MAX_FAILED_STARTS, DeadLettered, apply


@pytest.fixture(params=["fake", "sqlite"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ScheddHarness]:
    bench = ScheddHarness(tmp_path)
    if request.param == "sqlite":
        bench.transport = connect(f"sqlite://{tmp_path}/broker.db")
        bench.transport.declare_topology(["pool"])
    yield bench
    bench.close()


@pytest.fixture
def e(tmp_path: Path) -> Events:
    return Events(attributes={"UserLog": str(tmp_path / "log")})


def reject(bench: ScheddHarness, reason: str) -> None:
    """Do what a worker does that cannot read the message."""
    delivery = bench.transport.take("pool")
    assert delivery is not None
    bench.transport.reject(delivery, reason)
    bench.settle()


def test_a_job_whose_message_was_put_aside_is_held_and_says_why(
    bench: ScheddHarness, e: Events, tmp_path: Path
) -> None:
    bench.submit(e.submit())

    reject(bench, "task: field 'files' should be\na list")

    job = bench.job()
    assert describe_job(job) == "held with message"
    assert job.ad.text("HoldReason") == (
        "its message was put aside by the broker: task: field 'files' should be a list"
    )
    assert (job.ad.number("HoldReasonCode"), job.ad.number("HoldReasonSubCode")) == (26, 74)
    assert job.ad.number("NumSystemHolds") == 1
    assert logged(tmp_path / "log") == ["000 38.0", "012 38.0"]


def test_a_rebuilt_ledger_holds_it_too(bench: ScheddHarness, e: Events) -> None:
    bench.submit(e.submit())
    reject(bench, "unreadable")
    before = read_all_jobs(bench.ledger)

    bench.restart(wiped=True)

    assert read_all_jobs(bench.ledger) == before


def test_a_released_one_is_queued_as_the_next_attempt(bench: ScheddHarness, e: Events) -> None:
    bench.submit(e.submit())
    reject(bench, "unreadable")

    bench.record(e.released())

    assert (describe_job(bench.job()), bench.job().attempt) == ("idle with message", 1)
    bench.record(e.started(attempt=1))
    assert describe_job(bench.job()) == "running on w1 with message"


def test_one_that_is_queued_again_goes_on_as_the_next_attempt(
    bench: ScheddHarness, e: Events, tmp_path: Path
) -> None:
    bench.submit(e.submit())
    reject(bench, "unreadable")

    assert bench.transport.requeue_dead_letters() == 1
    bench.settle()

    job = bench.job()
    assert (describe_job(job), job.attempt) == ("idle with message", 1)
    assert "HoldReasonCode" not in job.ad
    assert "queued again" in job.ad.text("ReleaseReason")
    assert logged(tmp_path / "log") == ["000 38.0", "012 38.0", "013 38.0"]
    bench.record(e.started(attempt=1))
    assert describe_job(bench.job()) == "running on w1 with message"
    before = read_all_jobs(bench.ledger)
    bench.restart(wiped=True)
    assert read_all_jobs(bench.ledger) == before


def test_one_that_was_in_both_places_and_ran_goes_on_too(bench: ScheddHarness, e: Events) -> None:
    """The worker that put it aside died between the publish and the acknowledgement."""
    bench.submit(e.submit())
    reject(bench, "unreadable")
    bench.record(e.released(), e.held())
    bench.record(e.started(attempt=1), e.evicted(attempt=1))
    bench.record(e.released())
    for _ in range(2):
        bench.transport.requeue_dead_letters()
        bench.settle()

    job = bench.job()
    assert describe_job(job) == "idle with message"
    assert job.attempt > job.ended
    bench.record(e.started("w2", job.attempt))
    assert describe_job(bench.job()) == "running on w2 with message"


@pytest.mark.parametrize("held_by_user", [True, False])
def test_one_that_is_queued_again_too_late_changes_nothing(
    bench: ScheddHarness, e: Events, held_by_user: bool
) -> None:
    bench.submit(e.submit())
    reject(bench, "unreadable")
    bench.record(e.released(), *([e.held()] if held_by_user else [e.removed()]))
    before = read_all_jobs(bench.ledger)

    bench.transport.requeue_dead_letters()
    bench.settle()

    assert read_all_jobs(bench.ledger) == before


def test_the_dead_letter_of_an_attempt_that_is_over_holds_nothing(
    bench: ScheddHarness, e: Events
) -> None:
    bench.submit(e.submit())
    bench.record(e.started(), e.evicted())
    assert bench.job().attempt == 1

    reject(bench, "delivered too often")

    assert describe_job(bench.job()) == "idle with message"


def test_a_running_job_goes_on_although_its_message_was_put_aside(
    bench: ScheddHarness, e: Events
) -> None:
    bench.submit(e.submit())
    bench.record(e.started())

    reject(bench, "delivered too often")

    assert describe_job(bench.job()).startswith("running on w1")


def test_a_dead_letter_that_is_no_job_of_ours_is_nothing(bench: ScheddHarness, e: Events) -> None:
    other = Events(schedd="another")
    bench.submit(e.submit())
    bench.transport.submit("pool", [codec.encode(other.submit())])
    bench.transport.submit("pool", [codec.encode(e.held())])
    delivery = bench.transport.take("pool")
    assert delivery is not None
    bench.transport.ack(delivery)

    reject(bench, "x")
    reject(bench, "y")

    assert describe_job(bench.job()) == "idle with message"
    assert bench.state.stream.unreadable == 0


# --- forged records ------------------------------------------------------------------------


def forge(broker: FakeBroker, key: str, *events: JobMessage) -> None:
    """Publish records under a key of another kind."""
    broker.append([codec.encode(event) for event in events], lambda _body: key)


def test_what_its_sender_had_no_right_to_say_is_not_believed_and_logged_once(
    tmp_path: Path, e: Events, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()
    with closing(ScheddHarness(tmp_path, broker)) as bench, caplog.at_level(logging.ERROR):
        bench.submit(e.submit())

        forge(broker, "event.finished", e.removed(), e.held(), e.started())
        forge(broker, "submit.pool", e.removed())
        forge(broker, "event.started", e.submit(attempt=1))
        bench.settle()

        assert describe_job(bench.job()) == "idle with message"
        assert bench.state.stream.forged == 5
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 3
        assert "came as 'event.finished' and says that it is 'removed': not believed" in lines[0]


@pytest.mark.parametrize("user", ["worker-other", "worker", "monitor", ""])
def test_a_worker_of_another_pool_ends_no_job_of_this_one(
    tmp_path: Path, e: Events, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()
    with closing(ScheddHarness(tmp_path, broker)) as bench:
        bench.submit(e.submit())
        for event in (e.started("w9"), e.finished("w9"), e.evicted("w9")):
            broker.append([codec.encode(event)], routing_keys.make_event_key, user=user)
        ended = encode_state(replace(bench.job(), status=4, version=99))
        told = Snapshot(SCHEDD, e.job, e.now, "pool", 0, 0, {}, ended)
        broker.append([codec.encode(told)], routing_keys.make_event_key, user=user)
        dead = codec.encode(e.submit())
        broker.append([dead], lambda _body: "dead.pool", "because I can", user)
        broker.append([dead], lambda _body: "dead.other", "because I can", "vobox")
        bench.settle()
        assert describe_job(bench.job()) == "idle with message"
        assert bench.state.stream.forged == 6
        assert f"came as 'event.finished' of user {user!r} on a job of pool 'pool'" in caplog.text


@pytest.mark.parametrize("user", ["worker-pool", "vobox", None])
def test_a_worker_of_the_jobs_pool_is_believed(tmp_path: Path, e: Events, user: str | None) -> None:
    broker = FakeBroker()
    with closing(ScheddHarness(tmp_path, broker)) as bench:
        bench.submit(e.submit())
        broker.append([codec.encode(e.started("w9"))], routing_keys.make_event_key, user=user)
        bench.settle()
        assert describe_job(bench.job()).startswith("running on w9")


def test_a_message_that_was_taken_too_often_is_queued_again_some_times(
    bench: ScheddHarness, e: Events
) -> None:
    """Its workers may have waited for a schedd that was away: none of them has begun."""
    bench.submit(e.submit())
    for attempt in (1, 2):
        reject(bench, "delivered more than 20 times, and each time its worker died")
        assert describe_job(bench.job()) == "idle with message"
        assert (bench.job().attempt, bench.transport.count_ready("pool")) == (attempt, 1)
    reject(bench, "delivered more than 20 times, and each time its worker died")
    assert (bench.job().status, bench.job().ad.number("HoldReasonSubCode")) == (5, 74)


@pytest.mark.parametrize(("put_aside", "shown"), [(-500.0, 0.0), (500.0, 500.0)])
def test_a_job_is_not_held_before_it_was_idle(e: Events, put_aside: float, shown: float) -> None:
    """RabbitMQ's record of a dead letter has the time at which the message was submitted."""
    job = job_after(e.submit(), e.started(), e.evicted(), e.submit(1))
    idle_since = job.ad.number("EnteredCurrentStatus")
    dead = DeadLettered(
        e.schedd, e.job, idle_since + put_aside, 1, "rejected by its worker", life=e.life
    )
    held = apply(job, dead).job
    assert held is not None
    assert held.status == 5
    assert held.ad.number("EnteredCurrentStatus") - idle_since == shown


def test_a_run_in_between_lets_it_be_taken_too_often_again(bench: ScheddHarness, e: Events) -> None:
    bench.submit(e.submit())
    for attempt in (1, 3, 5, 7):
        reject(bench, "delivered more than 20 times, and each time its worker died")
        assert bench.job().attempt == attempt
        delivery = bench.transport.take("pool")
        assert delivery is not None
        bench.transport.ack(delivery)
        bench.record(e.started("w1", attempt), e.evicted("w1", attempt))
        assert describe_job(bench.job()) == "idle with message"


def test_messages_taken_too_often_and_starts_that_failed_are_counted_apart(
    bench: ScheddHarness, e: Events
) -> None:
    bench.submit(e.submit())
    for attempt in range(MAX_FAILED_STARTS - 1):
        if attempt % 4 == 0:
            reject(bench, "delivered more than 20 times, and each time its worker died")
            bench.clock.now += 1000  # the pause after failed starts
            bench.settle()
        delivery = bench.transport.take("pool")
        assert delivery is not None
        bench.transport.ack(delivery)
        number = bench.job().attempt
        bench.record(e.started("w1", number), e.evicted("w1", number, "no space left"))
        bench.clock.now += 1000
        bench.settle()
        assert describe_job(bench.job()) == "idle with message"
    number = bench.job().attempt
    bench.record(e.started("w1", number), e.evicted("w1", number, "no space left"))

    assert describe_job(bench.job()) == "held"
    reason = bench.job().ad.text("HoldReason")
    assert reason == "no worker could run it, 10 times in a row: no space left"
    bench.record(e.released())
    assert (bench.job().failed_starts, bench.job().dead_letters) == (0, 0)
