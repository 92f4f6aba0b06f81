"""What follows from the stream is done in bounded steps: no claim waits long for its answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, ScheddHarness
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Message
from thyme.protocol.job import JobId
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
