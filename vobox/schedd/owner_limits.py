"""How much of the queue one owner may have: jobs, and bytes of their messages on the disk.

As HTCondor's MAX_JOBS_PER_OWNER: jobs in the queue of whatever status count, and a submit that
would exceed the limit is refused as a whole.  The same holds for the messages that wait in the
broker: that of a job which was removed, or held and released, stays there until a worker takes it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vobox.ledger.writer import Ledger
from vobox.rpc.types import CommandRefused

from .queue_watch import QueueWatch

#: Seconds between two times that all messages in the ledger are added up.
MEASURE_INTERVAL: Final = 60.0


#: How many times what an owner may have in the queue may wait in the broker: who removes all his
#: jobs and submits them again need not wait for workers.
WAITING_TIMES: Final = 2
#: Messages, and bytes of them, that are counted together: they are taken to leave their queue with
#: the last of them.
BATCH: Final = 1000
BATCH_BYTES: Final = 10_000_000


@dataclass
class _Batch:
    offset: int  #: of the last one, in the stream
    number: int
    size: int


class WaitingMessages:
    """The messages of each owner that may be in a job queue, since this schedd began."""

    def __init__(self, queue_watch: QueueWatch) -> None:
        """``queue_watch``: tells which have left."""
        self._queue_watch = queue_watch
        self._batches: dict[str, dict[str, deque[_Batch]]] = defaultdict(lambda: defaultdict(deque))

    def add(self, owner: str, pool: str, offset: int, size: int) -> None:
        """Count a message of so many bytes, which has this offset in the stream."""
        batches = self._batches[owner][pool]
        if not batches or batches[-1].number >= BATCH or batches[-1].size >= BATCH_BYTES:
            batches.append(_Batch(offset, 0, 0))
        last = batches[-1]
        last.offset, last.number, last.size = offset, last.number + 1, last.size + size

    def count(self, owner: str) -> tuple[int, int]:
        """Return how many messages of the owner may wait, and their bytes."""
        number = size = 0
        pools = self._batches.get(owner, {})
        for pool, batches in list(pools.items()):
            left = self._queue_watch.find_left(pool)
            while batches and batches[0].offset <= left:
                batches.popleft()
            number += sum(batch.number for batch in batches)
            size += sum(batch.size for batch in batches)
            if not batches:
                del pools[pool]
        if not pools:
            self._batches.pop(owner, None)
        return number, size

    def list_pools(self) -> set[str]:
        """Return the pools in whose queues some may wait."""
        for owner in list(self._batches):
            self.count(owner)
        return {pool for pools in self._batches.values() for pool in pools}


class OwnerLimits:
    """Refuses submits of an owner who has too much in the queue. For the schedd's own thread."""

    def __init__(
        self,
        ledger: Ledger,
        waiting: WaitingMessages,
        max_jobs: int,
        max_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        """``max_jobs`` and ``max_bytes``: of one owner; ``clock``: monotonic seconds."""
        self._ledger = ledger
        self._waiting = waiting
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
        if problem := self.explain_no_room(owner, jobs, size):
            raise CommandRefused(problem)

    def explain_no_room(self, owner: str, jobs: int = 1, size: int = 0) -> str:
        """Return why so many messages more of the owner may not be queued; "" if they may."""
        number, known = self._waiting.count(owner)
        most, most_bytes = WAITING_TIMES * self._max_jobs, WAITING_TIMES * self._max_bytes
        if number + jobs <= most and known + size <= most_bytes:
            return ""
        return (
            f"{number} messages of {owner}'s jobs, of {known} bytes, wait for workers, those of "
            f"removed and of released jobs included: an owner may have {most}, and {most_bytes} "
            f"bytes ({WAITING_TIMES} times thyme-schedd --max-jobs-per-owner and "
            "--max-bytes-per-owner); wait until workers have taken some"
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
