"""The broker lost records of the stream, or messages of a job queue: no job is lost or waits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker, FakeTransport
from tests.support.schedd_parts import Events, ScheddHarness, describe_job, read_all_jobs
from tests.support.waiting import wait_until
from thyme.broker import Record
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Marker
from thyme.protocol.job import JobId

IDLE_AND_QUEUED = "idle with message"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path, lease=300.0)
    yield made
    made.close()


def take(bench: ScheddHarness) -> None:
    """Take a message as a worker does, and acknowledge it."""
    delivery = bench.transport.take("pool")
    assert delivery is not None
    bench.transport.ack(delivery)


def let_time_pass(bench: ScheddHarness, leases: int = 10) -> None:
    for _ in range(leases):
        bench.clock.now += 301
        bench.end_leases()
        bench.policies()


def settle_until(bench: ScheddHarness, state: str) -> None:
    """Wait for the thread that writes the owner's files."""

    def reached() -> bool:
        bench.settle()
        return describe_job(bench.job()) == state

    wait_until(reached, state, 20.0, lambda: describe_job(bench.job()))


def others_say_something(bench: ScheddHarness) -> None:
    bench.broker.record([codec.encode(Marker("other", str(n), 1)) for n in range(5)])


# --- records of the stream ----------------------------------------------------------------------


