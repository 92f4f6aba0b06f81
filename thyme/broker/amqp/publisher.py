"""Publishing with confirms: many messages on their way at once, and none of them forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from thyme.errors import BrokerError

from .channel import Channel
from .errors import refused, unreachable
from .frames import Content, Envelope, spec
from .url import Place

#: Messages on their way at once: the broker confirms in heaps, and must never run dry.
_MESSAGES: Final = 2000
#: Bytes that wait to be sent before we look for confirms.
_BYTES: Final = 1024 * 1024
#: Bytes after which the kernel gets what there is.
_FLUSH: Final = 64 * 1024


class Publisher:
    """Belongs to one channel, whose Ack, Nack and Return it is given."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._line = channel.line
        self._tag = 0
        self._lowest = 1
        self._open: set[int] = set()
        self._nacked = False
        self._returned: list[Content] = []
        channel.ask(spec.Confirm.Select())

    def put(self, messages: Iterable[tuple[Envelope, bytes]]) -> None:
        """Put messages on their way; ``confirms`` says what became of them.

        Raises ChannelClosed, BrokerError.
        """
        self._returned.clear()
        for envelope, body in messages:
            self.send(envelope, body)
            if self._line.waiting > _FLUSH:
                self._line.pump(0)
            if len(self._open) >= _MESSAGES or self._line.waiting >= _BYTES:
                self._line.until(self._room, "confirm of a message", self._progress)

    def confirms(self) -> list[Content]:
        """All that was sent is durable where it belongs, when this returns.

        The messages that no queue took. Raises ChannelClosed, BrokerError.
        """
        self._line.until(self._all, "confirm of a message", self._progress)
        returned, self._returned = self._returned, []
        return returned

    def send(self, envelope: Envelope, body: bytes) -> None:
        """Put a message on its way. Where nobody waits for it, it must not be mandatory:
        its return would come into another's ``confirms``."""
        if self._channel.ended is not None:
            raise self._channel.ended
        self._line.put(envelope.around(body, self._line.frame_max))
        self._tag += 1
        self._open.add(self._tag)

    def _room(self) -> bool | None:
        self._check()
        return True if len(self._open) < _MESSAGES and self._line.waiting < _BYTES else None

    def _progress(self) -> tuple[int, int]:
        return len(self._open), self._line.waiting

    def _all(self) -> bool | None:
        self._check()
        return None if self._open else True

    def _check(self) -> None:
        if self._channel.ended is not None:
            raise self._channel.ended
        if self._nacked:
            raise self._line.fail(
                unreachable(self._line.place, "it could not store a message; see its log")
            )

    def confirmed(self, method: Any) -> None:
        """Ack or Nack."""
        tag = method.delivery_tag
        if isinstance(method, spec.Basic.Nack):
            self._nacked = True
        if not method.multiple:
            self._open.discard(tag)
            return
        while self._lowest <= tag:
            self._open.discard(self._lowest)
            self._lowest += 1

    def returned(self, content: Content) -> None:
        self._returned.append(content)


def not_routed(place: Place, content: Content) -> BrokerError:
    """For a message that no queue took."""
    method = content.method
    return refused(
        place,
        f"exchange {method.exchange!r} has no queue for {method.routing_key!r}; run "
        "thyme-admin topology",
    )
