"""A session: one connection, and what the schedd does over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.schedd_parts import SCHEDD, Clock, Events, ScheddHarness
from tests.unit.vobox.schedd.test_main_loop import LateBroker
from thyme.errors import BrokerUnreachable
from thyme.protocol.events import Marker
from vobox.ledger.writer import Ledger
from vobox.schedd.main_loop import Schedd
from vobox.schedd.state import Settings


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path, LateBroker())
    yield made
    made.close()


def test_recorded_events_are_in_the_ledger_although_the_stream_brings_them_late(
    bench: ScheddHarness,
) -> None:
    e = Events()
    bench.session.record([e.submit()])

    bench.session.record([e.held()])

    assert bench.job().status == 5
    assert bench.broker.calls.count("record") == 2


def test_nothing_is_recorded_of_no_events(bench: ScheddHarness) -> None:
    bench.session.record([])
    assert "record" not in bench.broker.calls


def test_a_start_that_is_broken_off_leaves_the_schedd_not_ready(tmp_path: Path) -> None:
    ledger, broker = Ledger(tmp_path / "ledger.db"), FakeBroker()
    schedd = Schedd(Settings(SCHEDD, "pool"), broker.connect, ledger)
    schedd.stop()

    assert schedd._open_session() is None

    assert schedd.trouble == "starting"
    assert [type(message) for message in broker.messages()] == [Marker]
    schedd._close_session()
    ledger.close()


def test_a_session_that_failed_after_a_command_ends_when_the_command_has_its_answer(
    tmp_path: Path,
) -> None:
    ledger, clock = Ledger(tmp_path / "ledger.db"), Clock()
    schedd = Schedd(Settings(SCHEDD, "pool"), FakeBroker().connect, ledger, clock, clock)
    session = schedd._open_session()
    assert session is not None
    answer = schedd._calls.submit(
        lambda session: session.fail_later(BrokerUnreachable("the connection broke"))
    )

    with pytest.raises(BrokerUnreachable, match="the connection broke"):
        schedd._answer_calls(session)

    assert answer.done() and answer.exception() is None
    assert schedd.trouble == "the connection broke"
    schedd._close_session()
    ledger.close()
