"""The contract of ``thyme.broker.base.Transport``, jobs and stream: every transport passes."""

import time
from collections.abc import Iterator

from tests.contract.conftest import Connect
from tests.support.waiting import wait_until
from thyme.broker import Transport

POOL = "alien_jobs"


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
    assert vobox.count_ready(POOL) == 0


def test_who_only_looks_is_sent_nothing_later(new: Connect) -> None:
    vobox, one, other = new(), new(), new()
    assert one.take(POOL, listen=False) is None

    vobox.submit(POOL, [b"1", b"2"])
    one.wait(0.2)

    first, second = other.take(POOL, listen=False), one.take(POOL, listen=False)
    assert (first and first.body, second and second.body) == (b"1", b"2")


def test_pools_do_not_mix(new: Connect) -> None:
    broker = new()
    broker.submit("other", [b"job"])

    assert broker.take(POOL) is None
    wait_until(lambda: broker.count_ready("other") == 1, "the count")


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

    broker.requeue(first)

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
    (letter,) = broker.list_dead_letters()
    assert (letter.body, letter.reason, letter.pool) == (b"garbage", "not a thyme message", POOL)
    assert abs(letter.time - time.time()) < 600
    assert broker.list_dead_letters() == [letter]  # looking takes nothing away
    *_, last = broker.read(-1, 10)
    assert (last.body, last.key, last.reason) == (b"garbage", f"dead.{POOL}", letter.reason)


def test_a_dead_letter_can_be_submitted_again(new: Connect) -> None:
    broker = new()
    put_aside(broker, b"1", b"2", b"3")
    second = next(letter for letter in broker.list_dead_letters() if letter.body == b"2")
    last = broker.read(-1, 100)[-1].offset

    assert broker.requeue_dead_letters([second.id]) == 1
    assert [letter.body for letter in broker.list_dead_letters()] == [b"1", b"3"]
    delivery = broker.take(POOL)
    assert delivery is not None and delivery.body == b"2"
    broker.ack(delivery)
    assert broker.requeue_dead_letters() == 2
    assert broker.requeue_dead_letters() == 0
    assert broker.list_dead_letters() == []
    wait_until(lambda: broker.count_ready(POOL) == 2, "the count")
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

    assert broker.purge_queue(POOL) == 2
    assert broker.purge_dead_letters() == 1

    assert broker.count_ready(POOL) == 0
    assert broker.list_dead_letters() == []
    worker.requeue(taken)  # what a worker has is its own
    wait_until(lambda: broker.get_queue_state(POOL).ready == 1, "the message to be back")


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


def test_the_oldest_record_is_found_and_who_reads_goes_on_where_it_was(new: Connect) -> None:
    transport = new()
    assert transport.get_first_offset() == -1
    transport.record([b"1", b"2"])
    first, second = wait_until(
        lambda: len(read := transport.read(-1, 9)) == 2 and read, "both records"
    )

    assert transport.get_first_offset() == first.offset

    transport.record([b"3"])
    (third,) = wait_until(lambda: transport.read(second.offset, 9), "the third")
    assert third.body == b"3"


def test_the_topology_may_be_established_again_and_again(new: Connect) -> None:
    broker = new()
    broker.declare_topology([POOL])
    broker.submit(POOL, [b"job"])
    new().declare_topology([POOL, "other"])

    wait_until(lambda: broker.count_ready(POOL) == 1, "the count")
    assert broker.count_ready("other") == 0


def test_closing_twice_is_no_error(new: Connect) -> None:
    broker = new()
    broker.close()
    broker.close()
    broker.wake()
