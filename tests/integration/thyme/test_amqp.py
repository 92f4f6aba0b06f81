"""The AMQP transport on a real RabbitMQ: what the contract does not say."""

import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.support.services.rabbitmq import VirtualHost
from tests.support.waiting import wait_until
from thyme.broker import Mail, Record, Transport, connect
from thyme.broker.amqp import job_queue
from thyme.broker.amqp.topology import (
    DELIVERY_LIMIT,
    EXCHANGE,
    WORK,
    Queue,
    make_job_queue_name,
    make_pool_queue,
    make_stream_queue,
    make_submit_key,
)
from thyme.errors import BrokerRefused, BrokerUnreachable

POOL = "alien_jobs"
FINISHED = b'{"thyme":1,"kind":"finished"}'


@contextmanager
def administering(vhost: VirtualHost) -> Iterator[BlockingChannel]:
    """Open a channel to the broker beside the transport."""
    connection = pika.BlockingConnection(pika.URLParameters(vhost.url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def declare(vhost: VirtualHost, queue: Queue, **changes: str | int) -> None:
    arguments = {**queue.arguments, **changes}
    with administering(vhost) as channel:
        channel.queue_declare(queue.name, durable=True, arguments=arguments)


def delete(vhost: VirtualHost, queue: str) -> None:
    with administering(vhost) as channel:
        channel.queue_delete(queue)


def read_all(broker: Transport, count: int, after: int = -1) -> list[Record]:
    """Return the next ``count`` records."""
    found: list[Record] = []
    deadline = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} records"
        last = found[-1].offset if found else after
        records = broker.read(last, 500)
        found += records
        if not records:
            broker.wait(0.5)
    return found


# --- topology -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda b: b.declare_topology([POOL]), lambda b: b.submit(POOL, [b"1"])]
)
def test_a_queue_of_another_kind_is_refused_by_name_and_argument(
    new: Callable[[], Transport], rabbitmq: VirtualHost, make: Callable[[Transport], None]
) -> None:
    declare(rabbitmq, Queue(make_job_queue_name(POOL), {}))

    with pytest.raises(BrokerRefused) as refused:
        make(new())

    assert str(refused.value) == (
        f"broker amqp://127.0.0.1:{rabbitmq.server.port}: queue 'thyme.jobs.alien_jobs' exists "
        "with another x-dead-letter-exchange: none instead of 'thyme'; delete it when it is "
        "empty, or use another vhost"
    )


def test_an_operator_may_choose_retention_and_limits(
    new: Callable[[], Transport], rabbitmq: VirtualHost
) -> None:
    declare(rabbitmq, make_stream_queue(), **{"x-max-age": "1D", "x-max-length-bytes": 5_000_000})
    declare(rabbitmq, make_pool_queue(POOL), **{"x-delivery-limit": 3})

    broker = new()
    broker.declare_topology([POOL])
    broker.submit(POOL, [b"job"])

    assert [record.body for record in read_all(broker, 1)] == [b"job"]
    wait_until(lambda: broker.count_ready(POOL) == 1, "its message")


def test_what_somebody_deleted_is_made_again_by_the_next_submission(
    new: Callable[[], Transport], rabbitmq: VirtualHost
) -> None:
    broker, queue = new(), make_job_queue_name(POOL)
    broker.submit(POOL, [b"1"])
    delete(rabbitmq, queue)
    broker.submit(POOL, [b"2"])
    with administering(rabbitmq) as channel:
        channel.queue_unbind(queue, EXCHANGE, make_submit_key(POOL))
    broker.submit(POOL, [b"3"])

    wait_until(lambda: broker.count_ready(POOL) == 2, "two messages")
    delivery = broker.take(POOL)
    assert delivery is not None and delivery.body == b"2"


