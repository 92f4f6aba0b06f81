"""Looks at all jobs with policies, some at a time: the schedd's one thread must go on answering.

100,000 jobs take seconds to look at. A round is therefore cut into slices,
with everything else that the schedd does in between; a job that was changed
meanwhile is looked at as it is then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from thyme.protocol.events import Held, JobMessage, Released, Removed
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.jobs import policy, run_limits
from vobox.jobs.job import Job
from vobox.jobs.status import COMPLETED, REMOVED, RUNNING, SUSPENDED
from vobox.ledger.writer import Ledger

from .policy_prefilter import PolicyPrefilter

#: Jobs looked at in one go: some 20 ms, and 80 ms where each has to be read as a whole.
SLICE = 2000
_START = JobId(-1, -1)


class PolicyScan:
    """``live``: what a running job has used so far, attribute → ClassAd text."""

    def __init__(
        self, schedd: str, ledger: Ledger, live: Callable[[JobId], Mapping[str, str]]
    ) -> None:
        self._schedd = schedd
        self._ledger = ledger
        self._live = live
        self._after = _START

    def look(self, now: float) -> tuple[list[JobMessage], list[Job], bool]:
        """The next slice: events to record, ended jobs that need not stay, whether more is left."""
        rows = self._ledger.with_policy(self._after, SLICE)
        more = len(rows) == SLICE
        self._after = rows[-1].id if more else _START
        some = PolicyPrefilter(self._live, now)
        jobs = [self._ledger.get(row.id) for row in rows if some.may_fire(row)]
        # one for all: the same expression with the same values is evaluated once
        evaluator = Evaluator(now)
        events: list[JobMessage] = []
        leaving: list[Job] = []
        for job in filter(None, jobs):
            hold = run_limits.check_run_limits(job.ad, job.status, now)
            verdict = (
                policy.PolicyAction(hold=hold)
                if hold is not None
                else policy.check_periodic(self._ad(job), job.status, now, evaluator)
            )
            if verdict is not policy.NO_ACTION:
                events.append(self._event(job, verdict, now))
            elif (
                job.status in (COMPLETED, REMOVED)
                and not job.worker
                and not policy.stays_in_queue(job.ad, now, evaluator)
            ):
                leaving.append(job)
        return events, leaving, more

    def _ad(self, job: Job) -> Ad:
        if job.status not in (RUNNING, SUSPENDED) or not (live := self._live(job.id)):
            return job.ad
        # the ledger's own ad must stay as it is
        return Ad({**job.ad, **live})

    def _event(self, job: Job, verdict: policy.PolicyAction, now: float) -> JobMessage:
        if verdict.hold is not None:
            return Held(self._schedd, job.id, now, verdict.hold)
        if verdict.release:
            return Released(self._schedd, job.id, now, verdict.release)
        return Removed(self._schedd, job.id, now, verdict.remove, False)
