"""RabbitMQ, 3.10 to 4.x: the transport of a site with more than one machine.

What there is in the broker is in ``topology.py`` and docs/reference/broker.md. One connection,
with one channel for all but the stream (which has its own) and for questions that the broker may
refuse. Nothing is assumed of the broker's configuration.

A message is published with a confirm: it is durable in the queue *and* in the stream when
``submit`` returns. After a loss of the connection what was taken comes again, and what was being
published may have been recorded.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from thyme.broker import routing_keys
from thyme.broker.base import DeadLetter, Delivery, Mail, QueueState, Record, Retention, Transport
from thyme.broker.wakeup import Wakeup
from thyme.errors import BrokerError, BrokerRefused, BrokerUnreachable

from . import errors, topology
from .connection import BasicProperties, Channel, ChannelClosedByBroker, Connection
from .dead_letters import MAX_REASON, REASON, DeadLetterQueue
from .declare import TopologyDeclarer
from .errors import make_refused, make_unreachable
from .inboxes import Inboxes
from .job_queue import JobQueues
from .publisher import Publisher, make_not_routed
from .stream import StreamReader
from .topology import EXCHANGE, WORK
from .url import BrokerAddress

_DURABLE: Final = 2


class AmqpTransport(Transport):
    """One connection to RabbitMQ."""

    def __init__(self, addresses: Sequence[BrokerAddress]) -> None:
        """Connect to the first of ``addresses``, in random order, that accepts us.

        Random, so that thousands of workers spread over the nodes of a cluster. Raises BrokerError.
        """
        self._wakeup = Wakeup()
        self._closed = False
        try:
            self._connection = _connect(random.sample(addresses, len(addresses)), self._wakeup)
        except BaseException:
            self._wakeup.close()
            raise
        try:
            with self._translating():
                self._channel = self._connection.open_channel()
                self._channel.add_on_return_callback(self._on_return)
                self._channel.add_on_cancel_callback(self._on_cancel)
                self._publisher = Publisher(self._connection, self._channel)
                self._jobs = JobQueues(self._connection, self._channel)
        except BaseException:
            self.close()
            raise
        self._declarer = TopologyDeclarer(self._connection)
        self._stream = StreamReader(self._connection)
        self._inboxes = Inboxes(self._connection, self._channel, self._publisher, self._declarer)

    def _on_return(
        self, _channel: Channel, method: Any, properties: BasicProperties, _body: bytes
    ) -> None:
        if not self._inboxes.take_returned(properties):
            self._publisher.on_return(method)

    def _on_cancel(self, _frame: object) -> None:
        text = "a queue of ours was deleted, or its node left"
        self._connection.fail(make_unreachable(self._connection.address, text))

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        """Raise what the broker says when it closes a channel as a BrokerError."""
        try:
            yield
        except ChannelClosedByBroker as error:
            raise errors.translate_close(
                self._connection.address, error.reply_code, error.reply_text
            ) from error

    @contextlib.contextmanager
    def _using_stream(self) -> Iterator[None]:
        """Make the stream and the exchanges first, where missing."""
        self._declarer.need_stream()
        with self._translating():
            yield

    # --- topology -------------------------------------------------------------------

    def declare_topology(self, pools: Sequence[str]) -> None:
        """Declare the exchanges, the stream and the queues of these pools where missing."""
        self._declarer.declare(topology.build_topology(pools))

    # --- publishing -----------------------------------------------------------------

    def submit(self, pool: str, bodies: Iterable[bytes]) -> None:
        """Publish messages to a pool's queue and to the stream; returns once all are confirmed."""
        self._declarer.need_pool_to_submit(pool)
        key, properties = topology.make_submit_key(pool), _make_durable()
        with self._translating():
            for body in bodies:
                self._publisher.publish(EXCHANGE, key, body, properties, mandatory=True)
            self._wait_for_confirms()

    def record(self, bodies: Sequence[bytes]) -> None:
        """Append events to the stream, in this order; returns once all are confirmed."""
        self._declarer.need_stream()
        properties = _make_durable()
        with self._translating():
            for body in bodies:
                key = routing_keys.make_event_key(body)
                of_workers = key.removeprefix(routing_keys.EVENT) in topology.WORKER_EVENTS
                exchange = WORK if of_workers else EXCHANGE
                self._publisher.publish(exchange, key, body, properties, mandatory=True)
            self._wait_for_confirms()

    def _wait_for_confirms(self) -> None:
        for returned in self._publisher.wait_for_confirms():
            raise make_not_routed(self._connection.address, returned)

    # --- job queue ------------------------------------------------------------------

    def take(self, pool: str, listen: bool = True) -> Delivery | None:
        """Take the oldest ready message of the pool's queue, or return None at once."""
        self._declarer.need_pool(pool)
        with self._translating():
            delivery = self._jobs.take(pool, listen)
        if delivery is None:
            self._declarer.close_channel()
        return delivery

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a message: it is removed."""
        with self._translating():
            self._jobs.ack(delivery)

    def requeue(self, delivery: Delivery) -> None:
        """Give a message back to the head of its queue."""
        with self._translating():
            self._jobs.requeue(delivery)

    def reject(self, delivery: Delivery, reason: str) -> None:
        """Move a message to the dead letters, with the reason, and record that in the stream."""
        key = topology.make_dead_key(self._jobs.get_pool(delivery))
        properties = _make_durable({REASON: reason[:MAX_REASON]})
        with self._translating():
            # put aside first: between the two it is in both queues, never in none
            self._publisher.publish(WORK, key, delivery.body, properties, mandatory=True)
            self._wait_for_confirms()
            self._jobs.ack(delivery)

    def count_ready(self, pool: str) -> int:
        """Return how many messages of the pool's queue no worker has taken."""
        self._declarer.need_pool(pool)
        return self.get_queue_state(pool).ready

    # --- for the operator -----------------------------------------------------------

    def get_queue_state(self, pool: str) -> QueueState:
        """Return the state of the pool's queue; declares no queue."""
        return self._get_state(topology.make_job_queue_name(pool))

    def get_dead_letter_state(self) -> QueueState:
        """Return the state of the queue of dead letters."""
        return self._get_state(topology.DEAD)

    def get_stream_state(self) -> QueueState:
        """Return how many records the stream has; the count may be some seconds old."""
        return self._get_state(topology.STREAM)

    def _get_state(self, queue: str) -> QueueState:
        found = self._declarer.find_queue(queue)
        if found is None:
            raise make_refused(
                self._connection.address,
                f"there is no queue {queue!r}: check the pool's name and the lanes; "
                "`thyme-admin topology` with the same --pool and --lanes makes it",
            )
        return QueueState(int(found.message_count), int(found.consumer_count))

    def list_dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first; they stay in their queue."""
        with self._using_stream():
            return DeadLetterQueue(self._connection).list()

    def requeue_dead_letters(self, ids: Sequence[str] | None = None) -> int:
        """Submit the dead letters of these ids (None: all) again; return how many."""
        with self._using_stream():
            queue = DeadLetterQueue(self._connection)
            return queue.requeue(ids, lambda pool, body: self.submit(pool, [body]))

    def purge_queue(self, pool: str) -> int:
        """Delete the ready messages of the pool's queue; return how many. The stream stays."""
        self._declarer.need_pool(pool)
        return self._purge(topology.make_job_queue_name(pool))

    def purge_dead_letters(self) -> int:
        """Delete the dead letters; return how many."""
        self._declarer.need_stream()
        return self._purge(topology.DEAD)

    def _purge(self, queue: str) -> int:
        with self._translating():
            return self._declarer.purge_queue(queue)

    # --- stream ---------------------------------------------------------------------

    def read(self, after: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records with an offset over ``after`` (-1: all); may be []."""
        with self._using_stream():
            return self._stream.read(after, limit)

    def get_first_offset(self) -> int:
        """Return the offset of the oldest record that the stream has; -1: none, or not known."""
        with self._using_stream():
            return self._stream.find_first_offset()

    def get_retention(self) -> Retention:
        """Return how long, and up to how many bytes, the stream keeps its records."""
        return topology.parse_retention(self._declarer.stream_arguments)

    # --- mail -----------------------------------------------------------------------

    def open_inbox(self, name: str, pools: Sequence[str] = ()) -> None:
        """Receive mail under this name, and what is announced to ``pools``, until ``close``."""
        with self._using_stream():
            self._inboxes.open(name, pools)

    def send(self, to: str, mail: Mail) -> bool:
        """Send mail and wait until it is confirmed; returns False when nobody has that inbox."""
        with self._using_stream():
            return self._inboxes.send(to, mail)

    def send_unconfirmed(self, to: str, mail: Mail) -> None:
        """Send mail without waiting to learn whether it arrived."""
        self.send_all_unconfirmed([(to, mail)])

    def send_all_unconfirmed(self, letters: Sequence[tuple[str, Mail]]) -> None:
        """Send each (to whom, mail) without waiting to learn whether it arrived."""
        with self._using_stream():
            self._inboxes.send_all_unconfirmed(letters)

    def request(self, to: str, mail: Mail) -> None:
        """Send mail that has a ``correlation``; it comes back where nobody has that inbox."""
        with self._using_stream():
            self._inboxes.request(to, mail)

    def announce(self, pool: str, mail: Mail) -> None:
        """Send mail to every inbox that listens to ``pool``; there may be none."""
        with self._using_stream():
            self._inboxes.announce(pool, mail)

    def receive(self) -> Mail | None:
        """Return the next mail of our inboxes, or None at once."""
        return self._inboxes.receive()

    # --- waiting --------------------------------------------------------------------

    def wait(self, timeout: float) -> None:
        """Return when something may have come, on ``wake``, or after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        left = timeout
        while True:
            with self._translating():
                self._connection.check(self._channel)
                self._stream.check()
            # what came while a question was answered counts as well
            woken = self._connection.pump(0.0 if self._connection.news else left)
            left = deadline - time.monotonic()
            if woken or self._connection.news or left <= 0:
                self._connection.news = False
                return

    def wake(self) -> None:
        """End the present or the next ``wait``; for other threads and signal handlers."""
        self._wakeup.wake()

    def close(self) -> None:
        """Close the connection; never raises. RabbitMQ queues again what was taken."""
        if not self._closed:
            self._closed = True
            self._connection.close()
            self._wakeup.close()


def _make_durable(headers: dict[str, str] | None = None) -> BasicProperties:
    return BasicProperties(delivery_mode=_DURABLE, timestamp=int(time.time()), headers=headers)


def _connect(addresses: Sequence[BrokerAddress], wakeup: Wakeup) -> Connection:
    failures: list[BrokerError] = []
    for address in addresses:
        try:
            return Connection(address, wakeup)
        except BrokerError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    text = "; ".join(str(error) for error in failures)
    # if one refused, the others would refuse as well if they answered
    if any(isinstance(error, BrokerRefused) for error in failures):
        raise BrokerRefused(text)
    raise BrokerUnreachable(text)
