"""Check the policies of all jobs, some at a time: the schedd's one thread must go on answering.

100,000 jobs take seconds to check. A scan is therefore cut into slices, with
everything else that the schedd does in between; a job that was changed meanwhile
is checked as it is then.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping

from thyme.protocol.events import Held, HoldReason, JobMessage, Left, Released, Removed
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId
from vobox.classad.cost import EvaluationLimit, TooSlow
from vobox.classad.expressions import Evaluator
from vobox.jobs import policy
from vobox.jobs.job import Job
from vobox.jobs.policy import ExitAction
from vobox.jobs.status import COMPLETED, HELD, REMOVED, RUNNING, SUSPENDED
from vobox.ledger.writer import Ledger

log = logging.getLogger(__name__)

#: Jobs checked in one slice, and seconds after which it ends: a claim waits for its end.
SLICE = 500
SLICE_SECONDS = 0.02
#: CPU seconds that the policies of one job may take; those of an ordinary one take a thousandth.
MAX_JOB_SECONDS = 0.1
_START = JobId(-1, -1)


class PolicyScan:
    """A scan that goes through the jobs with policies again and again."""

    def __init__(
        self,
        schedd: str,
        ledger: Ledger,
        live: Callable[[JobId], Mapping[str, str]],
        clock: Callable[[], float] = time.monotonic,
        cpu_time: Callable[[], float] = time.thread_time,
    ) -> None:
        """``live``: what a running job has used so far, attribute → ClassAd text."""
        self._clock = clock
        self._cpu_time = cpu_time
        #: what each owner's policies took lately
        self._limit = EvaluationLimit(clock)
        #: jobs whose policies took too long the last time: once may be the machine's fault
        self._suspected: set[JobId] = set()
        #: held jobs whose policies take too long: not checked again before they are released
        self._slow: set[JobId] = set()
        self._schedd = schedd
        self._ledger = ledger
        self._live = live
        self._after = _START

    def scan_slice(self, now: float) -> tuple[list[JobMessage], bool]:
        """Check the next slice of jobs; ``now``: epoch seconds.

        Returns the events to record, and whether more is left of this scan.
        """
        if self._after == _START:
            self._slow = {job for job in self._slow if self._ledger.get(job) is not None}
            self._suspected = {job for job in self._suspected if self._ledger.get(job) is not None}
        # one for all jobs: the same expression with the same values is evaluated once
        evaluator = Evaluator(now)
        events: list[JobMessage] = []
        deadline = self._clock() + SLICE_SECONDS
        for number, job in enumerate(self._ledger.read_with_policy(self._after), 1):
            event = self._check_in_time(job, now, evaluator)
            events += [event] if event is not None else []
            # each user's expressions may take their time, but not the others'
            if number == SLICE or self._clock() > deadline:
                self._after = job.id
                return events, True
        self._after = _START
        return events, False

    def _check_in_time(self, job: Job, now: float, evaluator: Evaluator) -> JobMessage | None:
        """Return what a policy asks for, unless this user's have taken too long."""
        if job.id in self._slow:
            if job.status == HELD:
                return None
            self._slow.discard(job.id)
        if self._limit.is_spent(job.uid):
            return None  # until a later scan: it is his own jobs that wait
        began = self._cpu_time()
        try:
            event = self._check(job, now, evaluator)
            if (took := self._count(job, began)) <= MAX_JOB_SECONDS:
                self._suspected.discard(job.id)
            elif job.id in self._suspected:
                event = self._end_slow_policies(job, took, now)
            else:
                self._suspected.add(job.id)
        except (sqlite3.Error, OSError):
            raise
        except Exception as error:
            event = self._hold_failing(job, error, now)
            event = None if job.status == HELD else event
        return event

    def check_ended(self, jobs: Iterable[JobId], now: float) -> list[JobMessage]:
        """Return the events of those of the jobs that leave the queue; ``now``: epoch seconds."""
        evaluator = Evaluator(now)
        events = []
        for job in filter(None, map(self._ledger.get, jobs)):
            if self._limit.is_spent(job.uid):
                continue  # until a later scan
            began = self._cpu_time()
            try:
                event = self._check_ended(job, now, evaluator)
                self._count(job, began)
            except (sqlite3.Error, OSError):
                raise
            except Exception:
                log.exception("job %s: its leave_in_queue, which is evaluated again", job.id)
                continue
            events += [event] if event is not None else []
        return events

    def check_exit(self, job: Job, ended: float, now: float) -> ExitAction | Held:
        """Return what on_exit_hold and on_exit_remove ask for; Held where that cannot be told.

        ``ended``: when the job's program ended; ``now``: both in epoch seconds.
        """
        if self._limit.is_spent(job.uid):
            text = f"its policies are not checked: {TooSlow()}"
            return self._hold(job, HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, text), now)
        began = self._cpu_time()
        try:
            action = policy.check_on_exit(job.ad, ended)
            self._count(job, began)
            return action
        except (sqlite3.Error, OSError):
            raise
        except Exception as error:
            return self._hold_failing(job, error, now)

    def _check(self, job: Job, now: float, evaluator: Evaluator) -> JobMessage | None:
        """Return what a policy asks for."""
        if job.status in (RUNNING, SUSPENDED):
            job.ad.update(self._live(job.id))
        action = policy.check_periodic(job.ad, job.status, now, evaluator)
        if action is not policy.NO_ACTION:
            return self._build_event(job, action, now)
        return self._check_ended(job, now, evaluator)

    def _check_ended(self, job: Job, now: float, evaluator: Evaluator) -> JobMessage | None:
        ended = job.in_queue and job.status in (COMPLETED, REMOVED) and not job.worker
        if not ended or policy.stays_in_queue(job.ad, now, evaluator):
            return None
        return Left(self._schedd, job.id, now)

    def _end_slow_policies(self, job: Job, took: float, now: float) -> JobMessage | None:
        """Hold a job whose policies took so many seconds of CPU; an ended one leaves the queue."""
        if job.status in (COMPLETED, REMOVED):
            log.warning("job %s: leave_in_queue took %.2f s to evaluate: it leaves", job.id, took)
            return None if job.worker else Left(self._schedd, job.id, now)
        self._suspected.discard(job.id)
        self._slow.add(job.id)
        text = (
            f"its policies took {took:.2f} s of CPU to evaluate, more than {MAX_JOB_SECONDS:g} s; "
            "simplify them (regular expressions with nested repetitions are slow)"
        )
        hold = HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, text)
        return None if job.status == HELD else self._hold(job, hold, now)

    def _count(self, job: Job, began: float) -> float:
        """Count what a job's policies took since ``began``, CPU seconds, and return it."""
        took = self._cpu_time() - began
        self._limit.spend(job.uid, took)
        return took

    def _hold_failing(self, job: Job, error: Exception, now: float) -> Held:
        log.exception("checking the policies of job %s", job.id)
        text = f"its policies cannot be checked: {type(error).__name__}: {error}"
        return self._hold(job, HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, text), now)

    def _hold(self, job: Job, reason: HoldReason, now: float) -> Held:
        return Held(self._schedd, job.id, now, reason)

    def _build_event(self, job: Job, action: policy.PolicyAction, now: float) -> JobMessage:
        if action.hold is not None:
            return self._hold(job, action.hold, now)
        if action.release:
            return Released(self._schedd, job.id, now, action.release)
        return Removed(self._schedd, job.id, now, action.remove, False)
