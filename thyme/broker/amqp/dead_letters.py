"""Dead letters in RabbitMQ: put aside by a worker, or by the broker after too many deliveries."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from thyme.broker import routing_keys
from thyme.broker.base import TAKEN_TOO_OFTEN, DeadLetter, make_dead_letter_id

from .connection import BasicProperties, Connection
from .topology import DEAD, DELIVERY_LIMIT, unquote_pool

#: Header of a letter that a worker put aside: why.
REASON: Final = "x-thyme-reason"
#: Bytes of a reason; the rest is cut off.
MAX_REASON: Final = 1000
#: Seconds since 1970 at which no calendar of Python's has a date any more.
_YEAR_10000: Final = 253402300800

_REASONS: Final = {
    "delivery_limit": f"delivered more than {DELIVERY_LIMIT} {TAKEN_TOO_OFTEN}",
    "rejected": "rejected by its worker",
    "expired": "nobody took it in time",
    "maxlen": "its queue was full",
}


def get_reason(headers: Mapping[str, Any]) -> str:
    """Return why the message with these headers was put aside."""
    given = headers.get(REASON)
    if isinstance(given, str):
        return given
    first = headers.get("x-first-death-reason")
    if not isinstance(first, str) or not first:
        first = "it does not say why"
    return _REASONS.get(first, f"put aside by the broker: {first}")


def get_time(properties: BasicProperties) -> float:
    """Return when a message was published, epoch seconds; 0 where it says nothing that can be."""
    timestamp = properties.timestamp or 0
    return float(timestamp) if timestamp < _YEAR_10000 else 0.0


def _make_letter(method: Any, properties: BasicProperties, body: bytes) -> DeadLetter:
    headers = properties.headers or {}
    pool = unquote_pool(routing_keys.parse_dead_pool(str(method.routing_key)))
    time = _get_time_of_death(headers) or get_time(properties)
    return DeadLetter(body, get_reason(headers), time, pool, make_dead_letter_id(pool, body))


def _get_time_of_death(headers: Mapping[str, Any]) -> float:
    """Return when the broker put the message aside, epoch seconds; 0 where it was not the broker.

    Whoever may publish dead letters may have written these headers.
    """
    deaths = headers.get("x-death")
    if REASON not in headers and isinstance(deaths, list) and deaths:
        died = deaths[0].get("time") if isinstance(deaths[0], dict) else None
        if isinstance(died, datetime.datetime):
            return died.timestamp()
    return 0.0


class DeadLetterQueue:
    """The queue of dead letters. Raises ChannelClosedByBroker, BrokerError.

    It is looked at by taking all of it; what is not acknowledged goes back.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> list[DeadLetter]:
        """Return all dead letters, oldest first; they stay."""
        found: list[DeadLetter] = []

        def keep(letter: DeadLetter) -> bool:
            found.append(letter)
            return False

        self._process(keep)
        return found

    def requeue(self, ids: Sequence[str] | None, submit: Callable[[str, bytes], None]) -> int:
        """Pass the letters of these ids (None: all) to ``submit`` (pool, body); return how many."""
        count = 0

        def submit_again(letter: DeadLetter) -> bool:
            nonlocal count
            if ids is not None and letter.id not in ids:
                return False
            submit(letter.pool, letter.body)
            count += 1
            return True

        self._process(submit_again)
        return count

    def _process(self, remove: Callable[[DeadLetter], bool]) -> None:
        """Take all letters, and give back those for which ``remove`` returns False."""
        connection = self._connection
        channel = connection.open_channel()
        try:
            # all are taken first, so that none that ``remove`` puts aside is taken, too
            messages = []
            while (message := connection.get(channel, DEAD)) is not None:
                messages.append(message)
            for method, properties, body in messages:
                if remove(_make_letter(method, properties, body)):
                    connection.send(channel.basic_ack, method.delivery_tag)
            # 0: all that is left. They are back before anybody looks again: qos is answered
            connection.send(channel.basic_nack, 0, multiple=True, requeue=True)
            connection.call(channel.basic_qos, prefetch_count=0)
        finally:
            connection.close_channel(channel)
