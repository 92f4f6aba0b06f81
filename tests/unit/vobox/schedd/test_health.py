"""When the schedd says that its ledger may be out of date, or is being made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.support.fake_broker import FakeBroker, FakeTransport
from tests.support.schedd_parts import Clock
from vobox.ledger.writer import Ledger
from vobox.schedd.health import STALE, STALE_IN_CALL
from vobox.schedd.main_loop import Schedd
from vobox.schedd.settings import Settings


def test_while_the_ledger_is_made_of_the_stream_commands_and_figures_say_so(tmp_path: Path) -> None:
    told = []

    class Watched(FakeTransport):
        def wait(self, timeout: float) -> None:
            told.append((schedd.now().rebuilding, schedd.now().broker_ok, schedd.doubt()))
            self._broker.record(marks)  # as if it came late
            super().wait(timeout)

        def record(self, bodies: Sequence[bytes]) -> None:
            marks.extend(bodies)

    marks: list[bytes] = []
    broker = FakeBroker()
    ledger = Ledger(tmp_path / "ledger.db")
    schedd = Schedd(Settings("vobox", "pool"), lambda: Watched(broker), ledger)
    assert not schedd.now().rebuilding

    transport = schedd._go_live()

    text = "the ledger is being rebuilt from the stream (0 events read)"
    assert told == [(True, False, text)]
    assert (schedd.now().rebuilding, schedd.now().broker_ok, schedd.doubt()) == (False, True, "")
    assert transport is not None
    transport.close()
    ledger.close()


def test_a_line_that_is_silent_for_long_is_not_trusted(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.db")
    schedd = Schedd(Settings("vobox", "pool"), FakeBroker().connect, ledger, clock, clock)
    assert schedd.doubt() == "starting"
    transport = schedd._go_live()
    assert transport is not None
    assert schedd.doubt() == ""

    clock.now += STALE
    assert schedd.doubt() == ""
    clock.now += 1
    assert schedd.doubt() == f"no answer from the broker for {STALE + 1:.0f} s"

    schedd._step(transport)
    assert schedd.doubt() == ""
    transport.close()
    ledger.close()


def test_a_command_that_takes_long_is_no_silent_line(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.db")
    broker = FakeBroker()
    schedd = Schedd(Settings("vobox", "pool"), broker.connect, ledger, clock, clock)
    transport = schedd._go_live()
    assert transport is not None
    seen = []

    def submit_many(_transport: object) -> None:
        clock.now += STALE + 1
        seen.append(schedd.doubt())
        clock.now += STALE_IN_CALL
        seen.append(schedd.doubt())

    answer = schedd._calls.put(submit_many)
    schedd._answer_calls(transport)

    assert seen == ["", f"no answer from the broker for {STALE + STALE_IN_CALL + 1:.0f} s"]
    assert (answer.done(), schedd.doubt()) == (True, "")
    assert broker.calls[-1] == "count_ready"
    transport.close()
    ledger.close()
