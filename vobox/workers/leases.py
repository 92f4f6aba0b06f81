"""How long a worker is believed to run a job without news of it.

Times are of a monotonic clock and do not outlive the process: a schedd that
restarts gives every running job a fresh lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.jobs.live_usage import LiveUsage

#: Outdated entries of the heap that are not worth removing.
_SPARE_ENTRIES = 1000


class Leases:
    """The leases of all runs. ``now``: monotonic seconds."""

    def __init__(self, default: float) -> None:
        """``default``: seconds for jobs that ask for no lease of their own."""
        self._default = default
        self._seen: dict[JobId, float] = {}
        # a heap by the time at which each run has to be checked, as there may be 40,000 of them.
        # That time may be too early where the worker was heard since
        self._due: list[tuple[float, JobId]] = []
        #: when each is due; any other entry for it in ``_due`` is outdated
        self._next: dict[JobId, float] = {}
        #: what the runs have used so far; it lives as long as the lease
        self.live = LiveUsage()

    def record_start(self, job: Job, now: float) -> None:
        """Begin the lease of a run; it has used nothing yet."""
        self._seen[job.id] = now
        self._schedule_check(job.id, now + self._lease_of(job.lease))
        self.live.forget(job.id)

    def renew(self, job: JobId, now: float) -> None:
        """Extend the lease: the worker reported that it runs the job."""
        self._seen[job] = now

    def forget(self, job: JobId) -> None:
        """Drop the lease: no worker runs the job any more."""
        self._seen.pop(job, None)
        self._next.pop(job, None)
        self.live.forget(job)

    def renew_all(self, worked_on: Iterable[tuple[JobId, float]], now: float) -> None:
        """Start every lease again: without a broker no worker could be heard until now.

        ``worked_on``: all jobs that a worker runs or is ending, with the lease that each asks for.
        """
        self._next = {job: now + self._lease_of(lease) for job, lease in worked_on}
        self._due = [(when, job) for job, when in self._next.items()]
        heapify(self._due)
        self._seen = dict.fromkeys(self._next, now)

    def is_any_due(self, now: float) -> bool:
        """Return whether some run has to be checked by now."""
        return bool(self._due) and self._due[0][0] < now

    def take_expired(
        self, known: Callable[[JobId], Job | None], now: float
    ) -> list[tuple[Job, float]]:
        """Return the job and the lease of each run whose lease has expired by ``now``.

        ``known``: returns a job of the ledger. Each run is returned once; if a worker has it all
        the same, again after one more lease.
        """
        expired: list[tuple[Job, float]] = []
        while self._due and self._due[0][0] < now:
            when, job_id = heappop(self._due)
            if self._next.get(job_id) != when:
                continue
            job = known(job_id)
            if job is None or not job.in_queue or not job.worker:
                self.forget(job_id)
                continue
            lease = self._lease_of(job.lease)
            seen = self._seen.get(job_id, when - lease)
            if seen + lease < now:
                # what it has used is kept until it is given up, and then counted as lost
                expired.append((job, lease))
                seen = now
            self._seen[job_id] = seen
            self._schedule_check(job_id, seen + lease)
        return expired

    def _lease_of(self, lease: float) -> float:
        return lease or self._default

    def _schedule_check(self, job: JobId, when: float) -> None:
        self._next[job] = when
        heappush(self._due, (when, job))
        if len(self._due) > 2 * len(self._next) + _SPARE_ENTRIES:
            self._due = [(when, job) for job, when in self._next.items()]
            heapify(self._due)
