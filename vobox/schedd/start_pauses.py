"""Pauses of jobs that no node could start, or that were evicted at once: each is a longer one.

Without them a job that fits no node, or that a broken node takes and gives back, would go round and
round, a pilot and a message each time.
After ``transitions.MAX_FAILED_STARTS`` in a row the job is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from thyme.protocol.job import JobId

#: Seconds from the second failed start to the next attempt, doubled each time; and at most.
FIRST_PAUSE: Final = 10.0
MAX_PAUSE: Final = 600.0


class StartPauses:
    """When each such job may be queued again; a restart begins the pauses again."""

    def __init__(self) -> None:
        #: job → its number of failed starts, and when it may be queued again (monotonic)
        self._until: dict[JobId, tuple[int, float]] = {}

    def list_paused(self, failed: Sequence[tuple[JobId, int]], now: float) -> set[JobId]:
        """Return the jobs that are not to be queued yet.

        :param failed: all jobs that are to be queued after failed starts in a row, and how many
        :param now: monotonic seconds
        """
        before = self._until
        self._until = {}
        for job, number in failed:
            pause = min(FIRST_PAUSE * 2 ** (number - 2), MAX_PAUSE) if number > 1 else 0.0
            known = before.get(job)
            self._until[job] = known if known and known[0] == number else (number, now + pause)
        return {job for job, (_number, until) in self._until.items() if until > now}
