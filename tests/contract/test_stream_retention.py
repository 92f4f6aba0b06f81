"""A real stream that forgets its records by size still rebuilds every job of a schedd."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, ScheddHarness, describe_job, dump
from tests.support.waiting import wait_until
from thyme.broker import Retention, Transport, connect
from thyme.broker.amqp import topology
from thyme.broker.sqlite import transport as sqlite
from thyme.protocol import codec
from thyme.protocol.events import JobMessage, Marker
from thyme.protocol.job import JobId, SandboxFile, Task
from vobox.schedd.session import Session

#: Bytes that the stream keeps, and of the records of another schedd that come between two rounds.
KEPT, OTHERS = 2_000_000, 100_000


class Broker:
    """Connections to one broker, for ``ScheddHarness``."""

    def __init__(self, url: str) -> None:
        self.connect: Callable[[], Transport] = lambda: connect(url)


AMQP = [pytest.mark.needs("rabbitmq")]


@pytest.fixture(
    params=[
        "sqlite", pytest.param("amqp", marks=AMQP), pytest.param("a policy", marks=AMQP),
    ]
)  # fmt: skip
def broker(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    if request.param != "sqlite":
        vhost = request.getfixturevalue("rabbitmq")
        monkeypatch.setattr(topology, "SEGMENT_BYTES", KEPT // 20)
        if request.param == "amqp":
            monkeypatch.setattr(topology, "MAX_BYTES", KEPT)
        else:
            policy = json.dumps({"max-length-bytes": KEPT})
            where = ("-p", vhost.name, "--apply-to", "queues", "short", "thyme.events")
            vhost.server.ctl("set_policy", *where, policy)
        yield Broker(vhost.url)
    else:
        monkeypatch.setattr(sqlite, "RETENTION", Retention(7 * 86400.0, KEPT))
        monkeypatch.setattr(sqlite, "TRIM_INTERVAL", 0.0)
        monkeypatch.setattr(sqlite, "TRIM_RECORDS", 100)
        yield Broker(f"sqlite://{tmp_path}/broker.db")


def begin(bench: ScheddHarness) -> None:
    """Begin a session as the schedd does: read the stream up to a marker of its own."""
    bench.transport.close()
    bench.state.ledger = bench.ledger
    bench.transport = bench.broker.connect()
    assert bench.session.start(lambda: False)


def read_back(bench: ScheddHarness) -> None:
    """Read the stream up to a marker that is recorded now."""
    last = os.urandom(8).hex()
    bench.record(Marker(bench.settings.name, last, 1))
    wait_until(lambda: bench.settle() or bench.reader.last_marker == last, "the stream's end")


def first_offset(bench: ScheddHarness) -> int:
    line = bench.broker.connect()
    try:
        return line.read(-1, 1)[0].offset
    finally:
        line.close()


def test_a_stream_that_was_filled_many_times_rebuilds_the_ledger(
    broker: Broker,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "home").mkdir()
    bench = ScheddHarness(tmp_path, broker, lease=1e9)  # type: ignore[arg-type]
    begin(bench)
    by_policy = "a policy" in request.node.name
    assert bench.transport.get_retention().bytes == (20e9 if by_policy else KEPT)
    home = {"Iwd": str(tmp_path / "home"), "Out": "out"}
    task = Task("/bin/sh", files=(SandboxFile("input", bytes(range(256)) * 50),))
    _idle, held, running, ended = jobs = [
        Events(JobId(number, 0), attributes=home, task=task) for number in range(1, 5)
    ]
    bench.transport.submit("pool", [codec.encode(e.submit()) for e in jobs])
    said: list[JobMessage] = [
        held.held(), running.started(), ended.started("w2"), ended.finished("w2", stdout=b"done")
    ]  # fmt: skip
    bench.transport.record([codec.encode(event) for event in said])
    read_back(bench)
    wait_until(lambda: bench.settle() or bench.job(JobId(4, 0)).status == 4, "job 4.0 to complete")
    submitted = bench.job(JobId(1, 0)).recorded

    other = [codec.encode(Marker("other", "t" * 255, n)) for n in range(OTHERS // 300)]
    while first_offset(bench) <= submitted + 3 * len(other) * KEPT // OTHERS:
        bench.transport.record(other)
        bench.clock.now += 61
        bench.reconciler.end_leases()
        read_back(bench)
    bench.clock.now += 61
    bench.reconciler.end_leases()
    read_back(bench)

    assert caplog.text.count("the event stream has kept only") == by_policy
    lived = [row for row in dump(bench.ledger) if isinstance(row, tuple)]
    states = {job.id: describe_job(job) for job in bench.ledger._read_jobs("1=1")}
    assert list(states.values()) == [
        "idle with message", "held with message", "running on w1 with message",
        "completed, left the queue",
    ]  # fmt: skip
    assert min(job.recorded for job in bench.ledger._read_jobs("1=1")) >= first_offset(bench)

    bench.ledger.close()
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    former = bench.transport
    bench.open()
    bench.session = Session(bench.state, former)
    begin(bench)

    assert [row for row in dump(bench.ledger) if isinstance(row, tuple)] == lived
    bench.record(running.finished(stdout=b"at last"))
    wait_until(lambda: bench.settle() or bench.job(JobId(3, 0)).status == 4, "job 3.0 to complete")
    assert (tmp_path / "home/out").read_bytes() == b"at last"
    bench.close()
