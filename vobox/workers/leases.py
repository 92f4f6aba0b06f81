"""How long a job is believed to be in the hands of a worker without news.

Times are of a monotonic clock and so never outlive the process: a schedd that
starts again gives every running job a fresh lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.jobs.live_usage import LiveUsage

#: Seconds within which a worker that may start an attempt has reported its start. Between
#: the two it does nothing but write to the broker; if it comes later, it is superseded.
CLAIM_LEASE = 60.0
#: Entries of old that are left where they are.
_FEW = 1000


@dataclass(frozen=True)
class Claimed:
    """An attempt that a worker was told to start, and has not yet reported as started."""

    attempt: int
    worker: str
    since: float
    lease: float


class Leases:
    """``default``: seconds for jobs that ask for no lease of their own."""

    def __init__(self, default: float) -> None:
        self._default = default
        self._seen: dict[JobId, float] = {}
        self._claims: dict[JobId, Claimed] = {}
        # looked at twice a second, and there may be 40,000 runs: by the time at which each is
        # due to be looked at, which may be too early where its worker was heard since
        self._due: list[tuple[float, JobId]] = []
        #: when each is due; any other entry for it in ``_due`` is of old
        self._next: dict[JobId, float] = {}
        #: what the runs have used so far; it lives as long as the lease
        self.live = LiveUsage()

    def claim(self, job: Job, attempt: int, worker: str, now: float) -> None:
        lease = min(job.lease or self._default, CLAIM_LEASE)
        self._claims[job.id] = Claimed(attempt, worker, now, lease)

    def claimant(self, job: JobId, attempt: int) -> str:
        """Who was told to start that attempt; "" for nobody."""
        claimed = self._claims.get(job)
        return claimed.worker if claimed and claimed.attempt == attempt else ""

    def started(self, job: Job, now: float) -> None:
        self._claims.pop(job.id, None)
        self._seen[job.id] = now
        self._look_again(job.id, now + self._of(job.lease))
        self.live.forget(job.id)

    def heard(self, job: JobId, now: float) -> None:
        self._seen[job] = now

    def forget(self, job: JobId) -> None:
        self._claims.pop(job, None)
        self._seen.pop(job, None)
        self._next.pop(job, None)
        self.live.forget(job)

    def renew_all(self, worked_on: Iterable[tuple[JobId, float]], now: float) -> None:
        """Nobody could be heard until now (no broker): start every clock again.

        ``worked_on``: all jobs that a worker runs or is ending, with the leases of their own.
        """
        self._next = {job: now + self._of(lease) for job, lease in worked_on}
        self._due = [(when, job) for job, when in self._next.items()]
        heapify(self._due)
        self._seen = dict.fromkeys(self._next, now)
        self._claims = {
            job: Claimed(c.attempt, c.worker, now, c.lease) for job, c in self._claims.items()
        }

    def expired(
        self, known: Callable[[JobId], Job | None], now: float
    ) -> list[tuple[JobId, int, float]]:
        """Job, attempt and lease of each whose time has passed; ``known``: the ledger's jobs.

        Each is told once; if it is worked on all the same, again after one more lease.
        """
        over = [
            (job, claimed.attempt, claimed.lease)
            for job, claimed in self._claims.items()
            if now - claimed.since > claimed.lease
        ]
        for claimed_job, _attempt, _lease in over:
            del self._claims[claimed_job]
        while self._due and self._due[0][0] < now:
            when, job_id = heappop(self._due)
            if self._next.get(job_id) != when:
                continue
            job = known(job_id)
            if job is None or not job.in_queue or not job.worker:
                self.forget(job_id)
                continue
            lease = self._of(job.lease)
            seen = self._seen.get(job_id, when - lease)
            if seen + lease < now:
                over.append((job_id, job.attempt, lease))
                self.live.forget(job_id)
                seen = now
            self._seen[job_id] = seen
            self._look_again(job_id, seen + lease)
        return over

    def _of(self, lease: float) -> float:
        return lease or self._default

    def _look_again(self, job: JobId, when: float) -> None:
        self._next[job] = when
        heappush(self._due, (when, job))
        if len(self._due) > 2 * len(self._next) + _FEW:
            self._due = [(when, job) for job, when in self._next.items()]
            heapify(self._due)
