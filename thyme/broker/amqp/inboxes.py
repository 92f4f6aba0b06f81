"""Mail: an inbox is a queue of this connection, and is reached through an exchange by its name."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from thyme.broker.base import Mail

from . import topology
from .channel import Channel
from .declare import Setup
from .errors import ChannelClosed, refused
from .frames import Content, Envelope, spec
from .publisher import Publisher
from .topology import WORK

_LOCKED: Final = 405
#: Questions that are remembered: whoever asks so many without an answer has given the first up.
_ASKED: Final = 1000


class PostOffice:
    """Its methods raise ChannelClosed and BrokerError."""

    def __init__(
        self,
        channel: Channel,
        publisher: Publisher,
        setup: Setup,
        consumers: dict[str, Callable[[Content], None]],
    ) -> None:
        """``consumers``: consumer tag → who gets what comes, on this channel."""
        self._channel = channel
        self._publisher = publisher
        self._setup = setup
        self._consumers = consumers
        self._inboxes: set[str] = set()
        self._mail: deque[Mail] = deque()
        #: what was asked and has neither been answered nor come back, by its correlation
        self._asked: dict[str, Mail] = {}

    def open(self, name: str, pools: Sequence[str]) -> None:
        """See ``Transport.open_inbox``."""
        if name in self._inboxes:
            return
        inbox = topology.inbox(name)
        queue = inbox.queue.name
        if name.startswith(topology.WORKER):
            # after a cut line the broker keeps the old one for minutes
            queue = topology.short_enough(f"{queue}.{os.urandom(4).hex()}", "inbox")
        try:
            self._setup.ask(spec.Queue.Declare(queue=queue, exclusive=True))
        except ChannelClosed as error:
            if error.code != _LOCKED:
                raise
            text = f"another living process already answers as {name!r}"
            raise refused(self._channel.line.place, text) from error
        bindings = [(inbox.exchange, inbox.key)]
        bindings += [(WORK, topology.idle_key(pool)) for pool in pools]
        for exchange, key in bindings:
            self._setup.ask(spec.Queue.Bind(queue=queue, exchange=exchange, routing_key=key))
        tag = f"mail-{len(self._inboxes)}"
        self._consumers[tag] = self._came
        self._channel.ask(spec.Basic.Consume(queue=queue, consumer_tag=tag, no_ack=True))
        self._inboxes.add(name)

    def _came(self, content: Content) -> None:
        sent = content.properties
        self._asked.pop(sent.correlation_id, None)
        self._mail.append(Mail(content.body, sent.reply_to or "", sent.correlation_id or ""))

    def receive(self) -> Mail | None:
        if not self._mail:
            self._channel.line.pump(0)
        return self._mail.popleft() if self._mail else None

    def send(self, to: str, mail: Mail) -> bool:
        """Whether somebody has that inbox."""
        inbox = topology.inbox(to)
        envelope = self._envelope(inbox.exchange, inbox.key, mail, mandatory=True)
        self._publisher.put([(envelope, mail.body)])
        return not self._publisher.confirms()

    def ask(self, to: str, mail: Mail) -> None:
        """See ``Transport.ask``."""
        inbox = topology.inbox(to)
        self._asked[mail.correlation] = mail
        if len(self._asked) > _ASKED:
            del self._asked[next(iter(self._asked))]
        self._leave(inbox.exchange, inbox.key, mail, mandatory=True)
        self._channel.line.pump(0)

    def came_back(self, content: Content) -> bool:
        """Whether this message, which no queue took, is a question: it is mail then."""
        asked = self._asked.pop(content.properties.correlation_id, None)
        if asked is not None:
            self._mail.append(asked)
        return asked is not None

    def drop_off(self, to: str, mail: Mail) -> None:
        """As ``send``, where nobody waits to hear whether it arrived."""
        self.drop_all_off([(to, mail)])

    def drop_all_off(self, letters: Sequence[tuple[str, Mail]]) -> None:
        """``drop_off`` each of these, in one piece."""
        for to, mail in letters:
            inbox = topology.inbox(to)
            self._leave(inbox.exchange, inbox.key, mail)
        self._channel.line.pump(0)

    def announce(self, pool: str, mail: Mail) -> None:
        self._leave(WORK, topology.idle_key(pool), mail)
        self._channel.line.pump(0)

    def _leave(self, exchange: str, key: str, mail: Mail, mandatory: bool = False) -> None:
        self._publisher.send(self._envelope(exchange, key, mail, mandatory), mail.body)

    def _envelope(self, exchange: str, key: str, mail: Mail, mandatory: bool) -> Envelope:
        properties = spec.BasicProperties(
            reply_to=mail.reply_to or None, correlation_id=mail.correlation or None
        )
        return Envelope(self._channel.number, exchange, key, properties, mandatory)
