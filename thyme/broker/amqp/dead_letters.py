"""Dead letters in RabbitMQ: put aside by a worker, or by the broker after too many deliveries."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from thyme.broker import routing_keys
from thyme.broker.base import DeadLetter, dead_letter_id

from .channel import Channel
from .connection import Line
from .frames import Content, spec
from .topology import DEAD, DELIVERY_LIMIT, pool_of_word

#: Header of a letter that a worker put aside: why.
REASON: Final = "x-thyme-reason"
#: Bytes of a reason; the rest is cut off.
MAX_REASON: Final = 1000

_REASONS: Final = {
    "delivery_limit": f"delivered more than {DELIVERY_LIMIT} times, and each time its worker died",
    "rejected": "rejected by its worker",
    "expired": "nobody took it in time",
    "maxlen": "its queue was full",
}


def reason_of(headers: Mapping[str, Any]) -> str:
    """Why the message with these headers was put aside."""
    given = headers.get(REASON)
    if isinstance(given, str):
        return given
    first = headers.get("x-first-death-reason", "")
    return _REASONS.get(first, f"put aside by the broker: {first or 'it does not say why'}")


def letter(content: Content) -> DeadLetter:
    headers = content.properties.headers or {}
    key = str(content.method.routing_key)
    pool = pool_of_word(routing_keys.pool_of_dead(key))
    time = _time(headers, content.properties.timestamp)
    return DeadLetter(
        content.body, reason_of(headers), time, pool, dead_letter_id(pool, content.body)
    )


def _time(headers: Mapping[str, Any], published: Any) -> float:
    deaths = headers.get("x-death")
    if REASON not in headers and isinstance(deaths, list) and deaths:
        died = deaths[0].get("time")
        if isinstance(died, datetime.datetime):
            return died.timestamp()
    return float(published or 0)


class Letters:
    """One look at the queue of dead letters: all are taken, and go back unless one says not."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def all(self) -> list[DeadLetter]:
        """Raises ChannelClosed, BrokerError."""
        found: list[DeadLetter] = []

        def keep(content: Content) -> bool:
            found.append(letter(content))
            return False

        self._look(keep)
        return found

    def requeue(self, ids: Sequence[str] | None, submit: Callable[[str, bytes], None]) -> int:
        """``submit`` those of these ids (None: all); each leaves when that is done."""
        count = 0

        def again(content: Content) -> bool:
            nonlocal count
            found = letter(content)
            if ids is not None and found.id not in ids:
                return False
            submit(found.pool, found.body)
            count += 1
            return True

        self._look(again)
        return count

    def _look(self, done_with: Callable[[Content], bool]) -> None:
        channel = self._line.channel()
        try:
            # first all, then what to do with them: what was published comes not before our eyes
            contents = []
            while isinstance(found := _get(channel), Content):
                contents.append(found)
            for content in contents:
                if done_with(content):
                    channel.send(spec.Basic.Ack(delivery_tag=content.method.delivery_tag))
            # 0: all that is left. They are back before anybody looks again: qos is answered
            channel.send(spec.Basic.Nack(delivery_tag=0, multiple=True, requeue=True))
            channel.ask(spec.Basic.Qos(prefetch_count=0))
        finally:
            channel.close()


def _get(channel: Channel) -> Any:
    return channel.ask(spec.Basic.Get(queue=DEAD))