def test_a_record_that_no_queue_takes_is_refused_and_not_lost_silently(
    new: Callable[[], Transport], rabbitmq: VirtualHost
) -> None:
    broker = new()
    broker.record([FINISHED])
    with administering(rabbitmq) as channel:
        channel.queue_unbind("thyme.events", "thyme.work", "event.finished")

    with pytest.raises(BrokerRefused, match=r"'thyme.work' has no queue for 'event.finished'; run"):
        broker.record([FINISHED])


def test_a_worker_whose_queue_is_deleted_gets_an_error(
    new: Callable[[], Transport], rabbitmq: VirtualHost
) -> None:
    worker = new()
    assert worker.take(POOL) is None  # it waits from now on
    delete(rabbitmq, make_job_queue_name(POOL))

    def told() -> bool:
        try:
            worker.wait(1.0)
        except BrokerUnreachable as error:
            return "a queue of ours was deleted" in str(error)
        return False

    wait_until(told, "the worker to be told")


# --- the job queue --------------------------------------------------------------------------------


def test_a_worker_that_runs_a_job_is_sent_no_other(new: Callable[[], Transport]) -> None:
    vobox, worker = new(), new()
    assert worker.take(POOL) is None  # it waits from now on
    vobox.submit(POOL, [b"1", b"2"])
    delivery = wait_until(lambda: worker.wait(1.0) or worker.take(POOL), "the first job")

    worker.ack(delivery)
    worker.wait(0.5)

    assert delivery.body == b"1"
    # 0 where the queue's leader is slow to answer
    wait_until(lambda: vobox.get_queue_state(POOL).ready == 1, "the other one, not taken")
    assert vobox.get_queue_state(POOL).consumers == 0


def test_a_waiting_worker_is_woken_by_a_job_and_counted_as_a_consumer(
    new: Callable[[], Transport],
) -> None:
    vobox, worker = new(), new()
    assert worker.take(POOL) is None
    wait_until(lambda: vobox.get_queue_state(POOL).consumers == 1, "the worker to be counted")
    worker.wait(0.0)  # what the broker said while the queue was made may end a wait, too
    woken = []
    waiter = threading.Thread(target=lambda: woken.append(worker.wait(60.0)))
    waiter.start()

    vobox.submit(POOL, [b"1"])

    waiter.join(30.0)
    assert woken, "it waits on"
    delivery = worker.take(POOL)
    assert delivery is not None and delivery.body == b"1"


def test_a_worker_that_has_waited_often_holds_no_more_memory(
    new: Callable[[], Transport],
) -> None:
    vobox, worker = new(), new()

    def wait_for_jobs(count: int) -> int:
        """Return how many objects the job queues hold after so many waits."""
        for _ in range(count):
            assert worker.take(POOL) is None
            vobox.submit(POOL, [b"1"])
            worker.ack(wait_until(lambda: worker.wait(1.0) or worker.take(POOL), "the job"))
        held = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(True, job_queue.__file__)]
        )
        return sum(each.count for each in held.statistics("filename"))

    tracemalloc.start()
    try:
        before = wait_for_jobs(10)
        assert wait_for_jobs(50) < before + 25
    finally:
        tracemalloc.stop()


def test_a_message_at_which_every_worker_dies_becomes_a_recorded_dead_letter(
    new: Callable[[], Transport], rabbitmq: VirtualHost
) -> None:
    declare(rabbitmq, make_pool_queue(POOL), **{"x-delivery-limit": 2})
    vobox = new()
    vobox.submit(POOL, [b"poison"])

    for _ in range(3):
        worker = connect(rabbitmq.url)
        assert wait_until(lambda w=worker: w.take(POOL), "the message") is not None
        worker.close()

    (letter,) = wait_until(vobox.list_dead_letters, "the dead letter")
    assert (letter.body, letter.pool) == (b"poison", POOL)
    assert letter.reason == (
        f"delivered more than {DELIVERY_LIMIT} times, and each time its worker died"
    )
    assert abs(letter.time - time.time()) < 600
    submitted, dead = read_all(vobox, 2)
    assert (submitted.key, submitted.reason) == (f"submit.{POOL}", "")
    assert (dead.body, dead.key, dead.reason) == (b"poison", f"dead.{POOL}", letter.reason)


