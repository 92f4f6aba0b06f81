"""Read the stream into the ledger.

While *replaying* (everything up to our own marker at the start of a session), what
events ask for outside is stored and done afterwards, and only if it has not been
done before: the user log is looked into, and results of delivered jobs are
dropped. Afterwards, a line of the user log is written before the state that it
reports can be seen.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from thyme.broker import Record, Retention, Transport
from thyme.broker.lanes import get_pool
from thyme.broker.routing_keys import parse_dead_pool, parse_kind
from thyme.broker.users import VOBOX, may_report
from thyme.errors import BadMessage, BrokerUnreachable, is_worth_a_line
from thyme.protocol import codec
from thyme.protocol.events import (
    Delivered,
    Edited,
    Evicted,
    Finished,
    HoldReason,
    JobMessage,
    Lost,
    Marker,
    Message,
    Recorded,
    ScheddMessage,
    SharedEvent,
    Snapshot,
    Started,
    StoredMessage,
    Submit,
    is_of_life,
)
from thyme.protocol.job import JobId
from vobox.jobs.job import ControlMessage, Job, LogEvent, SaveOutput
from vobox.jobs.output_destination import is_spooled
from vobox.jobs.status import COMPLETED, REMOVED
from vobox.jobs.transitions import (
    DeadLettered,
    apply,
    name_hold,
    only_sets_attributes,
    read_dead_letter,
)

from .retention import StreamAge
from .snapshots import restore_job, stage_message
from .state import ScheddState

log = logging.getLogger(__name__)

#: Records asked for at once, and events in one transaction after which it ends.
READ_BATCH: Final = 500
#: Events, and bytes of records, in one transaction of a replay: the more, the fewer jobs are
#: written twice. About a second's work, and memory that a schedd has.
REPLAY_BATCH: Final = 10_000
REPLAY_BATCH_BYTES: Final = 16 * 1024 * 1024
#: Seconds without a record from a stream that has one, after which the broker is asked again.
SILENT_SECONDS: Final = 30
#: Records remembered, to know a stream again that has lost its end, and seconds between them.
CHECKPOINTS: Final = 10
CHECKPOINT_SECONDS: Final = 60.0
#: Seconds in which the stream is read to its end before a claim is answered, and looks in them.
READ_TO_END_SECONDS: Final = 2.0
READ_TO_END_TRIES: Final = 100
#: Routing keys of forged records, each logged once.
MAX_FORGED_KEYS: Final = 100


class StreamReader:
    """The reader of one session."""

    def __init__(self, state: ScheddState, transport: Transport) -> None:
        self._state = state
        self._ledger = state.ledger
        self._transport = transport
        self._schedd = state.settings.name
        #: token of the last marker of ours that was read
        self.last_marker = ""
        #: jobs of which an event was recorded and not read back: the last one's kind and time.
        #: Until then nothing more is decided
        self.unread: dict[JobId, tuple[str, float]] = {}
        #: jobs that ended, and are in the queue unless their leave_in_queue says otherwise
        self._ended: set[JobId] = set()
        #: jobs whose history files are to be written once the ledger says that they left
        self._left: list[JobId] = []
        #: how old the records of the stream are; made by ``check_same_stream``
        self._age = StreamAge(self._ledger.read_meta("age", ""), Retention())
        #: events of jobs that the stream does not know
        self._unknown = 0
        #: offset of the first record that the stream has, as far as it is known
        self._first_offset = 0
        #: whether it was said that the stream keeps less than it was declared with
        self._said_short = False
        #: offset and digest of some of the records that were read
        self._checkpoints: list[tuple[int, str]] = [
            (offset, digest)
            for offset, digest in json.loads(self._ledger.read_meta("checkpoints", "[]"))
        ]
        #: when the last of them was made, epoch seconds
        self._checked = 0.0
        self._reading_again = self._ledger.read_meta("reading_again", "no") == "yes"

    def check_same_stream(self) -> None:
        """Compare the stream with what the ledger has read of it, and keep what the ledger knows.

        Only a stream with other records wherever the ledger read some is another stream: the
        ledger is then started again, and a copy of it kept. Where an earlier record is the same,
        the stream has lost its end, and what was recorded since is in its place. Raises
        BrokerUnreachable, and keeps the ledger, where the broker does not tell.
        """
        ledger = self._ledger
        self._age = StreamAge(ledger.read_meta("age", ""), self._transport.get_retention())
        offset = int(ledger.read_meta("offset", "-1"))
        if offset < 0:
            ledger.write_meta("counted", "no")
            return
        here = self._transport.read(offset - 1, 1) or self._find_record(offset)
        if not here:
            self._report_loss("the event stream ends before what the ledger has read of it")
            self._read_again()
        elif here[0].offset > offset + 1:
            lost = here[0].offset - offset - 1
            self._report_loss(f"the event stream lacks {lost} records that were not read")
        elif here[0].offset > offset or _digest(here[0]) == ledger.read_meta("digest", ""):
            return
        elif self._has_lost_its_end():
            self._report_loss("the event stream has lost records that the ledger has read")
            self._read_again()
        else:
            log.warning("the ledger is of another stream; rebuilding it")
            ledger.clear()
            ledger.write_meta("counted", "no")
            self._forget_offsets()

    def _has_lost_its_end(self) -> bool:
        """Return whether the ledger's stream has another record in the place of a known one.

        So it is if it has a record that was read before, or if those were all trimmed away.
        """
        seen = []
        for offset, digest in reversed(self._checkpoints):
            here = self._transport.read(offset - 1, 1)
            if here and here[0].offset == offset:
                seen.append(_digest(here[0]) == digest)
        return any(seen) or (bool(self._checkpoints) and not seen)

    def _report_loss(self, text: str) -> None:
        """Say that records were lost, and let every idle job be queued again."""
        self._state.health.report_loss(f"{text}; idle jobs are queued again")
        self._ledger.write_meta("queue_again", "yes")

    def _read_again(self) -> None:
        """Read the stream from its first record; see ``_is_known``."""
        ledger = self._ledger
        with ledger.transaction():
            ledger.write_meta("offset", "-1")
            ledger.write_meta("counted", "no")
            ledger.write_meta("reading_again", "yes")
            ledger.write_meta("marked", "-1")
            ledger.write_meta("age", "")
            ledger.write_meta("checkpoints", "[]")
            ledger.forget_offsets()
        self._reading_again = True
        self._forget_offsets()

    def _forget_offsets(self) -> None:
        self._age = StreamAge("", self._transport.get_retention())
        self._checkpoints = []

    def _is_known(self, event: JobMessage) -> bool:
        """Return whether a ledger that reads its stream again knows this event already.

        Of a job that it knows, all that this schedd said was read before; only what others
        reported may be new, and that changes nothing when it is told twice.
        """
        if not self._reading_again or isinstance(event, (Finished, Evicted, DeadLettered)):
            return False
        job = self._ledger.get(event.job)
        return job is not None and job.recorded < 0

    def _find_record(self, offset: int) -> list[Record]:
        """Return the first record from ``offset`` on; [] where the stream ends before it.

        That nothing was read proves nothing: the broker may be late. A marker of ours that is
        recorded now is the stream's end: the stream is read up to it, or up to ``offset``.
        """
        token = self.record_marker()
        after, silent = -1, 0
        while silent < SILENT_SECONDS:
            records = self._transport.read(after, READ_BATCH)
            for record in records:
                after = record.offset
                if token.encode() in record.body:  # first: it may be where the lost record was
                    return []
                if after >= offset:
                    return [record]
            if records:
                silent = 0
            else:
                silent += 1
                self._transport.wait(1.0)
        raise BrokerUnreachable("the event stream does not answer; the ledger is kept as it is")

    def record_marker(self) -> str:
        """Record a marker; returns its token, to be compared with ``last_marker``."""
        token = os.urandom(16).hex()
        next_cluster = int(self._ledger.read_meta("next_cluster", "1"))
        self._transport.record([codec.encode(Marker(self._schedd, token, next_cluster))])
        return token

    def read_to_end(self) -> bool:
        """Read all that is recorded by now; returns False where that takes too long."""
        token = self.record_marker()
        for _ in range(READ_TO_END_TRIES):
            read = self.catch_up(replaying=False, max_batches=1)
            if self.last_marker == token:
                return True
            if not read:
                self._transport.wait(READ_TO_END_SECONDS / READ_TO_END_TRIES)
        return False

    def note_recorded(self, events: Sequence[JobMessage]) -> None:
        """Remember that the ledger lacks these events until they are read back."""
        self.unread.update((event.job, (event.kind, event.time)) for event in events)

    def is_unread(self, job: JobId) -> bool:
        """Return whether the ledger lacks something that this session has recorded of the job."""
        return job in self.unread

    def catch_up(self, replaying: bool, max_batches: float = math.inf) -> bool:
        """Read what is there, in at most so many batches; returns whether there was anything.

        While ``replaying``, one batch of ``REPLAY_BATCH``: the caller can then report how far it
        is, and stop. Raises BrokerError, sqlite3.Error and OSError.
        """
        any_read, batches = False, 0
        while batches < max_batches and (
            records := self._transport.read(int(self._ledger.read_meta("offset", "-1")), READ_BATCH)
        ):
            any_read, batches = True, batches + 1
            kept = len(self._state.control_messages)
            try:
                with pause_gc(), self._ledger.transaction():
                    self._read_batch(records, replaying)
                    self._state.user_logs.flush()
            except BaseException:
                self._state.user_logs.drop()
                self._left.clear()
                del self._state.control_messages[kept:]
                if self._state.tally:
                    self._state.tally.drop()
                raise
            if self._state.history and self._left:
                self._state.history.add(self._left)
                self._left.clear()
            if self._state.tally:
                self._state.tally.keep()
            if replaying:
                break
        return any_read

    def _read_batch(self, records: Sequence[Record], replaying: bool) -> None:
        """Read these records and, while replaying, as many more as one transaction may hold."""
        limit = REPLAY_BATCH if replaying else READ_BATCH
        number, events, size = 0, 0, 0
        while records:
            for last in records:
                events += self._read(last, replaying)
                number += 1
                size += len(last.body)
                if events >= limit:  # one record may be of a thousand jobs
                    break
            if not replaying or events >= limit or size >= REPLAY_BATCH_BYTES:
                break
            records = self._transport.read(last.offset, READ_BATCH)
        self._state.stream.records += number
        self._ledger.write_meta("offset", str(last.offset))
        self._ledger.write_meta("digest", _digest(last))
        self._ledger.write_meta("age", self._age.format())
        if self._state.wall() - self._checked >= CHECKPOINT_SECONDS:
            self._checked = self._state.wall()
            self._checkpoints.append((last.offset, _digest(last)))
            del self._checkpoints[:-CHECKPOINTS]
            self._ledger.write_meta("checkpoints", json.dumps(self._checkpoints))

    def take_control_messages(self) -> list[tuple[JobId, ControlMessage]]:
        """Return the control messages that are to be sent, once."""
        messages, self._state.control_messages = self._state.control_messages, []
        return messages

    def take_ended(self) -> set[JobId]:
        """Return the jobs that have just ended and are still in the queue, once."""
        ended, self._ended = self._ended, set()
        return ended

    def finish_replay(self) -> list[tuple[HoldReason, JobId]]:
        """Write the lines that user logs lack; returns the jobs whose log cannot be written."""
        # their last line may be in the file although it could not be recorded that it is
        self._state.recovered.update(job.id for job in self._ledger.read_to_deliver())
        self._state.user_logs.expect_waiting()
        while self._state.user_logs.write_waiting():
            pass
        with self._ledger.transaction():
            self._ledger.delete_staged_bodies()
            # a ledger that was made from nothing has read what had been counted long ago
            self._ledger.write_meta("counted", "yes")
            self._ledger.write_meta("reading_again", "no")
        self._reading_again = False
        held = self._ledger.read_held()
        self._state.held = {job.id: (get_pool(job.pool), name_hold(job)) for job in held}
        return self._state.user_logs.take_failures()

    def _read(self, record: Record, replaying: bool) -> int:
        """Read one record; returns of how many events it is, 1 for one that is not believed."""
        try:
            event = self._decode(record)
        except BadMessage as error:
            if not parse_dead_pool(record.key):  # else logged when it was submitted
                self._skip(record, str(error))
            event = None
        ours = isinstance(event, ScheddMessage) and event.schedd == self._schedd
        # of what this schedd published itself the time is its own, and no later than now
        said_by_us = ours and not isinstance(event, (Started, Finished, Evicted, DeadLettered))
        time = min(record.time, self._state.wall()) if said_by_us else None
        self._age.read(record.offset, len(record.body), time)
        if not isinstance(event, ScheddMessage) or not ours:
            return 1
        tally = None if replaying else self._state.tally
        if tally and time is not None:  # a worker's time is that of its node's clock
            tally.read(self._state.wall() - time)
        if isinstance(event, Marker):
            self.last_marker = event.token
            self._ledger.write_meta("marked", str(record.offset))
            self._raise_next_cluster(event.next_cluster)
        elif isinstance(event, JobMessage):
            self._read_event(event, record, replaying)
        elif isinstance(event, SharedEvent):
            if replaying or not self._set_attributes(event, record):
                self._ledger.load(event.job_ids)
                for each in event.list_events():
                    self._read_event(each, record, replaying)
            return len(event.job_ids)
        return 1

    def _set_attributes(self, shared: SharedEvent, record: Record) -> bool:
        """Apply an event that only sets attributes to all its jobs at once, where that is possible.

        It is what ``_read_event`` does for each of them. Returns whether it was done.
        """
        event, jobs = shared.event, shared.job_ids
        if (
            not isinstance(event, Edited)
            or not only_sets_attributes(event)
            or record.user not in (None, VOBOX)
            or self._reading_again
            or not self._ledger.set_attributes(jobs, event.ad)
        ):
            return False
        told = (event.kind, event.time)
        for job in jobs:
            if self.unread.get(job) == told:
                del self.unread[job]
        self._ended.update(
            job.id
            for job in self._ledger.list_states(ids=jobs)
            if job.status in (COMPLETED, REMOVED)
        )
        if self._state.tally is not None:
            for _job in jobs:
                self._state.tally.read_back(self._state.wall() - event.time)
        return True

    def _read_event(self, event: JobMessage, record: Record, replaying: bool) -> None:
        if self.unread.get(event.job) == (event.kind, event.time):
            del self.unread[event.job]
        if not self._is_known(event):
            try:
                if self._is_believed(record, event):
                    if isinstance(event, (StoredMessage, Snapshot)):
                        self._read_snapshot(event, record, replaying)
                    else:
                        self._apply(event, record, replaying)
            except (sqlite3.Error, OSError):
                raise
            except BadMessage as error:
                self._skip(record, str(error))
            except Exception as error:
                # one bad record must not stop all others, now and at every start
                if is_worth_a_line(self._state.stream.unreadable + 1):
                    log.exception("applying stream record %d", record.offset)
                self._skip(record, f"{type(error).__name__}: {error}")

    def _decode(self, record: Record) -> Message | None:
        """Return the record's message; None where its sender may not write that."""
        kind = parse_kind(record.key)
        message = codec.decode(record.body, with_files=kind == StoredMessage.kind)
        if parse_dead_pool(record.key):
            return read_dead_letter(message, record.reason, record.time)
        if kind == message.kind:
            return message
        self._count_forged(record, f"came as {record.key!r} and says that it is {message.kind!r}")
        return None

    def _is_believed(self, record: Record, event: JobMessage) -> bool:
        """Return whether its sender may report of this job: a worker of the job's pool."""
        job = self._ledger.get(event.job)
        if job is None:
            return True
        if not is_of_life(event, job.life):
            self._count_forged(record, f"is of another job that had the number {job.id}")
            return False
        dead = parse_dead_pool(record.key)
        if may_report(record.user, job.pool) and (
            not dead or get_pool(job.pool) in (get_pool(dead), get_pool(unquote(dead)))
        ):
            return True
        self._count_forged(
            record, f"came as {record.key!r} of user {record.user!r} on a job of pool {job.pool!r}"
        )
        return False

    def _count_forged(self, record: Record, what: str) -> None:
        counts = self._state.stream
        counts.forged += 1
        kind = f"{record.key} {record.user}"
        if kind not in counts.forged_keys and len(counts.forged_keys) < MAX_FORGED_KEYS:
            counts.forged_keys.add(kind)
            log.error(
                "stream record %d %s: not believed, nor any other like it (they are counted, and "
                "not logged)",
                record.offset, what,
            )  # fmt: skip

    def _skip(self, record: Record, why: str) -> None:
        """Pass over a record, for good: it stays in the stream."""
        counts = self._state.stream
        counts.unreadable += 1
        if is_worth_a_line(counts.unreadable):
            log.error(
                "stream record %d cannot be read and is passed over (%d so far): %s",
                record.offset, counts.unreadable, why,
            )  # fmt: skip

    def look_at_first_record(self) -> None:
        """Learn what the stream has forgotten by now, and so how long it keeps its records."""
        self._first_offset = max(self._first_offset, self._transport.get_first_offset())
        if self._first_offset <= 1:
            return  # where every stream begins
        kept = self._age.compare_with_first(self._first_offset, self._state.wall())
        if kept is not None and not self._said_short:
            self._said_short = True
            log.warning(
                "the event stream has kept only %.3g MB and %.3g h of its records, less than half "
                "of what it was declared with (perhaps a policy of the broker): jobs are recorded "
                "again accordingly", kept.bytes / 1e6, kept.seconds / 3600,
            )  # fmt: skip

    def find_old(self) -> int:
        """Return the last offset of what the stream may soon forget, or has forgotten."""
        return max(self._age.find_old(self._state.wall()), self._first_offset - 1)

    def _read_snapshot(
        self, event: StoredMessage | Snapshot, record: Record, replaying: bool
    ) -> None:
        if isinstance(event, StoredMessage):
            if replaying:  # else it is stored already
                stage_message(self._ledger, event)
            return
        job = restore_job(self._ledger, event, record.offset, replaying)
        if job is None:
            return
        if replaying and job.in_queue:
            self._state.recovered.add(job.id)
        self._raise_next_cluster(job.id.cluster + 1)

    def _apply(self, event: JobMessage, record: Record, replaying: bool) -> None:
        ledger, state, body = self._ledger, self._state, record.body
        before = ledger.get(event.job)
        transition = apply(before, event)
        job = transition.job
        if job is None:
            if not replaying:  # else its beginning was forgotten, or a snapshot of it follows
                self._unknown += 1
                if is_worth_a_line(self._unknown):
                    log.error(
                        "%s of job %s, which the stream does not know (%d so far)",
                        event.kind, event.job, self._unknown,
                    )  # fmt: skip
            return
        if isinstance(event, Finished) and before is not None and job.ended > before.ended:
            # raises BadMessage where the output cannot be read: then it is no end. Only now, as
            # anybody can report ends, of output that takes long to read
            codec.decode(body)
        job.version += 1
        if before is None:
            job.recorded = record.offset
        if isinstance(event, Submit) and (before is None or event.attempt > before.attempt):
            job.submitted = record.offset
            if not replaying:
                owner = job.ad.text("Owner")
                state.waiting_messages.add(owner, event.pool, record.offset, len(body))
        self._keep_bodies(event, body, before, job)
        live_cpu = state.leases.live.cpu_seconds(job.id)
        self._update_leases(event, job)
        if SaveOutput() in transition.effects:
            result = None if isinstance(event, Finished) else ledger.read_body(job.id, "result")
            ledger.put_body(job.id, "output", body if result is None else result)
            ledger.delete_body(job.id, "result")
        if not job.in_queue or (isinstance(event, Delivered) and not is_spooled(job.ad)):
            ledger.delete_bodies(job.id)
        if isinstance(event, Delivered):
            ledger.delete_log(job.id)
        for effect in transition.effects:
            if isinstance(effect, ControlMessage):
                state.control_messages.append((job.id, effect))
            elif isinstance(effect, LogEvent):
                self._write_log(job, effect.text, replaying)
        if not job.in_queue:
            state.recovered.discard(job.id)  # nothing will be written for it any more
            was_in_queue = before is not None and before.in_queue
            if was_in_queue and state.history is not None and not replaying:
                self._left.append(job.id)
        elif replaying:
            state.recovered.add(job.id)
        elif job.status in (COMPLETED, REMOVED):
            self._ended.add(job.id)
        ledger.put(job)
        self._count(before, event, job, live_cpu, replaying)

    def _count(
        self, before: Job | None, event: JobMessage, job: Job, live_cpu: float, replaying: bool
    ) -> None:
        """Count an event for the metrics, once: those of before a restart when they are read."""
        state = self._state
        if state.held is not None:
            if reason := name_hold(job):
                state.held[job.id] = (get_pool(job.pool), reason)
            else:
                state.held.pop(job.id, None)
        if state.tally is None:
            return
        if not replaying or self._ledger.read_meta("counted", "yes") == "yes":
            state.tally.see(before, event, job, live_cpu, state.wall())
        if not replaying and not isinstance(event, (Started, Finished, Evicted)):
            state.tally.read_back(state.wall() - event.time)

    def _keep_bodies(self, event: JobMessage, body: bytes, before: Job | None, job: Job) -> None:
        """Keep the message that submits the job, for its next attempt, and that of its result."""
        completes = isinstance(event, Recorded) and before is not None
        if isinstance(event, (Submit, Recorded)) and (
            completes or before is None or self._ledger.read_body(job.id, "task") is None
        ):
            self._raise_next_cluster(job.id.cluster + 1)
            self._ledger.put_body(job.id, "task", body)
        # not of an attempt that was given up, and reports when another one has ended
        if isinstance(event, Finished) and job.has_result and not (before and before.has_result):
            self._ledger.put_body(job.id, "result", body)

    def _update_leases(self, event: JobMessage, job: Job) -> None:
        if isinstance(event, Started) and job.worker == event.worker:
            self._state.queue_watch.record_left(job.pool, job.submitted - 1)
            self._state.lane_watch.record_served(job.pool, self._state.clock())
            self._state.leases.record_start(job, self._state.clock())
        if (isinstance(event, (Finished, Evicted, Lost)) and not job.worker) or not job.in_queue:
            self._state.leases.forget(job.id)

    def _write_log(self, job: Job, text: str, replaying: bool) -> None:
        if replaying:
            if job.ad.text("UserLog"):
                self._ledger.add_log(job.id, text)
            return
        self._state.user_logs.append(job, text, once=job.id in self._state.recovered)

    def _raise_next_cluster(self, to: int) -> None:
        if to > int(self._ledger.read_meta("next_cluster", "1")):
            self._ledger.write_meta("next_cluster", str(to))


def _digest(record: Record) -> str:
    return hashlib.sha256(record.body).hexdigest()


@contextlib.contextmanager
def pause_gc() -> Iterator[None]:
    """Pause the garbage collector, in the whole process, for one step of work on many jobs.

    Up to ten thousand messages and the jobs made of them live until its end; scanning them for
    cycles again and again would only cost time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
