"""A submit that the broker did not confirm: condor_submit fails, and nothing of it stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.schedd_parts import Clock
from tests.support.waiting import wait_until
from tests.unit.vobox.schedd.test_main_loop import Running
from thyme.broker import Transport
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Marker, Message, Removed
from vobox.ledger.writer import Ledger
from vobox.rpc.types import SubmitRefused
from vobox.schedd import command_gateway, stream_reader
from vobox.schedd.failed_submits import MOST, REASON, FailedSubmits
from vobox.schedd.main_loop import LOOK_PAUSE, Schedd
from vobox.schedd.settings import Settings


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def one(broker: FakeBroker) -> Running:
        made.append(Running(tmp_path, broker))
        assert made[-1].ready.wait(20)
        return made[-1]

    yield one
    for each in made:
        each.end()


def take(
    monkeypatch: pytest.MonkeyPatch,
    broker: FakeBroker,
    number: int,
    fault: Exception | None = None,
) -> None:
    """The next submit fails, when the broker has taken so many of its jobs."""
    real = broker.submit

    def half(pool: str, bodies: Iterable[bytes]) -> None:
        monkeypatch.setattr(broker, "submit", real)
        real(pool, list(bodies)[:number])
        raise fault or BrokerUnreachable("no confirm came")

    monkeypatch.setattr(broker, "submit", half)


def states(running: Running) -> str:
    queue = running.run("condor_q", "-allusers", "-af:j", "JobStatus").stdout
    history = running.run("condor_history", "-af:j", "JobStatus", "RemoveReason").stdout
    return queue + "--\n" + "".join(sorted(history.splitlines(keepends=True)))


@pytest.mark.parametrize("taken", [0, 2, 3])
def test_what_the_broker_took_of_it_is_removed_when_it_is_read_back(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    running = start(FakeBroker())
    take(monkeypatch, running.broker, taken)

    with pytest.raises(SubmitRefused, match="no confirm came"):
        running.submit(procs=3)

    wait_until(lambda: not running.schedd.trouble, "all well again")
    again = running.submit(procs=1)
    assert again == 2  # a CE that tries again gets another cluster, and only that one stays
    left = "".join(f"1.{proc} 3 {REASON}\n" for proc in range(taken))
    assert states(running) == f"2.0 1\n--\n{left}"


def test_a_job_whose_message_cannot_be_made_after_all_takes_the_others_with_it(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(FakeBroker())
    take(monkeypatch, running.broker, 2, SubmitRefused("job 1.2: nobody foresaw it"))

    with pytest.raises(SubmitRefused, match=r"job 1\.2: nobody foresaw it"):
        running.submit(procs=3)

    left = "".join(f"1.{proc} 3 {REASON}\n" for proc in range(2))
    gone = f"--\n{left}"
    wait_until(lambda: states(running) == gone, "they left", state=lambda: states(running))
    assert running.submit(procs=1) == 2


def test_it_is_removed_by_the_next_schedd_too(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    first = start(broker)
    take(monkeypatch, broker, 1)
    broker.break_at("declare_topology")
    with pytest.raises(SubmitRefused):
        first.submit(procs=2)
    first.end()

    second = start(broker)

    assert states(second) == f"--\n1.0 3 {REASON}\n"
    assert sum(isinstance(message, Removed) for message in broker.messages()) == 1


def test_a_disk_that_fails_while_they_are_published_does_not_refuse_them(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(FakeBroker())
    monkeypatch.setattr(command_gateway, "LOOK_EVERY", 1)
    looks: list[Transport] = []

    def full(transport: Transport) -> None:
        looks.append(transport)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(running.schedd, "read_some", full)

    running.submit(procs=3)

    assert len(looks) == 1  # the disk is not asked again and again
    assert states(running) == "1.0 1\n1.1 1\n1.2 1\n--\n"


def test_what_a_submit_puts_into_the_ledger_is_what_the_stream_says(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    first = start(broker)
    decoded: list[bytes] = []
    monkeypatch.setattr(stream_reader.codec, "decode", _noting(decoded, codec.decode))
    first.submit(procs=3)
    published = {each.body for each in broker.stream if b'"submit"' in each.body}
    assert len(published) == 3 and not published & set(decoded)  # ours: known already
    shown = without_time(first.run("condor_q", "-allusers", "-long").stdout)
    first.end()
    (first.directory / "ledger.db").unlink()

    second = start(broker)

    assert published <= set(decoded)
    assert without_time(second.run("condor_q", "-allusers", "-long").stdout) == shown


def without_time(ads: str) -> list[str]:
    """The lines, but for the moment of the question."""
    return [line for line in ads.splitlines() if not line.startswith("ServerTime")]


def _noting(seen: list[bytes], real: Callable[..., Message]) -> Callable[..., Message]:
    def decode(data: bytes, with_input: bool = True) -> Message:
        seen.append(data)
        return real(data, with_input)

    return decode


def test_as_many_as_can_be_are_remembered_and_no_disk_is_needed_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    refused = FailedSubmits("vobox", ledger)
    for cluster in range(MOST + 5):
        refused.add(cluster)
    assert refused._clusters == FailedSubmits("vobox", ledger)._clusters == list(range(5, MOST + 5))

    ledger.close()
    refused.add(999)

    assert refused._clusters[-1] == 999
    assert "only remembered until we end" in caplog.text


# --- how old the answers are -----------------------------------------------------------------


def test_the_age_of_the_ledger_is_told_when_the_broker_is_away(
    start: Callable[..., Running],
) -> None:
    running = start(FakeBroker())
    running.submit()
    assert running.run("condor_q").code == 0
    running.lose_broker(BrokerUnreachable("broker vanished"))

    bare = running.run("condor_q")

    assert bare.code == 1
    assert "broker vanished (it is " in bare.stderr
    assert bare.stderr.endswith(" s old)\n")


def test_what_comes_shortly_after_a_look_at_the_stream_is_read_with_the_next(
    tmp_path: Path,
) -> None:
    clock, broker = Clock(), FakeBroker()
    ledger = Ledger(tmp_path / "ledger.db")
    schedd = Schedd(Settings("vobox", "pool"), broker.connect, ledger, clock, clock)
    transport = schedd._go_live()
    assert transport is not None
    schedd._step(transport)
    read = schedd._reader.records_read
    broker.connect().record([codec.encode(Marker("vobox", "token", 1))])

    schedd._step(transport)
    assert schedd._reader.records_read == read

    clock.now += 2 * LOOK_PAUSE
    schedd._step(transport)
    assert schedd._reader.records_read == read + 1
    transport.close()
    ledger.close()
