"""What the schedd owes after reading the stream: each look does all that is due.

Output to deliver, jobs to queue again, leases that have passed, policies that
fire. What is due is read from the ledger, so nothing is forgotten in a crash;
what is decided is an event in the stream.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

from thyme.broker import Transport
from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import (
    Delivered,
    Finished,
    Held,
    HoldReason,
    JobMessage,
    Lost,
    Recorded,
    Submit,
    expect_kind,
)
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.files import output
from vobox.jobs import user_log_events
from vobox.jobs.job import Job
from vobox.jobs.output_destination import is_spooled
from vobox.jobs.requirements import MatchingJobs
from vobox.jobs.transitions import remove_from_queue
from vobox.ledger.writer import Ledger
from vobox.workers.leases import Leases
from vobox.workers.mail import WorkerMail

from .failed_submits import FailedSubmits
from .policy_scan import PolicyScan
from .settings import Settings
from .stream_reader import StreamReader

log = logging.getLogger(__name__)

#: Seconds that an ended job stays in condor_history.
HISTORY = 30 * 86400.0

#: Jobs queued again in one go: few enough to be held in memory with their input.
AT_ONCE = 200
#: Seconds between two heaps of results: each waits for the broker's confirm, and workers with
#: it. Whoever ends alone waits for nobody.
DELIVERY_PAUSE = 0.1


class Reconciler:
    """``clock`` is monotonic, ``wall`` the wall clock; both in seconds."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        leases: Leases,
        follower: StreamReader,
        mail: WorkerMail,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._leases = leases
        self._reader = follower
        self._record = follower.spoken.record
        self._mail = mail
        self._clock = clock
        self._wall = wall
        self._matching = MatchingJobs(settings.policy_interval)
        self._next_delivery = 0.0
        self.refused = FailedSubmits(settings.name, ledger)
        self._policies = PolicyScan(settings.name, ledger, leases.live.attributes)

    def settle(self, transport: Transport) -> None:
        """Read what is new and do what follows from it, until nothing more follows."""
        while self.settle_some(transport, at_once=True) == 0.0:
            pass

    def settle_some(self, transport: Transport, at_once: bool = False) -> float:
        """Read what is new and do what follows from it; in how many seconds more is due.

        Bounded, so that a busy stream keeps nobody waiting for the answer to a claim: results
        are written in heaps (``at_once``: now), and 0.0 means that more may follow already.
        """
        self._reader.catch_up(transport, replaying=False)
        for tell in self._reader.take_tells():
            self._mail.tell(transport, *tell)
        failures = self._reader.take_log_failures()
        for reason, job_id in failures:
            self.hold(transport, job_id, reason)
        outputs = self._ledger.outputs_to_save()[:AT_ONCE]
        for job_id in outputs:
            self._save_output(job_id)
        again = self._matching.select(
            self._ledger.to_queue(), self._ledger.get, self._clock(), self._wall(), AT_ONCE
        )
        self._queue_again(transport, again)
        wait = self._next_delivery - self._clock()
        if at_once or wait <= 0:
            ended = self._ledger.to_deliver()[:AT_ONCE]
            if ended:
                self._record(transport, [self._delivered(job) for job in ended])
                self._next_delivery = self._clock() + DELIVERY_PAUSE
            wait = 0.0 if ended else math.inf
        return 0.0 if failures or outputs or again else wait

    def remove_refused(self, transport: Transport) -> None:
        """What the broker took of a condor_submit that failed leaves the queue again."""
        self._record(transport, self.refused.to_remove(self._wall()))

    def _save_output(self, job_id: JobId) -> None:
        """What a run left that was not the job's last; it is held already, or runs again."""
        job, body = self._ledger.get(job_id), self._ledger.body(job_id, "output")
        if job is not None and body is not None and is_spooled(job.ad):
            self._ledger.put_body(job_id, "spooled", body)
        elif job is not None and body is not None:
            failed = output.write_output(job, expect_kind(codec.decode(body), Finished))
            if failed:
                log.warning("job %s: %s", job_id, failed.text)
        self._ledger.drop_body(job_id, "output")

    def _delivered(self, job: Job) -> JobMessage:
        """Write the output and the last log event; the event that says so, or that it failed."""
        body = self._ledger.body(job.id, "result")
        if body is None:
            reason = HoldReason(
                HoldReasonCode.TRANSFER_OUTPUT_ERROR, 2, "the result is no longer known"
            )
            return Held(self._settings.name, job.id, self._wall(), reason)
        result = expect_kind(codec.decode(body), Finished)
        begun = job.id in self._reader.recovered
        # Asked for again when the line breaks before this is recorded, or when the stream has not
        # yet brought the record back: by then the log has the event.
        self._reader.recovered.add(job.id)
        failed = output.write_output(job, result) or output.write_log(
            job, user_log_events.format_terminated(job.id, result, job.ad), begun
        )
        if failed:
            return Held(self._settings.name, job.id, self._wall(), failed)
        return Delivered(self._settings.name, job.id, self._wall())

    def _queue_again(self, transport: Transport, jobs: Sequence[Job]) -> None:
        pools: dict[str, list[bytes]] = {}
        for job in jobs:
            body = self._ledger.body(job.id, "task")
            if body is None:
                self.hold(
                    transport,
                    job.id,
                    HoldReason(HoldReasonCode.SPOOLING_INPUT, 0, "its input is no longer known"),
                )
                continue
            first = codec.decode(body)
            if not isinstance(first, (Submit, Recorded)):
                raise BadMessage(f"job {job.id}: a {first.kind} message where its task should be")
            incomplete = _incomplete(first)
            if incomplete is not None:
                self.hold(transport, job.id, incomplete)
            else:
                pools.setdefault(job.pool, []).append(self._next_attempt(job, first))
        for pool, bodies in pools.items():
            transport.submit(pool, bodies)

    def _next_attempt(self, job: Job, first: Submit | Recorded) -> bytes:
        return codec.encode(
            Submit(
                schedd=self._settings.name, job=job.id, time=self._wall(), pool=job.pool,
                uid=job.uid, gid=job.gid, attempt=job.attempt + 1, ad={}, task=first.task,
            )
        )  # fmt: skip

    def hold(self, transport: Transport, job: JobId, reason: HoldReason) -> None:
        self._record(transport, [Held(self._settings.name, job, self._wall(), reason)])

    def end_leases(self, transport: Transport) -> None:
        over = self._leases.expired(self._ledger.get, self._clock())
        for job_id, attempt, lease in over:
            job = self._ledger.get(job_id)
            if job is None or job.attempt != attempt:
                continue
            text = f"no news of its worker for {lease:g} s"
            events: list[JobMessage] = [
                Lost(self._settings.name, job_id, self._wall(), attempt, text)
            ]
            # claimed and never started is no loss: nothing of the job has run
            if job.worker and job.losses + 1 >= self._settings.max_attempts:
                text = f"lost {job.losses + 1} times: {text} each time"
                hold = HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, text)
                events.append(Held(self._settings.name, job_id, self._wall(), hold))
            log.info("job %s attempt %d: %s", job_id, attempt, text)
            self._record(transport, events)

    def apply_policies(self, transport: Transport) -> bool:
        """Look at some of the jobs with policies; whether more are left of this round."""
        now = self._wall()
        events, leaving, more = self._policies.look(now)
        self._record(transport, events)
        with self._ledger.transaction():
            for job in (remove_from_queue(each, now) for each in leaving):
                if self._reader.history is not None:
                    self._reader.history.write(job)
                self._ledger.put(job)
                self._ledger.drop_bodies(job.id)
            if not more:
                self._ledger.forget_before(now - HISTORY)
        return more


def _incomplete(first: Submit | Recorded) -> HoldReason | None:
    """Why this job's message can never be run: an input file was missing when it was submitted.

    HTCondor would look for the file again; here it travels with the message, so that releasing
    the job would run it without its input.
    """
    ad = Ad(first.ad)
    if ad.number("HoldReasonCode") != HoldReasonCode.TRANSFER_INPUT_ERROR:
        return None
    text = f"{ad.text('HoldReason')} (when the job was submitted; submit it again)"
    return HoldReason(HoldReasonCode.TRANSFER_INPUT_ERROR, ad.number("HoldReasonSubCode"), text)
