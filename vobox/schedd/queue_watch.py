"""Tell which messages of the job queues were lost, by what was seen of the others.

A job queue is first in, first out. So what was submitted before a job that has started, or before
its queue was seen empty, has left the queue, too: a worker took it, and will claim it, or its
death gives it back. Whose job still waits after another lease was lost: by the broker in a power
cut, by an operator who purged the queue, or because it reached the stream alone.
"""

from __future__ import annotations


class QueueWatch:
    """The offsets in the stream up to which all that was submitted has left each pool's queue."""

    def __init__(self, lease: float) -> None:
        """``lease``: seconds that a message which left its queue may take to start its job."""
        self._lease = lease
        #: pool → offset
        self._left: dict[str, int] = {}
        #: pool → when it was last looked at, monotonic, and its offset then
        self._looked: dict[str, tuple[float, int]] = {}

    def reset(self) -> None:
        """Begin again: no claim was answered until now."""
        self._left.clear()
        self._looked.clear()

    def record_left(self, pool: str, offset: int) -> None:
        """Note that all that was submitted to the pool up to that offset has left its queue."""
        self._left[pool] = max(offset, self._left.get(pool, -1))

    def find_left(self, pool: str) -> int:
        """Return the offset up to which all that was submitted to the pool has left its queue."""
        return self._left.get(pool, -1)

    def find_overdue(self, pool: str, now: float) -> int:
        """Return the offset up to which each message of a job that still waits was lost.

        ``now``: monotonic seconds. Returns -1 most of the time: once a lease there is an answer.
        """
        since, offset = self._looked.get(pool, (now, -1))
        if pool in self._looked and now - since <= self._lease:
            return -1
        self._looked[pool] = now, self.find_left(pool)
        return offset
