"""Mail: an inbox is a queue of this connection, and is reached through an exchange by its name."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import Final

from thyme.broker.base import Mail
from thyme.errors import InboxTaken

from . import topology
from .connection import BasicProperties, Channel, ChannelClosedByBroker, Connection
from .declare import TopologyDeclarer
from .publisher import Publisher
from .topology import WORK

_LOCKED: Final = 405
#: Intervals of heartbeats within which the broker drops a connection that is silent.
_MOST_HEARTBEATS: Final = 3.0
#: Requests that are remembered: who makes so many without an answer has given the first up.
_MOST_REQUESTS: Final = 1000


class Inboxes:
    """Sends and receives mail. Raises ChannelClosedByBroker, BrokerError."""

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        publisher: Publisher,
        declarer: TopologyDeclarer,
    ) -> None:
        """Receive on ``channel``, which is the publisher's; ``declarer`` makes the queues."""
        self._connection = connection
        self._channel = channel
        self._publisher = publisher
        self._declarer = declarer
        self._names: set[str] = set()
        self._received: deque[Mail] = deque()
        #: correlation → what was requested and has neither been answered nor returned
        self._requests: dict[str, Mail] = {}

    def open(self, name: str, pools: Sequence[str]) -> None:
        """See ``Transport.open_inbox``."""
        if name in self._names:
            return
        inbox = topology.make_inbox(name)
        queue = inbox.queue.name
        if name.startswith(topology.WORKER):
            # after a cut connection the broker keeps the old one for minutes
            queue = topology.check_name_length(f"{queue}.{os.urandom(4).hex()}", "inbox")
        try:
            self._declarer.declare_queue(queue, exclusive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != _LOCKED:
                raise
            address = self._connection.address
            text = f"broker {address}: another connection already answers as {name!r}"
            raise InboxTaken(text, _MOST_HEARTBEATS * address.heartbeat) from error
        bindings = [(inbox.exchange, inbox.key)]
        bindings += [(WORK, topology.make_idle_key(pool)) for pool in pools]
        for exchange, key in bindings:
            self._declarer.bind_queue(queue, exchange, key)
        self._connection.call(self._channel.basic_consume, queue, self._on_message, auto_ack=True)
        self._names.add(name)

    def _on_message(
        self, _channel: Channel, _method: object, properties: BasicProperties, body: bytes
    ) -> None:
        self._requests.pop(properties.correlation_id, None)
        self._received.append(
            Mail(
                body, _get_text(properties.reply_to), _get_text(properties.correlation_id),
                self._connection.name_sender(properties),
            )
        )  # fmt: skip
        self._connection.news = True

    def receive(self) -> Mail | None:
        """See ``Transport.receive``."""
        if not self._received:
            self._connection.pump(0)
        return self._received.popleft() if self._received else None

    def send(self, to: str, mail: Mail) -> bool:
        """See ``Transport.send``."""
        inbox = topology.make_inbox(to)
        self._publish(inbox.exchange, inbox.key, mail, mandatory=True)
        return not self._publisher.wait_for_confirms()

    def request(self, to: str, mail: Mail) -> None:
        """See ``Transport.request``."""
        inbox = topology.make_inbox(to)
        self._requests[mail.correlation] = mail
        if len(self._requests) > _MOST_REQUESTS:
            del self._requests[next(iter(self._requests))]
        self._publish(inbox.exchange, inbox.key, mail, mandatory=True)
        self._connection.flush()

    def take_returned(self, properties: BasicProperties) -> bool:
        """Receive a returned message if it is a request, as it was sent; return whether it is.

        The broker returns a message that no queue took.
        """
        request = self._requests.pop(properties.correlation_id, None)
        if request is not None:
            self._received.append(request)
            self._connection.news = True
        return request is not None

    def send_all_unconfirmed(self, letters: Sequence[tuple[str, Mail]]) -> None:
        """See ``Transport.send_all_unconfirmed``."""
        for to, mail in letters:
            inbox = topology.make_inbox(to)
            self._publish(inbox.exchange, inbox.key, mail)
        self._connection.flush()

    def announce(self, pool: str, mail: Mail) -> None:
        """See ``Transport.announce``."""
        self._publish(WORK, topology.make_idle_key(pool), mail)
        self._connection.flush()

    def _publish(self, exchange: str, key: str, mail: Mail, mandatory: bool = False) -> None:
        properties = BasicProperties(
            reply_to=mail.reply_to or None, correlation_id=mail.correlation or None
        )
        self._publisher.publish(exchange, key, mail.body, properties, mandatory)


def _get_text(value: str | bytes | None) -> str:
    """Return a property of a message; "" for one that is absent, or no UTF-8."""
    return value if isinstance(value, str) else ""
