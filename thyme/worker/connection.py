"""The worker's connection to the broker: made again when it breaks, without losing a record.

What the worker has to record waits here, in order, until a broker has
confirmed it. A worker has at most a handful of such messages (two a job), so
the buffer is bounded by the job it runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from thyme.broker import Transport
from thyme.errors import BrokerError

log = logging.getLogger(__name__)

#: Seconds before the first new attempt to connect; doubled each time, with jitter.
FIRST_BACKOFF = 0.2


class BrokerConnection:
    """A transport that is connected again after a back-off, and the records that wait for it."""

    def __init__(
        self,
        connect: Callable[[], Transport],
        inbox: str,
        max_backoff: float,
        clock: Callable[[], float],
    ) -> None:
        """Prepare to connect, and to open ``inbox``; nothing is connected yet.

        ``connect`` makes a transport or raises BrokerError; ``max_backoff`` in seconds.
        """
        self._connect = connect
        self._inbox = inbox
        self._max_backoff = max_backoff
        self._clock = clock
        self._transport: Transport | None = None
        self._backoff = 0.0
        self._next_try = 0.0
        self._failed_at: float | None = None
        self._unsent: list[bytes] = []
        self.last_error: BrokerError | None = None

    def get_transport(self) -> Transport | None:
        """Return the transport, or None; connects when the back-off has passed."""
        if self._transport is None and self._clock() >= self._next_try:
            try:
                transport = self._connect()
                try:
                    transport.open_inbox(self._inbox)
                except BrokerError:
                    transport.close()
                    raise
            except BrokerError as error:
                self._back_off(error)
            else:
                self._transport, self._backoff, self.last_error = transport, 0.0, None
                if self._failed_at is not None:
                    log.warning("the broker answers again after %.0f s",
                                self._clock() - self._failed_at)  # fmt: skip
                    self._failed_at = None
        return self._transport

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._transport is not None

    def drop(self, error: BrokerError) -> None:
        """Give up the connection because of ``error``: what was taken on it is queued again."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._back_off(error)

    def record(self, body: bytes) -> None:
        """Record ``body`` now or when there is a connection, after all that waits already."""
        self._unsent.append(body)
        self.flush()

    def flush(self) -> bool:
        """Record what waits, and return whether nothing waits any more."""
        if self._unsent and (transport := self.get_transport()) is not None:
            try:
                transport.record(self._unsent)
                self._unsent.clear()
            except BrokerError as error:
                self.drop(error)
        return not self._unsent

    def seconds_until_retry(self) -> float:
        """Return the seconds until a lost connection is tried again."""
        return max(self._next_try - self._clock(), 0.0)

    def wake(self) -> None:
        """End the transport's wait, if it waits; for other threads and signal handlers."""
        transport = self._transport
        if transport is not None:
            transport.wake()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _back_off(self, error: BrokerError) -> None:
        self.last_error = error
        if self._failed_at is None:
            self._failed_at = self._clock()
        self._backoff = min(max(self._backoff * 2, FIRST_BACKOFF), self._max_backoff)
        # jitter: a thousand workers must not come back in one moment
        self._next_try = self._clock() + self._backoff * (0.5 + os.urandom(1)[0] / 510)
        log.warning("%s; next try in %.1f s", error, self._next_try - self._clock())
