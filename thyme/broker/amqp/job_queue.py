"""Takes messages from the pools' queues, one at a time.

While there is something it is taken by ``get``; while there is nothing, by a consumer, so that an
idle worker is told at once and asks nothing. The consumer ends with its first message: a worker
that runs a job for hours must not be sent another one.
"""

from __future__ import annotations

import itertools
from typing import Any

from thyme.broker.base import Delivery

from .connection import Channel, Connection
from .topology import make_job_queue_name


class JobQueues:
    """The pools' queues, as one worker sees them. Raises ChannelClosedByBroker, BrokerError."""

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self._connection = connection
        self._channel = channel
        self._count = itertools.count(1)
        #: pools for which a consumer waits
        self._waiting: set[str] = set()
        #: pool → delivery and body that its consumer was sent
        self._pushed: dict[str, tuple[Any, bytes]] = {}
        #: delivery tag → pool, of what is not acknowledged
        self._pools: dict[int, str] = {}
        self._set_prefetch()

    def _set_prefetch(self) -> None:
        self._connection.call(self._channel.basic_qos, prefetch_count=1)

    def take(self, pool: str, listen: bool) -> Delivery | None:
        """Return the oldest free message, or None; see ``Transport.take``."""
        if pool in self._waiting:
            self._connection.pump(0)
        elif pool not in self._pushed:
            found = self._connection.get(self._channel, make_job_queue_name(pool))
            if found is not None:
                method, _properties, body = found
                return self._make_delivery(pool, method, body)
            if not listen:
                return None
            self._consume(pool)
        if pool not in self._pushed:
            return None
        return self._make_delivery(pool, *self._pushed.pop(pool))

    def _make_delivery(self, pool: str, method: Any, body: bytes) -> Delivery:
        tag = int(method.delivery_tag)
        self._pools[tag] = pool
        return Delivery(tag, body, bool(method.redelivered))

    def get_pool(self, delivery: Delivery) -> str:
        """Return the pool that ``delivery`` was taken from."""
        return self._pools[delivery.tag]

    def _consume(self, pool: str) -> None:
        tag = f"jobs-{next(self._count)}"

        def on_message(channel: Channel, method: Any, _properties: object, body: bytes) -> None:
            if channel.is_open:
                # before its acknowledgement, which would bring the next one; without a callback
                # pika would remember the tag for as long as the channel is open
                channel.basic_cancel(tag, lambda _answer: None)
                self._waiting.discard(pool)
                self._pushed[pool] = method, body
                self._connection.news = True

        self._waiting.add(pool)
        self._connection.call(
            self._channel.basic_consume, make_job_queue_name(pool), on_message, consumer_tag=tag
        )

    def ack(self, delivery: Delivery) -> None:
        """See ``Transport.ack``."""
        self._pools.pop(delivery.tag, None)
        self._connection.send(self._channel.basic_ack, delivery.tag)
        self._connection.flush()

    def requeue(self, delivery: Delivery) -> None:
        """Give it back to its queue; it is free when this returns."""
        self._pools.pop(delivery.tag, None)
        self._connection.send(self._channel.basic_nack, delivery.tag, requeue=True)
        self._set_prefetch()  # it is answered after the nack was done
