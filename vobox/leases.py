"""How long a job is believed to be in the hands of a worker without news.

Times are of a monotonic clock and so never outlive the process: a schedd that
starts again gives every running job a fresh lease.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from thyme.job import JobId

from .live import Live
from .state import Job

#: Seconds within which a worker that may start an attempt has reported its start. Between
#: the two it does nothing but write to the broker; if it comes later, it is superseded.
CLAIM_LEASE = 60.0


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
        #: what the runs have used so far; it lives as long as the lease
        self.live = Live()

    def claim(self, job: Job, attempt: int, worker: str, now: float) -> None:
        lease = min(job.lease or self._default, CLAIM_LEASE)
        self._claims[job.id] = Claimed(attempt, worker, now, lease)

    def claimant(self, job: JobId, attempt: int) -> str:
        """Who was told to start that attempt; "" for nobody."""
        claimed = self._claims.get(job)
        return claimed.worker if claimed and claimed.attempt == attempt else ""

    def started(self, job: JobId, now: float) -> None:
        self._claims.pop(job, None)
        self._seen[job] = now
        self.live.forget(job)

    def heard(self, job: JobId, now: float) -> None:
        self._seen[job] = now

    def forget(self, job: JobId) -> None:
        self._claims.pop(job, None)
        self._seen.pop(job, None)
        self.live.forget(job)

    def renew_all(self, now: float) -> None:
        """Nobody could be heard until now (no broker): start every clock again."""
        self._seen = dict.fromkeys(self._seen, now)
        self._claims = {
            job: Claimed(c.attempt, c.worker, now, c.lease) for job, c in self._claims.items()
        }

    def expired(
        self, worked_on: Iterable[tuple[JobId, int, float]], now: float
    ) -> list[tuple[JobId, int, float]]:
        """Job, attempt and lease of each whose time has passed."""
        over = [
            (job, claimed.attempt, claimed.lease)
            for job, claimed in self._claims.items()
            if now - claimed.since > claimed.lease
        ]
        for job, attempt, own in worked_on:
            lease = own or self._default
            # a job seen for the first time here gets its whole lease
            if now - self._seen.setdefault(job, now) > lease:
                over.append((job, attempt, lease))
        return over
