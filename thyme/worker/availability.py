"""A worker that waits says so, again and again: that is all that anybody knows of it."""

from __future__ import annotations

from collections.abc import Callable

from thyme.broker import Mail, Transport
from thyme.protocol import codec
from thyme.protocol.mail import Machine, Waiting


class Availability:
    def __init__(
        self,
        worker: str,
        slot: str,
        pool: str,
        interval: float,
        machine: Callable[[], Machine | None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """``interval``: seconds between two such words; ``wall``: seconds since the epoch."""
        self._worker = worker
        self._slot = slot
        self._pool = pool
        self._interval = interval
        self._machine = machine
        self._clock = clock
        self._wall = wall
        self._since: float | None = None
        self._next = 0.0

    def waits(self, transport: Transport, jobs: int) -> None:
        """There was no job just now, after ``jobs`` of them. Raises BrokerError."""
        if self._since is None:
            self._since, self._next = self._wall(), self._clock()
        if self._clock() >= self._next:
            self._next = self._clock() + self._interval
            self._say(transport, self._since, jobs, leaving=False)

    def works(self) -> None:
        """A job came: its messages tell of the worker from now on."""
        self._since = None

    def leaves(self, transport: Transport, jobs: int) -> None:
        """It will not be heard of again. Raises BrokerError."""
        if self._since is not None:
            self._say(transport, self._since, jobs, leaving=True)
            self._since = None

    def _say(self, transport: Transport, since: float, jobs: int, leaving: bool) -> None:
        word = Waiting(
            self._worker, self._slot, self._pool, since, self._interval, self._machine(), jobs,
            leaving,
        )  # fmt: skip
        transport.announce(self._pool, Mail(codec.encode(word), self._worker))
