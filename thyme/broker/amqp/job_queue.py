"""Takes messages from the pools' queues, one at a time.

Asked for by ``get`` while there is something; by a consumer while there is nothing, so that an
idle worker is told at once and asks nothing. The consumer ends with its first message: whoever
runs a job for hours must not be sent another one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from thyme.broker.base import Delivery

from .channel import Channel
from .frames import Content, spec
from .topology import job_queue


class Jobs:
    def __init__(self, channel: Channel, consumers: dict[str, Callable[[Content], None]]) -> None:
        """``consumers``: consumer tag → who gets what comes, on this channel."""
        self._channel = channel
        self._consumers = consumers
        self._count = itertools.count(1)
        #: pool → tag of the consumer that waits
        self._waiting: dict[str, str] = {}
        self._pushed: dict[str, Content] = {}
        #: delivery tag → pool, of what is not acknowledged
        self._pools: dict[int, str] = {}
        channel.ask(spec.Basic.Qos(prefetch_count=1))

    def take(self, pool: str) -> Delivery | None:
        """Raises ChannelClosed, BrokerError."""
        if pool in self._waiting:
            self._channel.line.pump(0)
        elif pool not in self._pushed:
            found = self._channel.ask(spec.Basic.Get(queue=job_queue(pool)))
            if isinstance(found, Content):
                return self._taken(pool, found)
            self._consume(pool)
        pushed = self._pushed.pop(pool, None)
        return self._taken(pool, pushed) if pushed is not None else None

    def _taken(self, pool: str, content: Content) -> Delivery:
        tag = int(content.method.delivery_tag)
        self._pools[tag] = pool
        return Delivery(tag, content.body, bool(content.method.redelivered))

    def pool_of(self, delivery: Delivery) -> str:
        """Where it was taken from."""
        return self._pools[delivery.tag]

    def _consume(self, pool: str) -> None:
        tag = f"jobs-{next(self._count)}"

        def came(content: Content) -> None:
            # before its acknowledgement, which would bring the next one
            self._channel.send(spec.Basic.Cancel(consumer_tag=tag, nowait=True))
            self._consumers.pop(tag, None)
            self._waiting.pop(pool, None)
            self._pushed[pool] = content

        self._consumers[tag] = came
        self._waiting[pool] = tag
        self._channel.ask(spec.Basic.Consume(queue=job_queue(pool), consumer_tag=tag))

    def ack(self, delivery: Delivery) -> None:
        self.ack_later(delivery)
        self._channel.line.pump(0)

    def ack_later(self, delivery: Delivery) -> None:
        """It leaves with the next pump."""
        self._pools.pop(delivery.tag, None)
        self._channel.send(spec.Basic.Ack(delivery_tag=delivery.tag))

    def requeue(self, delivery: Delivery) -> None:
        """It is free when this returns."""
        self._pools.pop(delivery.tag, None)
        self._channel.send(spec.Basic.Nack(delivery_tag=delivery.tag, requeue=True))
        self._channel.ask(spec.Basic.Qos(prefetch_count=1))
