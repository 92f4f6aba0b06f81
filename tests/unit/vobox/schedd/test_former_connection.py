"""A schedd that is started again while the broker still keeps its connection of before."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeBroker
from tests.support.schedd_parts import SCHEDD
from tests.support.waiting import wait_until
from tests.unit.vobox.schedd.test_main_loop import Running
from thyme.broker import Mail
from thyme.errors import BrokerRefused
from vobox.schedd import former_connection

INBOX = f"thyme.schedd.{SCHEDD}"
TAKEN = f"another connection already answers as {INBOX!r}"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[FakeBroker], Running]]:
    made: list[Running] = []

    def one(broker: FakeBroker) -> Running:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Running(directory, broker))
        return made[-1]

    yield one
    for each in made:
        each.end()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(former_connection, "ANSWER_SECONDS", 0.01)


def keep_a_dead_connection(broker: FakeBroker, seconds: float) -> None:
    broker.inboxes[INBOX] = (object(), [])
    broker.inbox_kept = seconds


@pytest.mark.usefixtures("impatient")
def test_it_waits_until_the_broker_drops_it_and_says_so_once(
    start: Callable[[FakeBroker], Running], caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()
    keep_a_dead_connection(broker, 60.0)
    made = start(broker)
    wait_until(lambda: broker.calls.count("open_inbox") >= 5, "some tries")  # two in each
    why = made.schedd.trouble
    assert re.fullmatch(
        f"{TAKEN}, and nobody answers there: waiting since "
        r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d for the broker to drop it, at most 60 s",
        why,
    )
    assert made.run("condor_q").stderr.count(why) == 1

    with broker.changed:
        del broker.inboxes[INBOX]

    assert made.ready.wait(20)
    assert [r.getMessage() for r in caplog.records if TAKEN in r.getMessage()] == [why]


@pytest.mark.usefixtures("impatient")
def test_it_ends_where_the_broker_does_not_drop_it_in_time(
    start: Callable[[FakeBroker], Running],
) -> None:
    broker = FakeBroker()
    keep_a_dead_connection(broker, 0.1)
    made = start(broker)
    made.thread.join(20)
    assert [(type(error), str(error)) for error in made.failed] == [
        (
            BrokerRefused,
            f"{TAKEN}: nobody answers there, and the broker has kept it for 0.1 s",
        )
    ]


def test_it_ends_at_once_where_a_schedd_of_its_name_answers(
    start: Callable[[FakeBroker], Running],
) -> None:
    broker = FakeBroker()
    broker.inbox_kept = 1e9
    first = start(broker)
    assert first.ready.wait(20)

    second = start(broker)

    second.thread.join(20)
    assert [str(error) for error in second.failed] == [f"{TAKEN}: a schedd of this name is running"]
    assert first.submit() == 1
    assert not first.failed


def test_it_ends_at_once_where_the_broker_knows_that_a_process_lives(
    start: Callable[[FakeBroker], Running],
) -> None:
    broker = FakeBroker()
    keep_a_dead_connection(broker, 0.0)
    made = start(broker)
    made.thread.join(20)
    assert [str(error) for error in made.failed] == [TAKEN]


def test_an_answer_that_cannot_be_read_is_an_answer(
    start: Callable[[FakeBroker], Running], caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()
    broker.inbox_kept = 1e9

    def answer(mail: Mail) -> None:
        broker.deliver(mail.reply_to, Mail(b"of a later release", "", mail.correlation))

    broker.answer(INBOX, answer)
    made = start(broker)
    made.thread.join(20)

    assert [str(error) for error in made.failed] == [f"{TAKEN}: a schedd of this name is running"]
    text = "the answer of the schedd of the same name is not understood: not a thyme message: "
    assert text in caplog.text


def test_it_ends_at_once_when_told_to_while_nobody_has_answered_yet(
    start: Callable[[FakeBroker], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(former_connection, "ANSWER_SECONDS", 1e6)
    broker = FakeBroker()
    keep_a_dead_connection(broker, 60.0)
    made = start(broker)
    wait_until(lambda: "request" in broker.calls or "send" in broker.calls, "the question")

    made.schedd.stop()

    made.thread.join(20)
    assert not made.thread.is_alive()
    assert not made.failed
