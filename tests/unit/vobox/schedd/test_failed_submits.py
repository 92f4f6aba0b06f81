"""A submit that the broker did not confirm: condor_submit fails, and nothing of it stays."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.schedd_parts import Clock
from tests.support.waiting import wait_until
from tests.unit.vobox.schedd.test_main_loop import Running
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Marker, Removed, Submit
from thyme.protocol.job import JobId
from vobox.ledger.writer import Ledger
from vobox.rpc.types import CommandRefused
from vobox.schedd import command_gateway
from vobox.schedd.failed_submits import MAX_CLUSTERS, REASON, FailedSubmits
from vobox.schedd.main_loop import RECONCILE_SECONDS, Schedd
from vobox.schedd.state import Settings


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
    """Let the next submit fail when the broker has taken so many of its jobs."""
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

    with pytest.raises(CommandRefused, match="no confirm came"):
        running.submit(procs=3)

    wait_until(lambda: not running.schedd.trouble, "all well again")
    again = running.submit(procs=1)
    assert again == 2  # a CE that tries again gets another cluster, and only that one stays
    left = "".join(f"1.{proc} 3 {REASON}\n" for proc in range(taken))
    assert states(running) == f"2.0 1\n--\n{left}"


def test_it_is_removed_by_the_next_schedd_too(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    first = start(broker)
    take(monkeypatch, broker, 1)
    broker.break_at("declare_topology")
    with pytest.raises(CommandRefused):
        first.submit(procs=2)
    first.end()

    second = start(broker)

    assert states(second) == f"--\n1.0 3 {REASON}\n"
    assert sum(isinstance(message, Removed) for message in broker.messages()) == 1


def test_what_a_submit_puts_into_the_ledger_is_what_the_stream_says(
    start: Callable[..., Running],
) -> None:
    broker = FakeBroker()
    first = start(broker)
    first.submit(procs=3)
    shown = without_time(first.run("condor_q", "-allusers", "-long").stdout)
    first.end()
    (first.directory / "ledger.db").unlink()

    second = start(broker)

    assert without_time(second.run("condor_q", "-allusers", "-long").stdout) == shown


def without_time(ads: str) -> list[str]:
    """Return the lines, but for the moment of the question."""
    return [line for line in ads.splitlines() if not line.startswith("ServerTime")]


def test_as_many_as_can_be_are_remembered_and_no_disk_is_needed_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    refused = FailedSubmits("vobox", ledger)
    for cluster in range(MAX_CLUSTERS + 5):
        refused.add(cluster)
    assert (
        refused._clusters
        == FailedSubmits("vobox", ledger)._clusters
        == list(range(5, MAX_CLUSTERS + 5))
    )

    ledger.close()
    refused.add(999)

    assert refused._clusters[-1] == 999
    (said,) = caplog.messages
    assert said.startswith("cluster 999 failed, which is remembered only until the schedd ends: ")


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
    session = schedd._open_session()
    assert session is not None
    schedd._step(session)
    read = schedd._state.stream.records
    broker.connect().record([codec.encode(Marker("vobox", "token", 1))])

    schedd._step(session)
    assert schedd._state.stream.records == read

    clock.now += 2 * RECONCILE_SECONDS
    schedd._step(session)
    assert schedd._state.stream.records == read + 1
    session.transport.close()
    ledger.close()


# --- large submits, in slices ------------------------------------------------------------------


def break_at_the_second_slice(
    monkeypatch: pytest.MonkeyPatch, broker: FakeBroker, fault: Exception
) -> None:
    monkeypatch.setattr(command_gateway, "SLICE_JOBS", 2)
    real, slices = broker.submit, []

    def submit(pool: str, bodies: Sequence[bytes]) -> None:
        slices.append(len(bodies))
        if len(slices) == 2:
            raise fault
        real(pool, bodies)

    monkeypatch.setattr(broker, "submit", submit)


def test_a_large_submit_lets_other_commands_in_between(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(FakeBroker())
    monkeypatch.setattr(command_gateway, "SLICE_JOBS", 2)
    real, slices, seen = running.broker.submit, [], []

    def submit(pool: str, bodies: Sequence[bytes]) -> None:
        slices.append(len(bodies))
        # asked while this slice is queued, and answered before the next is
        running.schedd._calls.submit(lambda _session: seen.append(len(slices)))
        real(pool, bodies)

    monkeypatch.setattr(running.broker, "submit", submit)
    running.submit(procs=5)

    assert slices == [2, 2, 1]
    wait_until(lambda: len(seen) == 3, "all three are answered")
    assert seen == [1, 2, 3]
    assert running.caller.words == 3, "the client was told that the schedd is at work"
    assert running.idle() == 5
    assert FailedSubmits("vobox", running.ledger)._clusters == [], "and nothing is noted"


def test_messages_that_memory_has_no_room_for_are_made_again(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(FakeBroker())
    monkeypatch.setattr(command_gateway, "SLICE_JOBS", 2)
    monkeypatch.setattr(command_gateway, "KEPT_BYTES", 1)
    cluster = running.submit(procs=5)

    made = [each for each in running.broker.messages() if isinstance(each, Submit)]
    assert [each.job for each in made] == [JobId(cluster, proc) for proc in range(5)]
    assert len({each.life for each in made}) == 1
    assert running.idle() == 5


def test_a_slice_that_fails_takes_those_before_it_along(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(FakeBroker())
    break_at_the_second_slice(monkeypatch, running.broker, BrokerUnreachable("no confirm came"))

    with pytest.raises(CommandRefused, match="no confirm came"):
        running.submit(procs=5)

    wait_until(lambda: running.idle() == 0 and not running.schedd.trouble, "they are removed")
    assert states(running) == f"--\n1.0 3 {REASON}\n1.1 3 {REASON}\n"


def submit_and_kill(monkeypatch: pytest.MonkeyPatch, running: Running, procs: int) -> None:
    """Submit and fail; as after a kill, nothing more of the submit is done, and nothing cleared."""
    monkeypatch.setattr(FailedSubmits, "give_up", lambda _self, _cluster: None)
    monkeypatch.setattr(FailedSubmits, "add", lambda _self, _cluster: None)
    with pytest.raises(CommandRefused):
        running.submit(procs=procs)
    running.end()


def test_a_schedd_killed_in_a_small_submit_removes_what_was_queued_at_its_next_start(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    first = start(broker)
    take(monkeypatch, broker, 1, BrokerUnreachable("killed"))
    submit_and_kill(monkeypatch, first, 2)

    monkeypatch.undo()
    second = start(broker)

    assert states(second) == f"--\n1.0 3 {REASON}\n"


def test_a_schedd_killed_between_two_slices_removes_the_first_at_its_next_start(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    first = start(broker)
    break_at_the_second_slice(monkeypatch, broker, BrokerUnreachable("killed"))
    submit_and_kill(monkeypatch, first, 5)
    assert [str(m.job) for m in broker.messages() if isinstance(m, Submit)] == ["1.0", "1.1"]

    monkeypatch.undo()
    second = start(broker)

    assert states(second) == f"--\n1.0 3 {REASON}\n1.1 3 {REASON}\n"
    assert second.submit() == 2
