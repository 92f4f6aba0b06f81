"""Announces to the schedds of a pool, at intervals, that a worker waits for a job.

Nothing else is known of an idle worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from thyme.broker import Mail, Transport
from thyme.protocol import codec
from thyme.protocol.events import Machine
from thyme.protocol.mail import Waiting


@dataclass(frozen=True)
class WorkerIdentity:
    """How a worker is known: its inbox (``name``), its slot, and a description of its node."""

    name: str
    slot: str
    machine: Callable[[], Machine | None]


class Availability:
    """Announces one worker's waiting."""

    def __init__(
        self,
        identity: WorkerIdentity,
        pool: str,
        interval: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Announce the worker as one of ``pool``.

        ``interval``: seconds between two announcements; ``clock`` is monotonic, ``wall`` gives
        seconds since the epoch.
        """
        self._identity = identity
        self._pool = pool
        self._interval = interval
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
        worker, slot, machine = self._identity.name, self._identity.slot, self._identity.machine()
        message = Waiting(worker, slot, self._pool, since, self._interval, machine, jobs, leaving)
        transport.announce(self._pool, Mail(codec.encode(message), worker))
