"""The jobs that the ledger's writer keeps in memory, as they were last read or written."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from thyme.protocol.job import JobId
from vobox.jobs.job import Job

#: Jobs that are kept, and characters of their ads' texts.
MAX_JOBS: Final = 1000
MAX_SIZE: Final = 64 * 1024 * 1024


class RecentJobs:
    """The last ``MAX_JOBS`` that were put here, or fewer where their ads are large.

    A job's events follow each other closely: reading and parsing it again for each of them is half
    of what a job costs the schedd.
    """

    def __init__(self) -> None:
        #: with the size that was counted for each
        self._jobs: OrderedDict[JobId, tuple[Job, int]] = OrderedDict()
        self._size = 0

    def get(self, job: JobId) -> Job | None:
        """Return the job; None if it is not kept."""
        found = self._jobs.get(job)
        return None if found is None else found[0]

    def __contains__(self, job: JobId) -> bool:
        return job in self._jobs

    def put(self, job: Job) -> None:
        """Keep a job in place of what was kept of it, and forget the oldest that are too many."""
        self.forget(job.id)
        size = job.ad.measure()
        self._jobs[job.id] = job, size
        self._size += size
        while len(self._jobs) > MAX_JOBS or self._size > MAX_SIZE:
            _, (_, size) = self._jobs.popitem(last=False)
            self._size -= size

    def forget(self, job: JobId) -> None:
        """Keep this job no longer."""
        _, size = self._jobs.pop(job, (None, 0))
        self._size -= size

    def clear(self) -> None:
        """Keep no job any longer."""
        self._jobs.clear()
        self._size = 0
