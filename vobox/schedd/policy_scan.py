"""Check the policies of all jobs, some at a time: the schedd's one thread must go on answering.

100,000 jobs take seconds to check. A scan is therefore cut into slices, with
everything else that the schedd does in between; a job that was changed meanwhile
is checked as it is then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from thyme.protocol.events import Held, JobMessage, Released, Removed
from thyme.protocol.job import JobId
from vobox.classad.expressions import Evaluator
from vobox.jobs import policy
from vobox.jobs.job import Job
from vobox.jobs.status import COMPLETED, REMOVED, RUNNING, SUSPENDED
from vobox.ledger.writer import Ledger

#: Jobs checked in one slice: a few, so that a claim does not wait for its end.
SLICE = 500
_START = JobId(-1, -1)


class PolicyScan:
    """A scan that goes through the jobs with policies again and again."""

    def __init__(
        self, schedd: str, ledger: Ledger, live: Callable[[JobId], Mapping[str, str]]
    ) -> None:
        """``live``: what a running job has used so far, attribute → ClassAd text."""
        self._schedd = schedd
        self._ledger = ledger
        self._live = live
        self._after = _START

    def scan_slice(self, now: float) -> tuple[list[JobMessage], list[Job], bool]:
        """Check the next slice of jobs; ``now``: epoch seconds.

        Returns the events to record, the ended jobs that need not stay in the queue, and whether
        more is left of this scan.
        """
        jobs = self._ledger.with_policy(self._after, SLICE)
        more = len(jobs) == SLICE
        self._after = jobs[-1].id if more else _START
        # one for all jobs: the same expression with the same values is evaluated once
        evaluator = Evaluator(now)
        events: list[JobMessage] = []
        leaving: list[Job] = []
        for job in jobs:
            if job.status in (RUNNING, SUSPENDED):
                job.ad.update(self._live(job.id))
            action = policy.check_periodic(job.ad, job.status, now, evaluator)
            if action is not policy.NO_ACTION:
                events.append(self._build_event(job, action, now))
            elif (
                job.status in (COMPLETED, REMOVED)
                and not job.worker
                and not policy.stays_in_queue(job.ad, now, evaluator)
            ):
                leaving.append(job)
        return events, leaving, more

    def _build_event(self, job: Job, action: policy.PolicyAction, now: float) -> JobMessage:
        if action.hold is not None:
            return Held(self._schedd, job.id, now, action.hold)
        if action.release:
            return Released(self._schedd, job.id, now, action.release)
        return Removed(self._schedd, job.id, now, action.remove, False)
