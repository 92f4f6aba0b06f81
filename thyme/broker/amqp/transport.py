"""RabbitMQ, 3.10 to 4.x: the transport of a site with more than one machine.

What there is in the broker is in ``amqp_topology.py`` and docs/reference/broker.md. One
connection, with one channel for all but the stream (which has its own) and for questions that the
broker may refuse. Nothing is assumed of the broker's configuration.

A message is published with a confirm: it is durable in the queue *and* in the stream when
``submit`` returns. After a loss of the line what was taken comes again, and what was being
published may have been recorded.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from thyme.broker import routing_keys
from thyme.broker.base import DeadLetter, Delivery, Mail, QueueState, Record, Transport
from thyme.broker.wakeup import Wakeup
from thyme.errors import BrokerError, BrokerRefused, BrokerUnreachable

from . import errors as amqp_errors
from . import topology
from .connection import Line
from .dead_letters import MAX_REASON, REASON, Letters
from .declare import Setup
from .errors import ChannelClosed, refused, unreachable
from .frames import Content, Envelope, spec
from .inboxes import PostOffice
from .job_queue import Jobs
from .publisher import Publisher, not_routed
from .stream import StreamReader
from .topology import EXCHANGE, WORK
from .url import Place

_DURABLE: Final = 2


class AmqpTransport(Transport):
    def __init__(self, places: Sequence[Place]) -> None:
        """The first of ``places``, in an order of chance, that lets us in; raises BrokerError.

        Chance spreads thousands of workers over the nodes of a cluster.
        """
        self._line = _connected(random.sample(places, len(places)))
        self._wakeup = Wakeup()
        self._consumers: dict[str, Callable[[Content], None]] = {}
        self._closed = False
        try:
            with self._translated():
                self._channel = self._line.channel()
                self._channel.contents, self._channel.methods = self._content, self._method
                self._channel.listening = True
                self._publisher = Publisher(self._channel)
                self._jobs = Jobs(self._channel, self._consumers)
        except BaseException:
            self.close()
            raise
        self._setup = Setup(self._line)
        self._stream = StreamReader(self._line)
        self._post = PostOffice(self._channel, self._publisher, self._setup, self._consumers)

    # --- what comes -----------------------------------------------------------------

    def _content(self, content: Content) -> None:
        if isinstance(content.method, spec.Basic.Return):
            if not self._post.came_back(content):
                self._publisher.returned(content)
        elif take := self._consumers.get(content.method.consumer_tag):
            take(content)

    def _method(self, method: Any) -> None:
        if isinstance(method, spec.Basic.Cancel):
            text = "a queue of ours was deleted, or its node left"
            raise unreachable(self._line.place, text)
        self._publisher.confirmed(method)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ChannelClosed as error:
            raise self._closed_error(error) from error

    def _closed_error(self, error: ChannelClosed) -> BrokerError:
        return amqp_errors.closed(self._line.place, error.code, error.text)

    # --- topology -------------------------------------------------------------------

    def declare_topology(self, pools: Sequence[str]) -> None:
        self._setup.declare_topology(topology.topology(pools))

    # --- publishing -----------------------------------------------------------------

    def submit(self, pool: str, bodies: Iterable[bytes]) -> None:
        self._setup.need_pool_to_submit(pool)
        envelope = self._envelope(EXCHANGE, topology.submit_key(pool), _durable())
        with self._translated():
            self._publish((envelope, body) for body in bodies)

    def record(self, bodies: Sequence[bytes]) -> None:
        messages = self._events(bodies)
        with self._translated():
            self._publish(messages)

    def _events(self, bodies: Sequence[bytes]) -> list[tuple[Envelope, bytes]]:
        self._setup.need_stream()
        properties = _durable()
        envelopes: dict[str, Envelope] = {}
        messages = []
        for body in bodies:
            key = routing_keys.event_key(body)
            if key not in envelopes:
                workers = key.removeprefix(routing_keys.EVENT) in topology.WORKER_EVENTS
                exchange = WORK if workers else EXCHANGE
                envelopes[key] = self._envelope(exchange, key, properties)
            messages.append((envelopes[key], body))
        return messages

    def _envelope(self, exchange: str, key: str, properties: Any) -> Envelope:
        return Envelope(self._channel.number, exchange, key, properties)

    def _publish(self, messages: Iterable[tuple[Envelope, bytes]]) -> None:
        self._publisher.put(messages)
        self._confirmed()

    def _confirmed(self) -> None:
        for content in self._publisher.confirms():
            raise not_routed(self._line.place, content)

    # --- job queue ------------------------------------------------------------------

    def take(self, pool: str) -> Delivery | None:
        self._setup.need_pool(pool)
        with self._translated():
            delivery = self._jobs.take(pool)
        if delivery is None:
            self._setup.rest()
        return delivery

    def record_and_take(self, pool: str, bodies: Sequence[bytes]) -> Delivery | None:
        messages = self._events(bodies)
        with self._translated():
            # both leave in one piece, and the broker's answers mostly come in one, too
            self._publisher.put(messages)
            delivery = self.take(pool)
            self._confirmed()
        return delivery

    def ack(self, delivery: Delivery) -> None:
        with self._translated():
            self._jobs.ack(delivery)

    def ack_later(self, delivery: Delivery) -> None:
        with self._translated():
            self._jobs.ack_later(delivery)

    def requeue(self, delivery: Delivery) -> None:
        with self._translated():
            self._jobs.requeue(delivery)

    def reject(self, delivery: Delivery, reason: str) -> None:
        pool = self._jobs.pool_of(delivery)
        properties = _durable({REASON: reason[:MAX_REASON]})
        envelope = self._envelope(WORK, topology.dead_key(pool), properties)
        with self._translated():
            # put aside first: between the two it is in both places, never in none
            self._publish([(envelope, delivery.body)])
            self._jobs.ack(delivery)

    def count_ready(self, pool: str) -> int:
        self._setup.need_pool(pool)
        return self.get_queue_state(pool).ready

    # --- for the operator -----------------------------------------------------------

    def get_queue_state(self, pool: str) -> QueueState:
        return self._state(topology.job_queue(pool))

    def get_dead_letter_state(self) -> QueueState:
        return self._state(topology.DEAD)

    def get_stream_state(self) -> QueueState:
        return self._state(topology.STREAM)

    def _state(self, queue: str) -> QueueState:
        found = self._setup.look(queue)
        if found is None:
            raise refused(
                self._line.place, f"there is no queue {queue!r}; run thyme-admin topology"
            )
        return QueueState(int(found.message_count), int(found.consumer_count))

    def list_dead_letters(self) -> list[DeadLetter]:
        self._setup.need_stream()
        with self._translated():
            return Letters(self._line).all()

    def requeue_dead_letters(self, ids: Sequence[str] | None = None) -> int:
        self._setup.need_stream()
        with self._translated():
            return Letters(self._line).requeue(ids, lambda pool, body: self.submit(pool, [body]))

    def purge_queue(self, pool: str) -> int:
        self._setup.need_pool(pool)
        return self._purge(topology.job_queue(pool))

    def purge_dead_letters(self) -> int:
        self._setup.need_stream()
        return self._purge(topology.DEAD)

    def _purge(self, queue: str) -> int:
        with self._translated():
            return int(self._setup.ask(spec.Queue.Purge(queue=queue)).message_count)

    # --- stream ---------------------------------------------------------------------

    def read(self, after: int, limit: int) -> list[Record]:
        self._setup.need_stream()
        with self._translated():
            return self._stream.read(after, limit)

    # --- mail -----------------------------------------------------------------------

    def open_inbox(self, name: str, pools: Sequence[str] = ()) -> None:
        self._setup.need_stream()
        with self._translated():
            self._post.open(name, pools)

    def send(self, to: str, mail: Mail) -> bool:
        self._setup.need_stream()
        with self._translated():
            return self._post.send(to, mail)

    def send_unconfirmed(self, to: str, mail: Mail) -> None:
        self._setup.need_stream()
        with self._translated():
            self._post.drop_off(to, mail)

    def send_all_unconfirmed(self, letters: Sequence[tuple[str, Mail]]) -> None:
        self._setup.need_stream()
        with self._translated():
            self._post.drop_all_off(letters)

    def request(self, to: str, mail: Mail) -> None:
        self._setup.need_stream()
        with self._translated():
            self._post.ask(to, mail)

    def announce(self, pool: str, mail: Mail) -> None:
        self._setup.need_stream()
        with self._translated():
            self._post.announce(pool, mail)

    def receive(self) -> Mail | None:
        return self._post.receive()

    # --- waiting --------------------------------------------------------------------

    def wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        left = timeout
        while True:
            if self._channel.ended is not None:
                raise self._closed_error(self._channel.ended)
            # what came within another question counts as well
            woken = self._line.pump(0.0 if self._line.news else left, self._wakeup.fileno)
            if woken:
                self._wakeup.clear()
            left = deadline - time.monotonic()
            if woken or self._line.news or left <= 0:
                self._line.news = False
                return

    def pause(self, timeout: float) -> None:
        if self._wakeup.comes_within(timeout):
            self._wakeup.clear()

    def wake(self) -> None:
        self._wakeup.wake()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._line.close()
            self._wakeup.close()


def _durable(headers: dict[str, str] | None = None) -> Any:
    return spec.BasicProperties(delivery_mode=_DURABLE, timestamp=int(time.time()), headers=headers)


def _connected(places: Sequence[Place]) -> Line:
    errors: list[BrokerError] = []
    for place in places:
        try:
            return Line(place, "thyme")
        except BrokerError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    text = "; ".join(str(error) for error in errors)
    # one that says no: the others would say so as well, if they answered
    if any(isinstance(error, BrokerRefused) for error in errors):
        raise BrokerRefused(text)
    raise BrokerUnreachable(text)