def test_dead_letters_survive_being_looked_at_often(new: Callable[[], Transport]) -> None:
    broker = new()
    broker.submit(POOL, [b"1", b"2", b"3"])
    while (delivery := broker.take(POOL)) is not None:
        broker.reject(delivery, f"bad {delivery.body!r}")

    for _ in range(30):
        assert [letter.body for letter in broker.list_dead_letters()] == [b"1", b"2", b"3"]


class OddProperties(pika.BasicProperties):  # type: ignore[misc]
    """Properties as another client than pika may write them: a flag, and the bytes behind it."""

    def __init__(self, flag: int, value: bytes) -> None:
        super().__init__()
        self._encoded = [struct.pack(">H", flag) + value]

    def encode(self) -> list[bytes]:
        return self._encoded


def table(name: bytes, value: bytes) -> bytes:
    field = short(name) + value
    return struct.pack(">I", len(field)) + field


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def deep_table() -> bytes:
    value = b"V"
    for _ in range(5000):
        value = b"F" + table(b"a", value)
    return value


HEADERS, CORRELATION, REPLY_TO, TIMESTAMP = 1 << 13, 1 << 10, 1 << 9, 1 << 6
LIST_OF_TRUE = b"A" + struct.pack(">I", 2) + b"t\1"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        (HEADERS, table(b"x", b"T" + struct.pack(">Q", 10**14))),
        (HEADERS, table(b"x", b"T" + struct.pack(">Q", 2**62))),
        (HEADERS, table(b"x-y", deep_table())),
        (HEADERS, table(b"\xff", b"t\1")),
        (HEADERS, table(b"x-stream-offset", b"S" + struct.pack(">I", 4) + b"evil")),
        (HEADERS, table(b"x-first-death-reason", LIST_OF_TRUE)),
        (HEADERS, table(b"x-death", LIST_OF_TRUE)),
        (REPLY_TO, short(b"\xff")),
        (CORRELATION, short(b"\xff")),
        (TIMESTAMP, struct.pack(">Q", 2**64 - 1)),
    ],
    ids=[
        "year 3170843", "no year", "deep", "a name that is no UTF-8", "another offset",
        "a list as reason", "a list as death", "reply to no UTF-8", "correlation no UTF-8", "time",
    ],
)  # fmt: skip
def test_what_a_worker_writes_around_a_message_stops_no_reader(
    new: Callable[[], Transport], rabbitmq: VirtualHost, flag: int, value: bytes
) -> None:
    vobox = new()
    vobox.declare_topology([POOL])
    vobox.open_inbox("thyme.schedd.me")

    with administering(rabbitmq) as channel:
        for key in ("event.finished", f"dead.{POOL}", "schedd.me"):
            channel.basic_publish(WORK, key, FINISHED, OddProperties(flag, value))
    vobox.submit(POOL, [b"1"])

    records = read_all(vobox, 3)
    assert [each.body for each in records] == [FINISHED, FINISHED, b"1"]
    assert [each.time for each in records[:2]] == [0.0, 0.0]
    wait_until(lambda: vobox.wait(0.1) or vobox.receive() == Mail(FINISHED), "the mail")
    (letter,) = vobox.list_dead_letters()
    assert letter.time == 0.0
    assert letter.reason == "put aside by the broker: it does not say why"


# --- the stream -----------------------------------------------------------------------------------


def test_a_long_stream_is_read_whole_and_in_order(new: Callable[[], Transport]) -> None:
    writer, reader = new(), new()
    writer.record([FINISHED + b"%d" % n for n in range(20_000)])

    records = read_all(reader, 20_000)

    assert [record.body for record in records] == [FINISHED + b"%d" % n for n in range(20_000)]
    assert all(a.offset < b.offset for a, b in zip(records, records[1:], strict=False))


