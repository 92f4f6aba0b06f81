"""The contract of ``thyme.broker.base.Transport``, mail and waiting: every transport passes."""

import threading
import time

import pytest

from tests.contract.conftest import Connect
from tests.support.waiting import wait_until
from thyme.broker import Mail
from thyme.errors import BrokerRefused

POOL = "alien_jobs"


def test_mail_reaches_the_inbox_and_its_reply_comes_back(new: Connect) -> None:
    schedd, worker = new(), new()
    schedd.open_inbox("schedd")
    worker.open_inbox("worker")

    assert worker.send("schedd", Mail(b"may I?", "worker", "7"))
    asked = wait_until(schedd.receive, "the question")
    assert asked == Mail(b"may I?", "worker", "7")
    assert schedd.send(asked.reply_to, Mail(b"yes", "", asked.correlation))
    assert wait_until(worker.receive, "the answer") == Mail(b"yes", "", "7")
    assert worker.receive() is None


def test_what_is_announced_to_a_pool_reaches_all_who_listen_to_it(new: Connect) -> None:
    one, two, other, worker = new(), new(), new(), new()
    one.open_inbox("thyme.schedd.one", [POOL])
    two.open_inbox("thyme.schedd.two", ["another", POOL])
    other.open_inbox("thyme.schedd.other", ["another"])

    worker.announce(POOL, Mail(b"I wait", "thyme.worker.w"))
    worker.announce("nobody listens to this one", Mail(b"I wait"))

    for schedd in (one, two):
        assert wait_until(schedd.receive, "the word") == Mail(b"I wait", "thyme.worker.w")
        assert schedd.receive() is None
    assert other.receive() is None


def test_mail_that_nobody_gets_does_not_disturb_what_follows(new: Connect) -> None:
    broker = new()

    for n in range(200):
        broker.announce(POOL, Mail(b"I wait"))
        broker.send_unconfirmed("thyme.schedd.nobody", Mail(b"I live"))
        assert broker.send("thyme.schedd.nobody", Mail(b"may I?")) is False
        broker.record([b"%d" % n])

    assert [record.body for record in broker.read(-1, 999)] == [b"%d" % n for n in range(200)]


def test_an_inbox_ends_with_its_process(new: Connect) -> None:
    schedd, worker = new(), new()
    schedd.open_inbox("schedd")
    schedd.close()

    assert worker.send("schedd", Mail(b"may I?")) is False


def test_an_inbox_has_one_owner_at_a_time(new: Connect) -> None:
    first, second = new(), new()
    first.open_inbox("schedd")

    with pytest.raises(BrokerRefused, match="'schedd'"):
        second.open_inbox("schedd")
    first.close()
    second.open_inbox("schedd")


def test_waiting_ends_when_something_comes(new: Connect) -> None:
    waiting, go = new(), threading.Event()

    def somebody_else() -> None:
        other = new()  # a connection belongs to one thread
        go.wait(10.0)
        other.record([b"news"])
        other.close()

    sender = threading.Thread(target=somebody_else)
    sender.start()
    waiting.wait(0.1)  # what was before
    go.set()

    start = time.monotonic()
    while not waiting.read(-1, 1):
        waiting.wait(20.0)

    assert time.monotonic() - start < 10.0
    assert [record.body for record in waiting.read(-1, 1)] == [b"news"]
    sender.join()


def test_waiting_ends_on_wake_from_another_thread(new: Connect) -> None:
    broker = new()
    broker.wait(0.1)
    other = threading.Timer(0.05, broker.wake)
    other.start()

    start = time.monotonic()
    broker.wait(20.0)

    assert time.monotonic() - start < 10.0
    other.join()


def test_waiting_ends_by_itself(new: Connect) -> None:
    broker = new()
    broker.wait(0.1)

    start = time.monotonic()
    broker.wait(0.05)

    assert time.monotonic() - start >= 0.05


def test_what_is_asked_is_answered_as_other_mail_is(new: Connect) -> None:
    schedd, worker = new(), new()
    schedd.open_inbox("thyme.schedd.s")
    worker.open_inbox("thyme.worker.w")

    worker.request("thyme.schedd.s", Mail(b"may I?", "thyme.worker.w", "7"))
    asked = wait_until(schedd.receive, "the question")
    assert asked == Mail(b"may I?", "thyme.worker.w", "7")
    schedd.send_unconfirmed(asked.reply_to, Mail(b"yes", "", asked.correlation))

    assert wait_until(worker.receive, "the answer") == Mail(b"yes", "", "7")
    worker.wait(0.2)
    assert worker.receive() is None


def test_a_question_to_nobody_comes_back(new: Connect) -> None:
    worker = new()
    worker.open_inbox("thyme.worker.w")

    for number in range(3):
        question = Mail(b"may I?", "thyme.worker.w", str(number))
        worker.request("thyme.schedd.nobody", question)
        # beside it other things are published, whose returns are theirs
        assert worker.send("thyme.schedd.nobody", Mail(b"may I?")) is False
        worker.record([b"news"])
        assert wait_until(worker.receive, "the question back") == question
    assert worker.receive() is None


def test_letters_that_are_posted_together_all_arrive(new: Connect) -> None:
    schedd = new()
    workers = {f"thyme.worker.{n}": new() for n in range(3)}
    for name, worker in workers.items():
        worker.open_inbox(name)

    letters = [(name, Mail(name.encode())) for name in workers]
    schedd.send_all_unconfirmed([*letters, ("thyme.worker.nobody", Mail(b"gone"))])

    for name, worker in workers.items():
        assert wait_until(worker.receive, "the letter") == Mail(name.encode())
