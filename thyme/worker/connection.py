"""The worker's line to the broker: made again when it breaks, and nothing said on it is lost.

What the worker has to record waits here, in order, until a broker has
confirmed it. A worker has at most a handful of such messages (two a job), so
the buffer is bounded by the job it runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from thyme.broker import Delivery, Transport
from thyme.errors import BrokerError

log = logging.getLogger(__name__)

#: Seconds before the first new attempt to connect; doubled each time, with jitter.
FIRST_BACKOFF = 0.2


class BrokerConnection:
    def __init__(
        self,
        connect: Callable[[], Transport],
        inbox: str,
        max_backoff: float,
        clock: Callable[[], float],
    ) -> None:
        """``connect`` raises BrokerError; ``max_backoff`` in seconds; nothing is connected yet."""
        self._connect = connect
        self._inbox = inbox
        self._max_backoff = max_backoff
        self._clock = clock
        self._transport: Transport | None = None
        self._backoff = 0.0
        self._next_try = 0.0
        self._unsent: list[bytes] = []
        self.last_error: BrokerError | None = None

    def transport(self) -> Transport | None:
        """The line if it is up; tries to make it when the back-off has passed."""
        if self._transport is None and self._clock() >= self._next_try:
            try:
                transport = self._connect()
                try:
                    transport.open_inbox(self._inbox)
                except BrokerError:
                    transport.close()
                    raise
            except BrokerError as error:
                self._note(error)
            else:
                self._transport, self._backoff, self.last_error = transport, 0.0, None
        return self._transport

    @property
    def is_up(self) -> bool:
        """Whether there is a line, as far as we know."""
        return self._transport is not None

    def broke(self, error: BrokerError) -> None:
        """The line failed: drop it. What had been taken on it goes back to its queue."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._note(error)

    def post(self, body: bytes, pool: str | None = None) -> Delivery | None:
        """Record this as soon as possible, after all that waits already.

        ``pool``: take a message from there on the way; it is returned if all was recorded.
        """
        self._unsent.append(body)
        return self._try_to_send(pool)

    def keep(self, body: bytes) -> None:
        """Record this when next asked to, after all that waits already."""
        self._unsent.append(body)

    def flush(self) -> bool:
        """Whether nothing waits any more, after trying."""
        if self._unsent:
            self._try_to_send(None)
        return not self._unsent

    def _try_to_send(self, pool: str | None) -> Delivery | None:
        delivery = None
        if (transport := self.transport()) is not None:
            try:
                if pool is None:
                    transport.record(self._unsent)
                else:
                    delivery = transport.record_and_take(pool, self._unsent)
                self._unsent.clear()
            except BrokerError as error:
                self.broke(error)
        return delivery

    def until_next_try(self) -> float:
        """Seconds until a broken line is tried again."""
        return max(self._next_try - self._clock(), 0.0)

    def pause(self, seconds: float) -> None:
        """Wait for ``wake``, at most so long; there may be no line."""
        if self._transport is not None:
            try:
                self._transport.pause(seconds)
            except BrokerError as error:
                self.broke(error)

    def wake(self) -> None:
        """For other threads and signal handlers: end the transport's wait, if it waits."""
        transport = self._transport
        if transport is not None:
            transport.wake()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _note(self, error: BrokerError) -> None:
        self.last_error = error
        self._backoff = min(max(self._backoff * 2, FIRST_BACKOFF), self._max_backoff)
        # jitter: a thousand workers must not come back in one moment
        self._next_try = self._clock() + self._backoff * (0.5 + os.urandom(1)[0] / 510)
        log.warning("%s; next try in %.1f s", error, self._next_try - self._clock())