def test_large_records_are_read_without_keeping_them_all(
    new: Callable[[], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thyme.broker.amqp.stream._MOST_BYTES", 3_000_000)
    writer, reader = new(), new()
    bodies = [FINISHED + bytes([n]) * 1_000_000 for n in range(30)]
    writer.record(bodies)
    kept = []

    after, found = -1, []
    deadline = time.monotonic() + 60
    while len(found) < len(bodies) and time.monotonic() < deadline:
        for record in reader.read(after, 2):
            found.append(record.body)
            after = record.offset
        kept.append(reader._stream._bytes)  # type: ignore[attr-defined]
        reader.wait(0.1)

    assert found == bodies
    assert max(kept) <= 3_000_000 + 1_100_000


def test_the_largest_message_passes(new: Callable[[], Transport]) -> None:
    broker = new()
    body = b'{"thyme":1,"kind":"submit"}\n' + bytes(16 * 1024 * 1024 - 28)

    broker.submit(POOL, [body])

    delivery = broker.take(POOL)
    assert delivery is not None and delivery.body == body
    assert [record.body for record in read_all(broker, 1)] == [body]


def test_what_was_trimmed_away_is_passed_over(
    new: Callable[[], Transport], rabbitmq: VirtualHost
) -> None:
    small = {"x-max-length-bytes": 300_000, "x-stream-max-segment-size-bytes": 100_000}
    declare(rabbitmq, make_stream_queue(), **small)
    broker = new()
    for n in range(20):
        broker.record([FINISHED + b"%d " % n + bytes(50_000)])

    def first_kept() -> Record | None:
        """None while the broker is at it."""
        found = read_all(new(), 1, after=0)[0]
        return found if new().read(-1, 1)[0].offset == found.offset else None

    first = wait_until(first_kept, "the broker to have trimmed")
    assert first.offset > 1, "the broker has trimmed nothing: the test shows nothing"
    left = read_all(broker, 4, after=first.offset - 2)
    assert left[0].offset == first.offset
    assert left[-1].body.startswith(FINISHED + b"19 ")


def test_a_place_after_the_end_is_empty_until_something_comes_there(
    new: Callable[[], Transport],
) -> None:
    broker, reader = new(), new()
    broker.record([FINISHED + b"0", FINISHED + b"1"])

    assert reader.read(1, 10) == []
    assert reader.read(5, 10) == []
    broker.record([FINISHED + b"%d" % n for n in range(2, 8)])

    assert [r.body for r in read_all(reader, 2, after=5)] == [FINISHED + b"6", FINISHED + b"7"]


def test_a_stream_that_is_deleted_is_noticed_and_the_new_one_is_another(
    new: Callable[[], Transport], rabbitmq: VirtualHost
) -> None:
    reader = new()
    reader.record([FINISHED + b"%d" % n for n in range(5)])
    assert len(read_all(reader, 5)) == 5
    delete(rabbitmq, "thyme.events")

    def told() -> bool:
        try:
            reader.wait(0.5)
            reader.read(4, 1)
        except BrokerUnreachable as error:
            return "the stream 'thyme.events' was deleted" in str(error)
        return False

    wait_until(told, "the reader to be told")
    again = new()
    again.declare_topology([POOL])
    again.record([FINISHED + b"new"])
    assert [record.body for record in read_all(again, 1)] == [FINISHED + b"new"]
    assert again.read(3, 1) == []


# --- mail -----------------------------------------------------------------------------------------


def test_a_worker_that_reconnects_keeps_its_inbox(
    new: Callable[[], Transport],
) -> None:
    schedd, before, after = new(), new(), new()
    before.open_inbox("thyme.worker.n1.7-ff")

    after.open_inbox("thyme.worker.n1.7-ff")  # the broker has not noticed that `before` is dead

    assert schedd.send("thyme.worker.n1.7-ff", Mail(b"vacate"))
    assert wait_until(after.receive, "the mail").body == b"vacate"