def test_a_job_that_ran_while_the_schedd_was_away_for_too_long_is_queued_again(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    e = Events()
    bench.submit(e.submit())
    take(bench)
    bench.broker.record([codec.encode(x) for x in (e.started(), e.finished(stdout=b"result"))])
    others_say_something(bench)
    bench.broker.trim(4)  # the submit and both events

    bench.restart()

    assert describe_job(bench.job()) == IDLE_AND_QUEUED
    assert (bench.job().attempt, bench.transport.count_ready("pool")) == (1, 1)
    assert "the event stream lacks 3 records that were not read; idle jobs" in caplog.text
    let_time_pass(bench)
    assert bench.transport.count_ready("pool") == 1, "queued again once"


def test_a_schedd_killed_before_it_queued_the_jobs_again_does_so_once(
    bench: ScheddHarness,
) -> None:
    bench.submit(Events().submit())
    others_say_something(bench)
    bench.broker.trim(4)
    bench.reader.check_same_stream()
    while bench.reader.catch_up(replaying=True):
        pass
    for _ in range(3):
        bench.restart()  # as after kill -9
        assert (bench.job().attempt, describe_job(bench.job())) == (1, IDLE_AND_QUEUED)


def test_a_stream_without_its_oldest_records_has_no_gap(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    others_say_something(bench)
    bench.broker.trim(1)
    before = read_all_jobs(bench.ledger)
    bench.restart()
    assert read_all_jobs(bench.ledger) == before
    assert bench.state.health.loss == ""


def test_while_jobs_are_queued_again_the_ledger_is_said_to_be_out_of_date(
    bench: ScheddHarness,
) -> None:
    bench.state.health.report_well()
    bench.state.health.report_loss("records are gone")
    assert bench.state.health.describe_staleness() == "records are gone"
    bench.settle()
    assert bench.state.health.describe_staleness() == ""


def test_a_stream_that_lost_its_end_costs_no_job(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Events(JobId(1, 0)), Events(JobId(2, 0))
    bench.submit(first.submit())
    bench.submit(second.submit())
    bench.record(first.started(), second.started("w2"), first.held(), first.evicted())
    before = read_all_jobs(bench.ledger)
    del bench.broker.stream[1:]  # a power cut: quorum queues are on the disk, a stream is not
    bench.broker._last_offset = 1

    bench.restart()

    assert "the event stream ends before what the ledger has read of it; idle jobs" in caplog.text
    assert read_all_jobs(bench.ledger) == before
    # and what comes now is read, although its offsets were read before
    bench.record(second.finished("w2", stdout=b"result"), first.released())
    assert describe_job(bench.job(JobId(2, 0))) == "completed, left the queue"
    assert describe_job(bench.job(JobId(1, 0))) == IDLE_AND_QUEUED


def test_a_stream_that_lost_its_end_and_went_on_costs_no_job(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Events(JobId(1, 0)), Events(JobId(2, 0))
    bench.submit(first.submit())
    bench.wall.now += 61
    bench.submit(second.submit())
    bench.record(second.started("w2"))
    del bench.broker.stream[1:]
    bench.broker._last_offset = 1
    # the workers are back before the schedd, and tell more than was lost
    others_say_something(bench)
    bench.broker.record([codec.encode(second.finished("w2", stdout=b"result"))])

    bench.restart()

    assert "the event stream has lost records that the ledger has read; idle jobs" in caplog.text
    assert sorted(read_all_jobs(bench.ledger)) == ["1.0", "2.0"]
    assert describe_job(bench.job(JobId(2, 0))) == "completed, left the queue"
    assert describe_job(bench.job(JobId(1, 0))) == IDLE_AND_QUEUED
    assert list(bench.directory.glob("ledger.db.other-stream-*")) == []


def test_a_marker_in_the_place_of_the_one_record_that_was_lost_is_no_other_stream(
    bench: ScheddHarness,
) -> None:
    for proc in range(3):
        bench.submit(Events(JobId(1, proc)).submit())
    del bench.broker.stream[-1:]
    bench.broker._last_offset = 2
    bench.broker.trim(1)  # and with it the record that would show that it is the same stream
    bench.restart()
    assert sorted(read_all_jobs(bench.ledger)) == ["1.0", "1.1", "1.2"]


def test_a_new_stream_costs_no_job_and_its_own_jobs_are_known(tmp_path: Path) -> None:
    first = ScheddHarness(tmp_path)
    for proc in range(5):
        first.submit(Events(JobId(1, proc)).submit())
    running = Events(JobId(1, 4))
    first.record(running.started())
    first.close()
    second = ScheddHarness(tmp_path, FakeBroker())
    # recorded before the schedd was there: the end of a run, and a job that the ledger lacks
    reports = (running.finished(), Events(JobId(0, 7)).submit())
    second.transport.record([codec.encode(each) for each in reports])

    second.restart()

    kept = read_all_jobs(second.ledger)
    assert sorted(kept) == ["0.7", "1.0", "1.1", "1.2", "1.3", "1.4"]
    assert describe_job(second.job(JobId(1, 4))) == "completed, left the queue"
    # the queues are gone with the stream: what is idle is queued again
    assert second.transport.count_ready("pool") == 5
    assert second.ledger.read_meta("queue_again", "") == ""
    again = read_all_jobs(second.ledger)
    second.restart()
    assert read_all_jobs(second.ledger) == again
    second.close()


# --- messages of a job queue --------------------------------------------------------------------


def test_a_job_whose_next_attempt_reached_the_stream_alone_is_queued_again(
    bench: ScheddHarness,
) -> None:
    e = Events()
    bench.submit(e.submit())
    take(bench)

    def reach_the_stream_alone(pool: str, bodies: Sequence[bytes]) -> None:
        bench.broker.append(bodies, lambda _body: f"submit.{pool}")
        raise BrokerUnreachable("it could not store a message; see its log")

    bench.broker.submit = reach_the_stream_alone  # type: ignore[method-assign]
    with pytest.raises(BrokerUnreachable):
        bench.record(e.started(), e.evicted())
    del bench.broker.submit  # type: ignore[attr-defined]
    bench.transport = bench.broker.connect()
    bench.restart()

    let_time_pass(bench)

    assert bench.transport.count_ready("pool") == 1
    assert (describe_job(bench.job()), bench.job().attempt) == (IDLE_AND_QUEUED, 2)


def test_jobs_whose_queue_was_purged_are_queued_again(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    for proc in range(3):
        bench.submit(Events(JobId(1, proc)).submit())
    bench.transport.purge_queue("pool")
    let_time_pass(bench)
    assert bench.transport.count_ready("pool") == 3
    assert [bench.job(JobId(1, proc)).attempt for proc in range(3)] == [1, 1, 1]
    assert caplog.messages == [
        "3 jobs, job 1.0 the first, wait, and their messages have left the queue of pool pool: "
        "they are queued again"
    ]


def test_a_lost_message_is_found_although_its_queue_is_never_empty(bench: ScheddHarness) -> None:
    jobs = [Events(JobId(1, proc)) for proc in range(3)]
    for e in jobs:
        bench.submit(e.submit())
    take(bench)  # job 1.0 is lost with its worker's node, the acknowledgement on the disk
    take(bench)
    bench.record(jobs[1].started(), jobs[1].finished())
    let_time_pass(bench)
    assert [bench.job(JobId(1, proc)).attempt for proc in (0, 2)] == [1, 0]
    assert bench.transport.count_ready("pool") == 2


def test_a_job_that_waits_in_a_full_queue_is_left_alone(bench: ScheddHarness) -> None:
    for proc in range(3):
        bench.submit(Events(JobId(1, proc)).submit())
    let_time_pass(bench)
    assert bench.transport.count_ready("pool") == 3
    assert bench.job(JobId(1, 0)).attempt == 0


class Late(FakeTransport):
    """As RabbitMQ: a record can be read some time after it was confirmed."""

    def __init__(self, broker: FakeBroker) -> None:
        super().__init__(broker)
        self._shown, self._left = 10**9, 0

    def submit(self, pool: str, bodies: Sequence[bytes]) -> None:  # type: ignore[override]
        self._shown, self._left = len(self._broker.stream), 3
        super().submit(pool, bodies)

    def read(self, after: int, limit: int) -> list[Record]:
        self._left -= 1
        if self._left < 0:
            self._shown = 10**9
        return [each for each in super().read(after, limit) if each.offset <= self._shown]


def test_a_job_is_queued_again_once_although_the_stream_is_late(bench: ScheddHarness) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.transport = Late(bench.broker)
    bench.record(e.started(), e.evicted())
    for _ in range(5):
        bench.settle()
    assert bench.kinds().count("submit") == 2
    assert (describe_job(bench.job()), bench.job().attempt) == (IDLE_AND_QUEUED, 1)


# --- results ------------------------------------------------------------------------------------


def test_a_late_report_of_a_lost_attempt_does_not_replace_the_result(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    e = Events(attributes={"Iwd": str(tmp_path), "Out": "out"})
    bench.submit(e.submit())
    bench.record(e.started("w1", 0))
    bench.clock.now += 301
    bench.end_leases()
    bench.record(e.started("w2", 1))
    # read together: the end of w2's run, and of w1's, whose line is back
    bench.record(
        e.finished("w2", 1, code=0, stdout=b"right"), e.finished("w1", 0, code=7, stdout=b"wrong")
    )
    settle_until(bench, "completed, left the queue")
    assert bench.job().ad["ExitCode"] == "0"
    assert (tmp_path / "out").read_bytes() == b"right"


def test_nor_while_the_job_is_held_because_its_output_could_not_be_written(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    e = Events(attributes={"Iwd": str(tmp_path), "Out": "out"})
    (tmp_path / "out").mkdir()
    bench.submit(e.submit())
    bench.record(e.started("w1", 0))
    bench.clock.now += 301
    bench.end_leases()
    bench.record(e.started("w2", 1))
    bench.record(e.finished("w2", 1, code=0, stdout=b"right"))
    settle_until(bench, "held with message and result")
    assert bench.job().ad["HoldReasonCode"] == "12"
    bench.record(e.finished("w1", 0, code=7, stdout=b"wrong"))  # an hour later
    (tmp_path / "out").rmdir()
    bench.record(e.released())
    settle_until(bench, "completed, left the queue")
    assert (tmp_path / "out").read_bytes() == b"right"


def test_the_loss_of_too_many_attempts_and_the_hold_are_one_event(tmp_path: Path) -> None:
    bench = ScheddHarness(tmp_path, lease=300.0, max_attempts=1)
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started())
    bench.clock.now += 301
    bench.end_leases()
    assert bench.kinds() == ["submit", "started", "lost"]
    assert describe_job(bench.job()) == "held"
    assert bench.job().ad.text("HoldReason").startswith("lost 1 times: no news of its worker")
    bench.close()
