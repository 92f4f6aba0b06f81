"""Do what the ledger says is due: deliver output, queue jobs again, end leases, apply policies.

What is due is read from the ledger, so nothing is forgotten in a crash; what is
decided is an event in the stream.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from thyme.broker import Transport
from thyme.broker.lanes import get_pool, make_overdue_queue
from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import (
    Delivered,
    Finished,
    Held,
    HoldReason,
    JobMessage,
    Lost,
    NotCompleted,
    Recorded,
    SharedEvent,
    Submit,
    expect_kind,
    share_events,
)
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.files import output
from vobox.files.owner_threads import FileTask
from vobox.files.user_log_index import UserLogIndex
from vobox.jobs import user_log_events
from vobox.jobs.job import Job
from vobox.jobs.output_destination import is_spooled
from vobox.jobs.status import IDLE
from vobox.workers.mail import WorkerMail

from .state import ScheddState
from .stream_reader import StreamReader
from .timers import Task

log = logging.getLogger(__name__)

#: Seconds that an ended job stays in condor_history.
HISTORY_SECONDS: Final = 30 * 86400.0
#: Jobs that are deleted from the history in one step.
FORGOTTEN_AT_ONCE: Final = 5000
#: Jobs delivered, or queued again, in one step: few enough to be in memory with their input.
STEP_JOBS: Final = 200
#: How many times what it takes to list the jobs to be queued, or to look at some of them, is from
#: its beginning to that of the next one: a million of jobs that can match no pilot are listed, and
#: looked at, with the others, and must not keep the schedd busy.
LISTING_TIMES: Final = 20.0
SELECTION_TIMES: Final = 5.0
#: Bytes of messages of results, or of jobs queued again, after which a step begins with no more.
STEP_BYTES: Final = 32 * 1024 * 1024
#: Seconds between two looks whether messages of the job queues were lost, at the most.
CHECK_QUEUES_SECONDS: Final = 60.0
#: Seconds between two rounds through all jobs, to record again what the stream may soon forget.
RECORD_JOBS_SECONDS: Final = 60.0
#: Seconds between two batches of results: each waits for the broker's confirm, and workers with
#: it. The first result after a pause is delivered at once.
DELIVERY_SECONDS: Final = 0.1


class Reconciler:
    """The reconciler of one session."""

    def __init__(
        self, state: ScheddState, transport: Transport, reader: StreamReader, mail: WorkerMail
    ) -> None:
        self._state = state
        self._ledger = state.ledger
        self._schedd = state.settings.name
        self._transport = transport
        self._reader = reader
        self._mail = mail
        #: jobs to be queued that were not looked at since they were listed
        self._to_queue: deque[JobId] = deque()
        #: when others may be looked at, monotonic
        self._next_selection = -math.inf
        #: owners of whom it was said that they have too many messages in the job queues
        self._without_room: set[str] = set()
        #: events of success or failure, of results that were written
        self._delivered: list[JobMessage] = []

    def reconcile_all(self) -> None:
        """Read what is new and do what follows from it, until nothing more follows."""
        while self.reconcile_step(at_once=True) == 0.0:
            pass

    def read_stream(self) -> None:
        """Read what is new; tell workers of it and write it to user logs."""
        self._reader.catch_up(replaying=False)
        for message in self._reader.take_control_messages():
            self._mail.send_control(*message)
        self._state.user_logs.flush()

    def reconcile_step(self, at_once: bool = False) -> float:
        """Read what is new and do what follows; returns the seconds until more is due.

        A step is bounded, so that no claim waits long for its answer in a busy stream: 0.0 means
        that more may follow already, infinity that nothing is due. ``at_once``: deliver results
        without waiting for others to share their record.
        """
        self.read_stream()
        user_logs = self._state.user_logs
        tried = user_logs.write_waiting()
        failures = user_logs.take_failures()
        for reason, job_id in failures:
            self.hold(job_id, reason)
        if ended := self._reader.take_ended():
            self._record(self._state.policy_scan.check_ended(ended, self._state.wall()))
        outputs = self._save_outputs()
        again = self._select_to_queue() or self._select_lost()
        self._queue_again(again)
        wait = self._deliver(at_once)
        selects = self._to_queue and self._state.clock() >= self._next_selection
        more = tried or failures or ended or outputs or again or selects
        return 0.0 if more else wait

    def hold(self, job: JobId, reason: HoldReason) -> None:
        """Record that the job is held."""
        self._record([Held(self._schedd, job, self._state.wall(), reason)])

    def queue_all_again(self) -> None:
        """Queue all idle jobs again: records of the stream were lost that told of them."""
        end = int(self._ledger.read_meta("offset", "-1"))
        self._state.lost_messages = dict.fromkeys(self._ledger.list_idle_pools(), end)

    def remove_failed_submits(self) -> None:
        """Remove the jobs that the broker took of a condor_submit that failed."""
        self._record(self._state.failed_submits.list_removals(self._state.wall()))

    def end_leases(self) -> None:
        """Give up the attempts whose workers were silent for too long."""
        leases, now = self._state.leases, self._state.clock()
        if leases.is_any_due(now) and self._read_all_mail():
            for job, lease in leases.take_expired(self._ledger.get, now):
                self._give_up(job, lease)
        self._check_queues()
        self._record_jobs()

    def _read_all_mail(self) -> bool:
        """Read what workers have said until now; returns False where there is too much of it.

        This process may have stood still for minutes, and heartbeats have waited for it.
        """
        # a question on the same connection: its answer comes after the mail that was there
        self._transport.count_ready(self._state.settings.pool)
        if not self._mail.answer_claims():
            return False
        self._reader.catch_up(replaying=False)
        self._mail.read_rest()
        return True

    def scan_policies(self) -> bool:
        """Check some of the jobs with policies; returns whether more are left of this scan."""
        now = self._state.wall()
        events, more = self._state.policy_scan.scan_slice(now)
        self._record([event for event in events if event.job not in self._reader.unread])
        return more

    def forget_old_jobs(self) -> bool:
        """Delete some of the jobs that the history forgets; returns whether there are more.

        It forgets those that left the queue long ago, and the oldest of an owner with too many.
        """
        most = self._state.settings.max_jobs_per_owner
        with self._ledger.transaction():
            before = self._state.wall() - HISTORY_SECONDS
            return self._ledger.trim_history(before, most, FORGOTTEN_AT_ONCE)

    def _record(self, events: Sequence[JobMessage]) -> None:
        recorded, bodies = list[JobMessage](), list[bytes]()
        for message in share_events(events):
            each = [*message.list_events()] if isinstance(message, SharedEvent) else [message]
            try:
                bodies.append(codec.encode(message))
                recorded += each
            except BadMessage as error:  # one job's trouble is not that of the others
                log.error("%s of job %s cannot be recorded: %s", each[0].kind, each[0].job, error)
        if bodies:
            self._transport.record(bodies)
            self._reader.note_recorded(recorded)

    def _check_queues(self) -> None:
        """Look which jobs wait although their messages have left the queue."""
        state = self._state
        if not state.timers.is_due(Task.CHECK_QUEUES):
            return
        seconds = min(CHECK_QUEUES_SECONDS, state.settings.lease / 2)
        state.timers.schedule(Task.CHECK_QUEUES, seconds)
        offset = int(self._ledger.read_meta("offset", "-1"))
        for pool in {*self._ledger.list_idle_pools(), *state.waiting_messages.list_pools()}:
            if self._transport.count_ready(pool) == 0:
                state.queue_watch.record_left(pool, offset)
                state.lane_watch.record_served(pool, state.clock())
            elif self._serve_lane(pool, offset):
                continue
            overdue = state.queue_watch.find_overdue(pool, state.clock())
            if overdue >= 0:
                state.lost_messages[pool] = max(overdue, state.lost_messages.get(pool, -1))

    def _serve_lane(self, queue: str, offset: int) -> bool:
        """Queue the first job of a lane first of all, if workers leave the lane alone.

        Returns whether it is no lane any more, so that all its jobs will be queued elsewhere.
        ``offset``: of the stream, up to which the ledger has read it.
        """
        state, lanes, pool = self._state, self._state.settings.lanes, get_pool(queue)
        if queue not in lanes.list_queues(pool):
            state.lost_messages[queue] = offset
            return True
        overdue = make_overdue_queue(pool)
        if not lanes.bounds or queue == overdue:
            return False
        if state.lane_watch.is_starving(queue, state.clock(), lanes.patience):
            state.lane_watch.record_served(queue, state.clock())
            jobs = self._ledger.list_waiting(queue, offset, 1 + len(self._reader.unread))
            first = [job for job in jobs if job.id not in self._reader.unread][:1]
            for job in first:
                log.warning(
                    "job %s is queued before all others: for %g s no worker has taken a job from "
                    "%s (pilots are not expected to live so long?)", job.id, lanes.patience, queue,
                )  # fmt: skip
            self._queue_again(first, overdue)
        return False

    def _record_jobs(self) -> None:
        """Record again the jobs, and the used cluster ids, that the stream may soon forget."""
        timers = self._state.timers
        if not timers.is_due(Task.RECORD_JOBS):
            return
        if timers.is_due(Task.LOOK_AT_STREAM):
            timers.schedule(Task.LOOK_AT_STREAM, RECORD_JOBS_SECONDS)
            self._reader.look_at_first_record()
        old = self._reader.find_old()
        bodies, more = self._state.snapshots.make_due(old, self._state.wall())
        timers.schedule(Task.RECORD_JOBS, 0.0 if more else RECORD_JOBS_SECONDS)
        if bodies:
            self._transport.record(bodies)
        if not more and int(self._ledger.read_meta("marked", "-1")) <= old:
            self._reader.record_marker()

    def _select_lost(self) -> list[Job]:
        """Return some of the idle jobs whose messages were lost."""
        lost = self._state.lost_messages
        for pool, offset in list(lost.items()):
            jobs = self._ledger.list_waiting(pool, offset, STEP_JOBS + len(self._reader.unread))
            if found := [job for job in jobs if job.id not in self._reader.unread][:STEP_JOBS]:
                log.warning(
                    "%d jobs, job %s the first, wait, and %s: they are queued again",
                    len(found), found[0].id, self._explain_loss(pool),
                )  # fmt: skip
                return found
            if not jobs:
                del lost[pool]
        if not lost and (self._state.health.loss or self._ledger.read_meta("queue_again", "")):
            self._state.health.loss = ""
            self._ledger.write_meta("queue_again", "")
        return []

    def _explain_loss(self, queue: str) -> str:
        if queue in self._state.settings.lanes.list_queues(get_pool(queue)):
            return f"their messages have left the queue of pool {queue}"
        return f"{queue} is no lane any more"

    def _list_delayed(self) -> set[int]:
        """Return the uids for whom nothing is to be written: something of theirs is not yet."""
        state = self._state
        return {*state.owner_threads.list_busy(), *state.user_logs.list_waiting()}

    def _save_outputs(self) -> bool:
        """Write the output of runs that were not their job's last: it is held, or runs again.

        Returns whether anything was to be written.
        """
        job_ids = self._ledger.list_outputs_to_save(STEP_JOBS, self._list_delayed())
        tasks, size = [], 0
        for job_id in job_ids:
            job, body = self._ledger.get(job_id), self._ledger.read_body(job_id, "output")
            if job is not None and body is not None and not is_spooled(job.ad):
                tasks.append(self._save_output(job, body))
                if (size := size + len(body)) > STEP_BYTES:
                    break
                continue
            if job is not None and body is not None:
                self._ledger.put_body(job_id, "spooled", body)
            self._ledger.delete_body(job_id, "output")
        self._state.owner_threads.run(tasks)
        return bool(job_ids)

    def _save_output(self, job: Job, body: bytes) -> FileTask:
        def on_done(failed: HoldReason | None) -> None:
            if failed:
                log.warning("job %s: %s", job.id, failed.text)
            if self._ledger.read_body(job.id, "output") == body:  # no later run's
                self._ledger.delete_body(job.id, "output")

        def write(_user_logs: UserLogIndex) -> HoldReason | None:
            return _write_output(job, body)

        return FileTask(job.uid, job.ad.text("Iwd"), write, on_done)

    def _deliver(self, at_once: bool) -> float:
        """Write the results of ended jobs; returns the seconds until more is to be written."""
        timers = self._state.timers
        if not at_once and not timers.is_due(Task.DELIVER):
            return timers.remaining(Task.DELIVER)
        tasks, size = [], 0
        # written before, and told of when something else was written
        written = {event.job for event in self._delivered}
        for job in list(self._ledger.read_to_deliver(STEP_JOBS, self._list_delayed())):
            if job.id in self._reader.unread or job.id in written:
                continue
            body = self._ledger.read_body(job.id, "result")
            if body is None:
                text = "the result is no longer known"
                reason = HoldReason(HoldReasonCode.TRANSFER_OUTPUT_ERROR, 2, text)
                self._delivered.append(Held(self._schedd, job.id, self._state.wall(), reason))
                continue
            if (event := self._check_on_exit(job, body)) is not None:
                self._delivered.append(event)
                continue
            tasks.append(self._deliver_job(job, body))
            if (size := size + len(body)) > STEP_BYTES:
                break
        self._state.owner_threads.run(tasks)
        # of one time, so that what is alike shares a record
        now = self._state.wall()
        delivered, self._delivered = [replace(each, time=now) for each in self._delivered], []
        self._record(delivered)
        if not delivered and not tasks:
            return math.inf
        timers.schedule(Task.DELIVER, DELIVERY_SECONDS)
        return 0.0

    def _check_on_exit(self, job: Job, body: bytes) -> JobMessage | None:
        """Return the event where on_exit_hold or on_exit_remove keeps the job from completing."""
        ended = job.ad.number("CompletionDate")
        if job.ad.number("EnteredCurrentStatus") != ended:
            return None  # it was held because its output could not be written
        action = self._state.policy_scan.check_exit(job, float(ended), self._state.wall())
        if isinstance(action, Held):
            return action
        if action.leaves:
            return None
        try:
            result = expect_kind(codec.decode(body, with_files=False), Finished)
        except BadMessage:
            return None  # which is said when it is delivered
        return NotCompleted(
            self._schedd, job.id, self._state.wall(), result.exit_code, result.signal,
            result.usage, action.hold, action.reason,
        )  # fmt: skip

    def _deliver_job(self, job: Job, body: bytes) -> FileTask:
        """Write the output and the last log event; the event of it is added to ``_delivered``."""
        may_be_logged = job.id in self._state.recovered
        # This is done again when the connection breaks before the event is recorded, or when the
        # stream has not yet brought the record back: by then the log has its line.
        self._state.recovered.add(job.id)

        def write(user_logs: UserLogIndex) -> HoldReason | None:
            if failed := _write_output(job, body):
                return failed
            result = expect_kind(codec.decode(body), Finished)
            text = user_log_events.format_terminated(job.id, result, job.ad)
            return output.write_log(job, text, may_be_logged, user_logs)

        def on_done(failed: HoldReason | None) -> None:
            now = self._state.wall()
            self._delivered.append(
                Held(self._schedd, job.id, now, failed)
                if failed
                else Delivered(self._schedd, job.id, now)
            )

        return FileTask(job.uid, job.ad.text("Iwd"), write, on_done)

    def _select_to_queue(self) -> list[Job]:
        """Return some of the idle jobs that have no message in the job queue and may have one."""
        state, now = self._state, self._state.clock()
        if now < self._next_selection:
            return []
        is_listing = not self._to_queue
        if is_listing:
            # after a release of 10,000 jobs, one list serves fifty steps
            paused = state.start_pauses.list_paused(self._ledger.list_failed_starts(), now)
            idle = self._ledger.list_to_queue()
            state.matching_jobs.forget_others(idle)
            self._to_queue.extend(job for job in idle if job not in paused)
        found = state.matching_jobs.select(
            self._to_queue, self._find_to_queue, now, state.wall(), STEP_JOBS,
            state.list_pilots, state.slots.arrivals,
        )  # fmt: skip
        if len(found) < STEP_JOBS:
            pause = LISTING_TIMES if is_listing else SELECTION_TIMES
            self._next_selection = now + pause * (state.clock() - now)
        return self._put_off_without_room(found)

    def _put_off_without_room(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs whose owners may have more messages in the job queues."""
        room = dict[str, bool]()
        for owner in dict.fromkeys(job.ad.text("Owner") for job in jobs):
            problem = self._state.owner_limits.explain_no_room(owner)
            if problem and owner not in self._without_room:
                log.warning("jobs are queued again later: %s", problem)
            room[owner] = not problem
            (self._without_room.add if problem else self._without_room.discard)(owner)
        put_off = [job.id for job in jobs if not room[job.ad.text("Owner")]]
        self._state.matching_jobs.put_off(put_off, self._state.clock())
        return [job for job in jobs if room[job.ad.text("Owner")]]

    def _find_to_queue(self, job_id: JobId) -> Job | None:
        """Return a job that was listed if it is still to be queued; None otherwise."""
        job = None if job_id in self._reader.unread else self._ledger.get(job_id)
        if job is None or job.queued or job.worker or not job.in_queue or job.status != IDLE:
            return None
        return job

    def _queue_again(self, jobs: Sequence[Job], queue: str | None = None) -> None:
        """Queue the jobs' next attempts: in this queue, or each in its lane.

        Those whose messages are too many bytes for one step are left for the next one.
        """
        pools: dict[str, list[bytes]] = {}
        queued: list[Submit] = []
        size = 0
        for number, job in enumerate(jobs):
            if size > STEP_BYTES:
                self._to_queue.extendleft(each.id for each in reversed(jobs[number:]))
                break
            body = self._ledger.read_body(job.id, "task")
            try:
                if body is None:
                    raise BadMessage("its input is no longer known")
                first = codec.decode(body)
                if not isinstance(first, (Submit, Recorded)):
                    raise BadMessage(f"a {first.kind} message where its task should be")
                incomplete = _check_input(first)
                message = self._make_next_attempt(job, first, queue)
                encoded = codec.encode(message)
            except BadMessage as error:
                text = f"it cannot be queued again: {error}"
                incomplete = HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, text)
            if incomplete is not None:
                self.hold(job.id, incomplete)
            else:
                pools.setdefault(message.pool, []).append(encoded)
                queued.append(message)
                size += len(encoded)
        for pool, bodies in pools.items():
            self._transport.submit(pool, bodies)
        self._reader.note_recorded(queued)

    def _make_next_attempt(self, job: Job, first: Submit | Recorded, queue: str | None) -> Submit:
        lane = self._state.settings.lanes.choose_queue(job.pool, job.ad)
        return Submit(
            schedd=self._schedd, job=job.id, time=self._state.wall(), pool=queue or lane,
            uid=job.uid, gid=job.gid, attempt=job.attempt + 1, ad=job.ad.texts(),
            task=first.task, life=job.life,
        )  # fmt: skip

    def _give_up(self, job: Job, lease: float) -> None:
        """Record the loss of a worker; ``lease``: seconds for which it was silent."""
        now, text = self._state.wall(), f"no news of its worker for {lease:g} s"
        hold = None
        if job.losses + 1 >= self._state.settings.max_attempts:
            why = f"lost {job.losses + 1} times: {text} each time"
            hold = HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, why)
        log.info("job %s attempt %d: %s", job.id, job.attempt, hold.text if hold else text)
        self._record([Lost(self._schedd, job.id, now, job.attempt, text, hold)])


def _write_output(job: Job, body: bytes) -> HoldReason | None:
    """Write the output that is in the message of a run's end."""
    try:
        return output.write_output(job, expect_kind(codec.decode(body), Finished))
    except BadMessage as error:
        text = f"its result cannot be read: {error}"
        return HoldReason(HoldReasonCode.TRANSFER_OUTPUT_ERROR, 2, text)


def _check_input(first: Submit | Recorded) -> HoldReason | None:
    """Return why this job's message can never be run: an input file was missing at its submit.

    condor_release looks for the file again; where it is still missing, the job must not run without
    it.
    """
    ad = Ad(first.ad)
    if ad.number("HoldReasonCode") != HoldReasonCode.TRANSFER_INPUT_ERROR:
        return None
    text = f"{ad.text('HoldReason')} (put it there and release the job again)"
    return HoldReason(HoldReasonCode.TRANSFER_INPUT_ERROR, ad.number("HoldReasonSubCode"), text)
