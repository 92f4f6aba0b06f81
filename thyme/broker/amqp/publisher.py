"""Publishing with confirms: many messages on their way at once, and none of them forgotten."""

from __future__ import annotations

from typing import Any, Final

from thyme.errors import BrokerError

from .connection import Basic, BasicProperties, Channel, Connection
from .errors import make_refused, make_unreachable
from .url import BrokerAddress

#: Messages without a confirm yet: the broker confirms many at once, and must never run dry.
_MOST_UNCONFIRMED: Final = 2000
#: Bytes of them; one more message may be on top.
_MOST_UNCONFIRMED_BYTES: Final = 8 * 1024 * 1024
#: Unsent bytes that are worth a look at the socket.
_ENOUGH_TO_SEND: Final = 64 * 1024


class Publisher:
    """Publishes on one channel, whose returned messages it is given."""

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self._connection = connection
        self._channel = channel
        self._last_tag = 0
        self._lowest_unconfirmed = 1
        #: delivery tag → bytes
        self._unconfirmed: dict[int, int] = {}
        self._unconfirmed_bytes = 0
        self._nacked = False
        self._returned: list[Any] = []
        connection.call(channel.confirm_delivery, self._on_confirm)

    def publish(
        self, exchange: str, key: str, body: bytes, properties: BasicProperties, mandatory: bool
    ) -> None:
        """Put a message on its way; ``wait_for_confirms`` says what became of it.

        ``mandatory``: the broker returns what it can put nowhere; not for a message whose sender
        does not wait for it, as its return would be taken for another's.
        Raises ChannelClosedByBroker, BrokerError.
        """
        # the broker refuses any other name, and "" stands for a certificate's, which only it knows
        properties.user_id = self._connection.address.user or None
        self._connection.send(
            self._channel.basic_publish, exchange, key, body, properties, mandatory
        )
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = len(body)
        self._unconfirmed_bytes += len(body)
        if self._connection.unsent_bytes > _ENOUGH_TO_SEND:
            self._connection.pump(0)
        if not self._has_room():
            self._connection.wait_until(self._has_room, "confirm of a message", self._progress)

    def wait_for_confirms(self) -> list[Any]:
        """Return once all that was published is durable where it belongs.

        Returns the Basic.Return of each message that no queue took.
        Raises ChannelClosedByBroker, BrokerError.
        """
        self._connection.wait_until(self._has_all, "confirm of a message", self._progress)
        returned, self._returned = self._returned, []
        return returned

    def _has_room(self) -> bool | None:
        self._check()
        full = (
            len(self._unconfirmed) >= _MOST_UNCONFIRMED
            or self._unconfirmed_bytes >= _MOST_UNCONFIRMED_BYTES
        )
        return None if full else True

    def _has_all(self) -> bool | None:
        self._check()
        return None if self._unconfirmed else True

    def _progress(self) -> tuple[int, int]:
        # coarse: a heartbeat that we send is no progress
        return len(self._unconfirmed), self._connection.unsent_bytes // _ENOUGH_TO_SEND

    def _check(self) -> None:
        self._connection.check(self._channel)
        if self._nacked:
            raise self._connection.fail(
                make_unreachable(
                    self._connection.address, "it could not store a message; see its log"
                )
            )

    def _on_confirm(self, frame: Any) -> None:
        confirm = frame.method
        self._nacked = self._nacked or isinstance(confirm, Basic.Nack)
        tag = confirm.delivery_tag
        tags = range(self._lowest_unconfirmed, tag + 1) if confirm.multiple else (tag,)
        for each in tags:
            self._unconfirmed_bytes -= self._unconfirmed.pop(each, 0)
        if confirm.multiple:
            self._lowest_unconfirmed = tag + 1

    def on_return(self, returned: Any) -> None:
        """Take note of a Basic.Return."""
        self._returned.append(returned)


def make_not_routed(address: BrokerAddress, returned: Any) -> BrokerError:
    """Return the error for a message that no queue took, from its Basic.Return."""
    return make_refused(
        address,
        f"exchange {returned.exchange!r} has no queue for {returned.routing_key!r}; run "
        "thyme-admin topology",
    )
