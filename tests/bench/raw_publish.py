"""The best that pika does: confirmed publishes as fast as the broker and the library let them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pika

#: Messages on their way without a confirm; more do not make it faster (tried up to 10,000).
WINDOW = 1000


class RawPublisher:
    """Publishes ``bodies`` once, persistent and mandatory; ``seconds`` is how long that took."""

    def __init__(self, url: str, exchange: str, key: str, bodies: Sequence[bytes]) -> None:
        self._exchange, self._key, self._bodies = exchange, key, bodies
        self._properties = pika.BasicProperties(delivery_mode=2)
        self._sent = self._floor = 0
        self._above: set[int] = set()
        self._begin = 0.0
        self.seconds = 0.0
        self.error: BaseException | None = None
        self._connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda made: made.channel(on_open_callback=self._opened),
            on_open_error_callback=self._failed,
            on_close_callback=self._failed,
        )

    def run(self) -> float:
        self._connection.ioloop.start()
        if self.error is not None:
            raise self.error
        return self.seconds

    def _confirmed(self) -> int:
        return self._floor + len(self._above)

    def _failed(self, _connection: Any, error: BaseException) -> None:
        if self._confirmed() < len(self._bodies):
            self.error = error
        self._connection.ioloop.stop()

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._failed)
        channel.add_on_return_callback(lambda *_: self._failed(None, RuntimeError("returned")))
        channel.confirm_delivery(self._acked, callback=lambda _frame: self._start())

    def _start(self) -> None:
        self._begin = time.monotonic()
        self._publish()

    def _publish(self) -> None:
        until = min(self._confirmed() + WINDOW, len(self._bodies))
        while self._sent < until:
            body = self._bodies[self._sent]
            self._channel.basic_publish(
                self._exchange, self._key, body, self._properties, mandatory=True
            )
            self._sent += 1

    def _acked(self, frame: Any) -> None:
        if type(frame.method) is pika.spec.Basic.Nack:
            self._failed(None, RuntimeError("the broker refused a message"))
            return
        # confirms come one by one, or for all up to a tag, and not always in order
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            self._floor = max(self._floor, tag)
            self._above = {each for each in self._above if each > self._floor}
        else:
            self._above.add(tag)
        if self._confirmed() >= len(self._bodies):
            self.seconds = time.monotonic() - self._begin
            self._connection.close()
        else:
            self._publish()
