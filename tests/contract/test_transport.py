"""The contract of ``thyme.transport.base.Transport``: every transport passes these."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.thyme_fakes import FakeBroker
from tests.waiting import wait_until
from thyme.errors import BrokerRefused
from thyme.transport import Mail, Transport, connect

Connect = Callable[[], Transport]
POOL = "alien_jobs"


@pytest.fixture(params=["sqlite", "fake", "amqp"])
def new(request: pytest.FixtureRequest, tmp_path) -> Iterator[Connect]:
    """A function that opens one more connection to one broker."""
    opened: list[Transport] = []
    fake = FakeBroker()
    url = f"sqlite://{tmp_path}/broker.db"
    if request.param == "amqp":
        url = request.getfixturevalue("rabbitmq").url

    def one_more() -> Transport:
        transport = fake.connect() if request.param == "fake" else connect(url)
        opened.append(transport)
        return transport

    yield one_more
    for transport in opened:
        transport.close()


def test_a_submitted_message_is_in_the_queue_and_in_the_stream(new: Connect) -> None:
    vobox, worker = new(), new()

    vobox.submit(POOL, [b"job"])

    delivery = worker.take(POOL)
    assert delivery is not None
    assert (delivery.body, delivery.redelivered) == (b"job", False)
    assert [record.body for record in worker.read(-1, 10)] == [b"job"]


def test_who_makes_messages_one_by_one_may_read_meanwhile(new: Connect) -> None:
    broker = new()
    broker.record([b"first"])
    seen: list[bytes] = []

    def bodies() -> Iterator[bytes]:
        yield b"1"
        seen.extend(record.body for record in broker.read(-1, 1))
        yield b"2"

    broker.submit(POOL, bodies())

    assert seen == [b"first"]
    wait_until(lambda: len(broker.read(-1, 10)) == 3, "all to be in the stream")
    assert [record.body for record in broker.read(-1, 10)] == [b"first", b"1", b"2"]


def test_a_record_is_in_the_stream_only(new: Connect) -> None:
    broker = new()

    broker.record([b"started", b"finished"])

    assert broker.take(POOL) is None
    assert [record.body for record in broker.read(-1, 10)] == [b"started", b"finished"]


def test_messages_come_in_the_order_of_submission(new: Connect) -> None:
    broker = new()
    broker.submit(POOL, [b"1", b"2"])
    broker.submit(POOL, [b"3"])

    taken = []
    while (delivery := broker.take(POOL)) is not None:
        taken.append(delivery.body)
        broker.ack(delivery)

    assert taken == [b"1", b"2", b"3"]


def test_a_taken_message_is_nobody_elses(new: Connect) -> None:
    vobox, one, other = new(), new(), new()
    vobox.submit(POOL, [b"job"])

    assert one.take(POOL) is not None
    assert other.take(POOL) is None
    assert vobox.depth(POOL) == 0


def test_pools_do_not_mix(new: Connect) -> None:
    broker = new()
    broker.submit("other", [b"job"])

    assert broker.take(POOL) is None
    assert broker.depth("other") == 1


def test_what_a_closed_connection_had_taken_comes_again(new: Connect) -> None:
    vobox, one, other = new(), new(), new()
    vobox.submit(POOL, [b"job"])
    assert one.take(POOL) is not None

    one.close()

    delivery = wait_until(lambda: other.take(POOL), "the message to come again")
    assert (delivery.body, delivery.redelivered) == (b"job", True)


def test_an_acknowledged_message_never_comes_again(new: Connect) -> None:
    vobox, one, other = new(), new(), new()
    vobox.submit(POOL, [b"job"])
    delivery = one.take(POOL)
    assert delivery is not None

    one.ack(delivery)
    one.close()

    other.wait(1.0)
    assert other.take(POOL) is None


def test_a_message_given_back_keeps_its_place(new: Connect) -> None:
    broker, other = new(), new()
    broker.submit(POOL, [b"1", b"2"])
    first = broker.take(POOL)
    assert first is not None

    broker.give_back(first)

    again = other.take(POOL)
    assert again is not None
    assert again.body == b"1"


def test_a_rejected_message_is_kept_aside_with_its_reason(new: Connect) -> None:
    broker = new()
    broker.submit(POOL, [b"garbage"])
    delivery = broker.take(POOL)
    assert delivery is not None

    broker.reject(delivery, "not a thyme message")

    assert broker.take(POOL) is None
    (letter,) = broker.dead_letters()
    assert (letter.body, letter.reason, letter.pool) == (b"garbage", "not a thyme message", POOL)
    assert abs(letter.time - time.time()) < 600
    assert broker.dead_letters() == [letter]  # looking takes nothing away


def test_the_stream_tells_of_what_was_put_aside(new: Connect) -> None:
    broker = new()
    broker.submit(POOL, [b"garbage"])
    delivery = broker.take(POOL)
    assert delivery is not None

    broker.reject(delivery, "not a thyme message")

    *_, last = broker.read(-1, 10)
    assert (last.body, last.key, last.reason) == (
        b"garbage",
        f"dead.{POOL}",
        "not a thyme message",
    )


def test_a_dead_letter_can_be_submitted_again(new: Connect) -> None:
    broker = new()
    put_aside(broker, b"1", b"2", b"3")
    second = next(letter for letter in broker.dead_letters() if letter.body == b"2")
    last = broker.read(-1, 100)[-1].offset

    assert broker.requeue_dead([second.id]) == 1
    assert [letter.body for letter in broker.dead_letters()] == [b"1", b"3"]
    delivery = broker.take(POOL)
    assert delivery is not None and delivery.body == b"2"
    broker.ack(delivery)
    assert broker.requeue_dead() == 2
    assert broker.requeue_dead() == 0
    assert broker.dead_letters() == []
    assert broker.depth(POOL) == 2
    assert [(record.key, record.body) for record in broker.read(last, 100)] == [
        (f"submit.{POOL}", b"2"),
        (f"submit.{POOL}", b"1"),
        (f"submit.{POOL}", b"3"),
    ]


def test_an_operator_can_throw_messages_away(new: Connect) -> None:
    broker, worker = new(), new()
    put_aside(broker, b"garbage")
    broker.submit(POOL, [b"1", b"2", b"3"])
    taken = worker.take(POOL)
    assert taken is not None

    assert broker.purge(POOL) == 2
    assert broker.purge_dead() == 1

    assert broker.depth(POOL) == 0
    assert broker.dead_letters() == []
    worker.give_back(taken)  # what a worker has is its own
    wait_until(lambda: broker.queue_state(POOL).ready == 1, "the message to be back")


def put_aside(broker: Transport, *bodies: bytes) -> None:
    broker.submit(POOL, bodies)
    for _body in bodies:
        delivery = broker.take(POOL)
        assert delivery is not None
        broker.reject(delivery, "not a thyme message")


def test_a_record_s_key_says_what_it_may_be(new: Connect) -> None:
    broker = new()
    broker.submit(POOL, [b'{"thyme":1,"kind":"submit"}\n'])
    broker.record(
        [
            b'{"thyme":1,"kind":"started","job":"1.0"}\n',
            b'{"kind": "removed", "thyme": 1}\nbytes',
            b'{"kind": "a.b"}',
            b"garbage",
        ]
    )

    assert [record.key for record in broker.read(-1, 10)] == [
        f"submit.{POOL}",
        "event.started",
        "event.removed",
        "event.unreadable",
        "event.unreadable",
    ]


def test_the_stream_is_read_from_any_offset_again_and_by_everyone(new: Connect) -> None:
    one, other = new(), new()
    one.record([b"a", b"b", b"c"])

    first, *_ = one.read(-1, 1)
    assert first.body == b"a"
    assert [r.body for r in other.read(first.offset, 10)] == [b"b", b"c"]
    assert [r.body for r in one.read(-1, 2)] == [b"a", b"b"]
    assert one.read(one.read(-1, 10)[-1].offset, 10) == []


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
        broker.post("thyme.schedd.nobody", Mail(b"I live"))
        assert broker.send("thyme.schedd.nobody", Mail(b"may I?")) is False
        broker.record([b"%d" % n])

    assert [record.body for record in broker.read(-1, 999)] == [b"%d" % n for n in range(200)]


def test_the_topology_may_be_established_again_and_again(new: Connect) -> None:
    broker = new()
    broker.establish([POOL])
    broker.submit(POOL, [b"job"])
    new().establish([POOL, "other"])

    assert broker.depth(POOL) == 1
    assert broker.depth("other") == 0


def test_mail_to_nobody_is_said_so(new: Connect) -> None:
    assert new().send("schedd", Mail(b"may I?")) is False


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


def test_closing_twice_is_no_error(new: Connect) -> None:
    broker = new()
    broker.close()
    broker.close()
    broker.wake()
