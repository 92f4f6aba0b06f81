"""Announces to the schedds of a pool, at intervals, that a worker waits for a job.

Nothing else is known of an idle worker.
"""

from __future__ import annotations

from collections.abc import Callable

from thyme.broker import Mail, Transport
from thyme.protocol import codec
from thyme.protocol.events import Machine
from thyme.protocol.mail import Waiting


class Availability:
    """Announces one worker's waiting."""

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
        """Announce the worker with the inbox ``worker`` on ``slot``, as one of ``pool``.

        ``interval``: seconds between two announcements; ``machine`` describes the node; ``clock``
        is monotonic, ``wall`` gives seconds since the epoch.
        """
        self._worker = worker
        self._slot = slot
        self._pool = pool
        self._interval = interval
        self._machine = machine
        self._clock = clock
        self._wall = wall
        self._since: float | None = None
        self._next = 0.0

    def report_waiting(self, transport: Transport, jobs: int) -> None:
        """Announce that it waits, if that is due; it has run ``jobs`` jobs. Raises BrokerError."""
        if self._since is None:
            self._since, self._next = self._wall(), self._clock()
        if self._clock() >= self._next:
            self._next = self._clock() + self._interval
            self._announce(transport, self._since, jobs, leaving=False)

    def end_waiting(self) -> None:
        """Note that a job came: its messages tell of the worker from now on."""
        self._since = None

    def report_leaving(self, transport: Transport, jobs: int) -> None:
        """Announce that the worker ends, if it was announced before. Raises BrokerError."""
        if self._since is not None:
            self._announce(transport, self._since, jobs, leaving=True)
            self._since = None

    def _announce(self, transport: Transport, since: float, jobs: int, leaving: bool) -> None:
        message = Waiting(
            self._worker, self._slot, self._pool, since, self._interval, self._machine(), jobs,
            leaving,
        )  # fmt: skip
        transport.announce(self._pool, Mail(codec.encode(message), self._worker))
