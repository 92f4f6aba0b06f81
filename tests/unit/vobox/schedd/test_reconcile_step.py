"""What follows from the stream is done in bounded steps: no claim waits long for its answer."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, Expression, ScheddHarness, Value
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Message, Submit
from thyme.protocol.job import JobId
from vobox.jobs import requirements
from vobox.schedd import reconciler
from vobox.schedd.reconciler import DELIVERY_SECONDS, STEP_JOBS


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path)
    made.clock.now = 1000.0
    yield made
    made.close()


def ended(proc: int) -> list[Message]:
    e = Events(JobId(1, proc))
    return [e.submit(), e.started(), e.finished()]


def publish(bench: ScheddHarness, *events: Message) -> None:
    bench.transport.record([codec.encode(event) for event in events])


def states(bench: ScheddHarness, procs: int) -> list[int]:
    return [bench.job(JobId(1, proc)).status for proc in range(procs)]


def step(bench: ScheddHarness) -> float:
    return bench.reconciler.reconcile_step()


def test_a_job_that_ends_alone_is_done_at_once(bench: ScheddHarness) -> None:
    publish(bench, *ended(0))

    assert step(bench) == 0.0
    assert states(bench, 1) == [6]  # written; the event is in the stream
    assert step(bench) == pytest.approx(DELIVERY_SECONDS)
    assert states(bench, 1) == [4]
    bench.clock.now += DELIVERY_SECONDS
    assert step(bench) == math.inf


def test_what_ends_right_after_it_is_done_together_a_moment_later(bench: ScheddHarness) -> None:
    publish(bench, *ended(0))
    step(bench)
    publish(bench, *ended(1), *ended(2))

    due = step(bench)
    assert states(bench, 3) == [4, 6, 6]
    before = len(bench.broker.calls)
    bench.clock.now += due
    assert step(bench) == 0.0

    assert bench.broker.calls[before:].count("record") == 1
    step(bench)
    assert states(bench, 3) == [4, 4, 4]


def test_a_step_is_bounded(bench: ScheddHarness) -> None:
    for proc in range(STEP_JOBS + 10):
        publish(bench, *ended(proc))

    step(bench)
    assert step(bench) > 0
    assert sorted(states(bench, STEP_JOBS + 10)) == [4] * STEP_JOBS + [6] * 10
    bench.settle()

    assert set(states(bench, STEP_JOBS + 10)) == {4}


def released(bench: ScheddHarness, procs: int, **attributes: Value | Expression) -> None:
    """Let the stream tell of jobs that were submitted on hold and are released together."""
    events = [Events(JobId(1, proc), attributes=attributes) for proc in range(procs)]
    publish(bench, *(e.recorded() for e in events))
    publish(bench, *(e.released() for e in events))


@pytest.fixture
def listed(bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make steps small; return how many jobs each list of those to be queued had."""
    monkeypatch.setattr(reconciler, "STEP_JOBS", 20)
    counts: list[int] = []
    read = bench.ledger.list_to_queue

    def count() -> list[JobId]:
        found = read()
        counts.append(len(found))
        return found

    monkeypatch.setattr(bench.ledger, "list_to_queue", count)
    return counts


def test_jobs_that_are_released_together_are_listed_once(
    bench: ScheddHarness, listed: list[int]
) -> None:
    released(bench, 400)
    steps = 0
    while bench.transport.count_ready("pool") < 400:
        assert step(bench) == 0.0
        steps += 1

    assert steps == 20
    assert listed == [400], "not 400, 380, 360 ..., 4,200 rows in all"
    bench.settle()
    submits = [event.job for event in bench.broker.messages() if isinstance(event, Submit)]
    assert submits == [JobId(1, proc) for proc in range(400)], "each once"


def test_what_happens_to_a_job_after_it_was_listed_counts(
    bench: ScheddHarness, listed: list[int]
) -> None:
    released(bench, 60)
    step(bench)
    e = Events(JobId(1, 59), now=Events().now + 100)
    publish(bench, Events(JobId(1, 58), now=e.now).removed(), e.held())
    step(bench)
    step(bench)
    assert listed == [60], "and the last of them were looked at"
    assert bench.transport.count_ready("pool") == 58
    publish(bench, e.released())
    bench.settle()

    assert listed[:2] == [60, 1]
    assert bench.kinds(JobId(1, 58)).count("submit") == 0
    assert bench.kinds(JobId(1, 59)).count("submit") == 1
    assert bench.transport.count_ready("pool") == 59


def test_jobs_that_a_step_had_no_time_for_are_looked_at_in_the_next_one(
    bench: ScheddHarness, listed: list[int]
) -> None:
    seconds = itertools.count(step=requirements.MAX_SELECT_SECONDS * 0.6)
    bench.state.matching_jobs = requirements.MatchingJobs(60.0, lambda: float(next(seconds)))
    released(bench, 3, Requirements=Expression("false"))
    publish(bench, Events(JobId(2, 0)).recorded(), Events(JobId(2, 0)).released())

    waits = [step(bench) for _ in range(4)]

    assert waits == [0.0] * 4
    assert bench.transport.count_ready("pool") == 1 and bench.kinds(JobId(2, 0))[-1] == "submit"
    assert listed == [4]
    bench.settle()
    waits = [step(bench) for _ in range(3)]
    assert waits == [0.0, 0.0, math.inf], "those that cannot match wait until they are due"


def test_a_result_whose_record_is_read_back_late_is_logged_once(
    bench: ScheddHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "user.log"
    e = Events(JobId(1, 0), attributes={"UserLog": str(log)})
    publish(bench, e.submit(), e.started(), e.finished())
    step(bench)
    # the broker has taken the record, and its reader is behind
    with monkeypatch.context() as behind:
        behind.setattr(bench.transport, "read", lambda after, limit: [])
        bench.clock.now += DELIVERY_SECONDS
        assert step(bench) > 0, "it is not delivered again"
        assert states(bench, 1) == [6]

    bench.settle()

    assert states(bench, 1) == [4]
    assert bench.kinds(JobId(1, 0)).count("delivered") == 1
    assert log.read_text().count("005 (") == 1


def test_a_result_that_could_not_be_recorded_is_logged_once(
    bench: ScheddHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "user.log"
    e = Events(JobId(1, 0), attributes={"UserLog": str(log)})
    publish(bench, e.submit(), e.started(), e.finished())

    def broken(bodies: object) -> None:
        raise BrokerUnreachable("the line broke")

    with monkeypatch.context() as away:
        away.setattr(bench.transport, "record", broken)
        with pytest.raises(BrokerUnreachable):
            step(bench)
    bench.settle()

    assert states(bench, 1) == [4]
    assert log.read_text().count("005 (") == 1
