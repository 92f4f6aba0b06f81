"""How much of the queue one owner may have: jobs, and bytes of their messages on the disk.

As HTCondor's MAX_JOBS_PER_OWNER: jobs in the queue of whatever status count, and a submit that
would exceed the limit is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vobox.ledger.writer import Ledger
from vobox.rpc.types import CommandRefused

#: Seconds between two times that all messages in the ledger are added up.
MEASURE_INTERVAL: Final = 60.0


class OwnerLimits:
    """Refuses submits of an owner who has too much in the queue. For the schedd's own thread."""

    def __init__(
        self, ledger: Ledger, max_jobs: int, max_bytes: int, clock: Callable[[], float]
    ) -> None:
        """``max_jobs`` and ``max_bytes``: of one owner; ``clock``: monotonic seconds."""
        self._ledger = ledger
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._clock = clock
        #: owner → bytes when they were added up, and of what was submitted since
        self._bytes: dict[str, int] = {}
        #: when they may be added up again; None: they never were
        self._next_measurement: float | None = None

    def check(self, owner: str, jobs: int, size: int) -> None:
        """Raise CommandRefused if the owner may not have so many jobs and bytes more."""
        if self._ledger.count_queue(owner) + jobs > self._max_jobs:
            raise CommandRefused(
                "Failed to create proc\n"
                f"Number of submitted jobs would exceed MAX_JOBS_PER_OWNER ({self._max_jobs})"
            )
        if (known := self._measure(owner, size)) + size > self._max_bytes:
            raise CommandRefused(
                f"the messages of {owner}'s jobs in the queue have {known} bytes, and those of "
                f"this submit {size}: an owner may have {self._max_bytes} "
                "(thyme-schedd --max-bytes-per-owner); remove jobs, or let them fetch their files"
            )

    def _measure(self, owner: str, size: int) -> int:
        """Return the bytes that the owner has at most; ``size``: of a submit."""
        is_close = self._bytes.get(owner, 0) + size > self._max_bytes
        # adding up reads the whole queue: nobody needs it while the limit is far
        if self._next_measurement is None or (is_close and self._clock() >= self._next_measurement):
            self._next_measurement = self._clock() + MEASURE_INTERVAL
            self._bytes = self._ledger.measure_queue()
        return self._bytes.get(owner, 0)

    def add(self, owner: str, size: int) -> None:
        """Count the bytes of a submit that was taken."""
        self._bytes[owner] = self._bytes.get(owner, 0) + size
