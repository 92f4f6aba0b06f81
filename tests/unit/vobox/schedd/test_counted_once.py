"""What happens to jobs is counted once, also what happens while no schedd is there."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import NOW, Events, ScheddHarness
from thyme.broker.base import Record
from thyme.protocol import codec
from thyme.protocol.events import JobMessage, Usage
from thyme.protocol.job import JobId
from vobox.metrics.points import Tally


class Counting(ScheddHarness):
    """Counts in a tally of its own after each start, as the metrics do."""

    def open(self) -> None:
        super().open()
        self.state.tally = Tally()

    def counts(self) -> dict[str, int]:
        assert self.state.tally is not None
        found: dict[str, int] = {}
        for pool in self.state.tally.take().pools.values():
            for name in ("submitted", "started", "finished", "lost"):
                if pool.counts[name]:
                    found[name] = found.get(name, 0) + pool.counts[name]
        return found

    def while_away(self, *events: JobMessage) -> None:
        """In the stream, and read by nobody."""
        self.transport.record([codec.encode(event) for event in events])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Counting]:
    made = Counting(tmp_path)
    yield made
    made.close()


def test_ends_while_the_schedd_is_away_are_counted_when_it_is_back(bench: Counting) -> None:
    jobs = [Events(JobId(number, 0)) for number in (1, 2, 3)]
    bench.submit(*(e.submit() for e in jobs))
    bench.record(*(e.started() for e in jobs))
    assert bench.counts() == {"submitted": 3, "started": 3}
    bench.while_away(*(e.finished() for e in jobs))
    bench.restart()
    assert bench.counts() == {"finished": 3}
    bench.restart()
    assert bench.counts() == {}, "once"


def test_a_ledger_made_from_nothing_counts_no_old_events_and_every_new_one(
    bench: Counting,
) -> None:
    e, other = Events(JobId(1, 0)), Events(JobId(2, 0))
    bench.submit(e.submit(), other.submit())
    bench.record(e.started(), e.finished())
    assert bench.counts() == {"submitted": 2, "started": 1, "finished": 1}
    bench.restart(wiped=True)
    assert bench.counts() == {}, "they were counted before the disk was lost"
    bench.record(other.started())
    assert bench.counts() == {"started": 1}
    bench.while_away(other.finished())
    bench.restart()
    assert bench.counts() == {"finished": 1}, "the ledger is no new one any more"


def test_a_lost_connection_counts_what_happens_meanwhile(bench: Counting) -> None:
    e = Events(JobId(1, 0))
    bench.submit(e.submit())
    bench.record(e.started())
    bench.counts()
    bench.while_away(e.finished())
    # a new session of the same schedd
    bench.transport = bench.broker.connect()
    bench.reader.check_same_stream()
    while bench.reader.catch_up(replaying=True):
        pass
    bench.session.finish_replay()
    assert bench.counts() == {"finished": 1}


def test_a_worker_whose_clock_is_slow_makes_no_lag(
    bench: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = bench.transport.read

    slow = ("started", "finished")

    def read_late(*words: int) -> list[Record]:
        late = bench.state.wall() - 600.0
        return [one._replace(time=late) if kind(one) in slow else one for one in read(*words)]

    def kind(record: Record) -> str:
        return getattr(codec.decode(record.body), "kind", "")

    monkeypatch.setattr(bench.transport, "read", read_late)
    e, other = Events(JobId(1, 0)), Events(JobId(2, 0))
    bench.submit(e.submit())
    bench.record(e.started(), e.finished())
    assert bench.state.tally is not None
    assert bench.state.tally.take().lag < 60.0
    slow = ("submit",)
    bench.submit(other.submit())
    assert bench.state.tally.take().lag == 600.0, "its own event is as old as that"


def test_a_worker_whose_clock_is_fast_makes_no_long_wait(bench: Counting) -> None:
    e = Events(JobId(1, 0))
    bench.submit(e.submit())
    bench.record(dataclasses.replace(e.started(), time=bench.state.wall() + 3600.0))
    assert bench.state.tally is not None
    (tally,) = bench.state.tally.take().pools.values()
    (wait,) = tally.waits
    assert wait <= bench.state.wall() - NOW, "when it was submitted"


def test_cpu_time_of_a_lost_attempt_is_what_its_worker_last_told(bench: Counting) -> None:
    e = Events(JobId(1, 0))
    bench.submit(e.submit())
    bench.record(e.started())
    bench.leases.live.update(e.job, Usage(user_cpu=30.0, system_cpu=4.0), 5.0)
    bench.clock.now += 1000.0
    bench.end_leases()
    assert bench.state.tally is not None
    (pool,) = bench.state.tally.take().pools.values()
    assert (pool.counts["lost"], pool.seconds["lost_cpu_seconds"]) == (1, 34.0)


def test_jobs_whose_message_was_put_aside_are_counted_until_they_are_back(bench: Counting) -> None:
    jobs = [Events(JobId(number, 0)) for number in (1, 2)]
    bench.submit(*(e.submit() for e in jobs))
    bench.restart()
    assert bench.state.held == {}
    for _ in jobs:
        delivery = bench.transport.take("pool")
        assert delivery is not None
        bench.transport.reject(delivery, "unreadable")
    bench.settle()
    dead = {e.job: ("pool", "DeadLetter") for e in jobs}
    assert bench.state.held == dead
    bench.restart()
    assert bench.state.held == dead, "the ledger knows it"
    bench.transport.requeue_dead_letters()
    bench.settle()
    assert bench.state.held == {}


def test_held_jobs_are_known_by_reason_until_they_are_released(bench: Counting) -> None:
    jobs = [Events(JobId(number, 0)) for number in (1, 2, 3)]
    bench.submit(*(e.submit() for e in jobs))
    bench.restart()
    for e, code in zip(jobs, (1, 13, 4711), strict=True):
        bench.record(e.held(code))
    named = {
        JobId(1, 0): ("pool", "UserRequest"),
        JobId(2, 0): ("pool", "TransferInputError"),
        JobId(3, 0): ("pool", "Other"),
    }
    assert bench.state.held == named
    bench.restart()
    assert bench.state.held == named, "the ledger knows them"
    bench.record(jobs[0].released())
    bench.record(jobs[1].removed())
    assert bench.state.held == {JobId(3, 0): named[JobId(3, 0)]}
