"""When the schedd says that its ledger may be out of date, or is being made."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker, FakeTransport
from tests.support.schedd_parts import SCHEDD, Clock, Events
from thyme.errors import BrokerUnreachable
from thyme.protocol import codec
from vobox.ledger.writer import Ledger
from vobox.schedd.health import STALE_IN_COMMAND_SECONDS, STALE_SECONDS, Health
from vobox.schedd.main_loop import Schedd
from vobox.schedd.state import Settings


def test_while_the_ledger_is_made_of_the_stream_commands_and_figures_say_so(tmp_path: Path) -> None:
    told = []

    class Watched(FakeTransport):
        def wait(self, timeout: float) -> None:
            told.append(
                (
                    schedd.metrics_snapshot().rebuilding,
                    schedd.metrics_snapshot().broker_ok,
                    schedd.staleness(),
                )
            )
            self._broker.record(marks)  # as if it came late
            super().wait(timeout)

        def record(self, bodies: Sequence[bytes]) -> None:
            marks.extend(bodies)

    marks: list[bytes] = []
    broker = FakeBroker()
    ledger = Ledger(tmp_path / "ledger.db")
    schedd = Schedd(Settings("vobox", "pool"), lambda: Watched(broker), ledger)
    assert not schedd.metrics_snapshot().rebuilding

    session = schedd._open_session()

    text = "the ledger is being rebuilt from the stream (0 events read)"
    assert told == [(True, False, text)]
    assert (
        schedd.metrics_snapshot().rebuilding,
        schedd.metrics_snapshot().broker_ok,
        schedd.staleness(),
    ) == (False, True, "")
    assert session is not None
    session.transport.close()
    ledger.close()


def test_figures_tell_of_records_that_were_not_read_or_not_believed(tmp_path: Path) -> None:
    broker, e = FakeBroker(), Events()
    ledger = Ledger(tmp_path / "ledger.db")
    schedd = Schedd(Settings(SCHEDD, "pool"), broker.connect, ledger)
    others = [replace(e.started(), life="other"), replace(e.finished(), life="other")]
    broker.submit("pool", [codec.encode(e.submit())])
    broker.record([b"garbage", *map(codec.encode, others)])

    session = schedd._open_session()

    now = schedd.metrics_snapshot()
    assert (now.unreadable, now.forged) == (1, 2)
    assert session is not None
    session.transport.close()
    ledger.close()


def test_a_line_that_is_silent_for_long_is_not_trusted(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.db")
    schedd = Schedd(Settings("vobox", "pool"), FakeBroker().connect, ledger, clock, clock)
    assert schedd.staleness() == "starting"
    session = schedd._open_session()
    assert session is not None
    assert schedd.staleness() == ""

    clock.now += STALE_SECONDS
    assert schedd.staleness() == ""
    clock.now += 1
    assert schedd.staleness() == f"no answer from the broker for {STALE_SECONDS + 1:.0f} s"

    schedd._step(session)
    assert schedd.staleness() == ""
    session.transport.close()
    ledger.close()


def test_a_command_that_takes_long_is_no_silent_line(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.db")
    broker = FakeBroker()
    schedd = Schedd(Settings("vobox", "pool"), broker.connect, ledger, clock, clock)
    session = schedd._open_session()
    assert session is not None
    seen = []

    def submit_many(_session: object) -> None:
        clock.now += STALE_SECONDS + 1
        seen.append(schedd.staleness())
        clock.now += STALE_IN_COMMAND_SECONDS
        seen.append(schedd.staleness())

    answer = schedd._calls.submit(submit_many)
    schedd._answer_calls(session)

    assert seen == [
        "",
        f"no answer from the broker for {STALE_SECONDS + STALE_IN_COMMAND_SECONDS + 1:.0f} s",
    ]
    assert (answer.done(), schedd.staleness()) == (True, "")
    assert broker.calls[-1] == "count_ready"
    session.transport.close()
    ledger.close()


def test_the_log_says_once_what_fails_and_when_it_works_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    health = Health(tmp_path, lambda: now[0])

    health.report_well()
    assert caplog.messages == [], "a start is no repair"
    for _ in range(3):
        health.report_failure(BrokerUnreachable("no broker"))
        now[0] += 10.0
    health.report_failure(BrokerUnreachable("connection refused"))
    now[0] += 12.0
    health.report_well()
    health.report_well()

    assert caplog.messages == ["no broker", "connection refused", "works again after 42 s"]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
