"""How long a worker is believed to run a job without news of it.

Times are of a monotonic clock and do not outlive the process: a schedd that
restarts gives every running job a fresh lease.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.jobs.live_usage import LiveUsage


class Leases:
    """The leases of all runs. ``now``: monotonic seconds."""

    def __init__(self, default: float) -> None:
        """``default``: seconds for jobs that ask for no lease of their own."""
        self._default = default
        #: when the worker was last heard of, and the seconds of the lease
        self._runs: dict[JobId, tuple[float, float]] = {}
        #: no lease ends before. There may be 40,000, which are looked through only after this
        self._next = math.inf
        #: what the runs have used so far; it lives as long as the lease
        self.live = LiveUsage()

    def record_start(self, job: Job, now: float) -> None:
        """Begin the lease of a run; it has used nothing yet."""
        self._begin(job.id, job.lease, now)
        self.live.forget(job.id)

    def renew(self, job: JobId, now: float) -> None:
        """Extend the lease: the worker reported that it runs the job."""
        if job in self._runs:
            self._runs[job] = now, self._runs[job][1]

    def forget(self, job: JobId) -> None:
        """Drop the lease: no worker runs the job any more."""
        self._runs.pop(job, None)
        self.live.forget(job)

    def renew_all(self, worked_on: Iterable[tuple[JobId, float]], now: float) -> None:
        """Start every lease again: without a broker no worker could be heard until now.

        ``worked_on``: all jobs that a worker runs or is ending, with the lease that each asks for.
        """
        self._runs, self._next = {}, math.inf
        for job, lease in worked_on:
            self._begin(job, lease, now)

    def is_any_due(self, now: float) -> bool:
        """Return whether some lease may have ended by now."""
        return self._next < now

    def take_expired(
        self, known: Callable[[JobId], Job | None], now: float
    ) -> list[tuple[Job, float]]:
        """Return the job and the lease of each run whose lease has expired by ``now``.

        ``known``: returns a job of the ledger. Each run is returned once; if a worker has it all
        the same, again after one more lease.
        """
        expired: list[tuple[Job, float]] = []
        for job_id in [run for run, (seen, lease) in self._runs.items() if seen + lease < now]:
            job, lease = known(job_id), self._runs[job_id][1]
            if job is None or not job.in_queue or not job.worker:
                self.forget(job_id)
                continue
            # what it has used is kept until it is given up, and then counted as lost
            expired.append((job, lease))
            self._runs[job_id] = now, lease
        self._next = min((seen + lease for seen, lease in self._runs.values()), default=math.inf)
        return expired

    def _begin(self, job: JobId, lease: float, now: float) -> None:
        self._runs[job] = now, lease or self._default
        self._next = min(self._next, now + (lease or self._default))
