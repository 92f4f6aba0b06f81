"""Reads the stream into the ledger.

While *replaying* (everything up to our own mark), what events ask for outside
is put down and done afterwards, and only if it has not been done before: the
user log is looked into, and delivered results are dropped. Afterwards, log
lines are written before the state that they tell of can be seen.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence

from thyme.broker import Record, Transport
from thyme.broker.routing_keys import kind_of_key, pool_of_dead
from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import (
    Delivered,
    Evicted,
    Finished,
    HoldReason,
    JobMessage,
    Lost,
    Marker,
    Message,
    Recorded,
    ScheddMessage,
    Started,
    Submit,
)
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId
from vobox.files import output
from vobox.files.history_files import HistoryFiles
from vobox.jobs import transitions
from vobox.jobs.job import ControlMessage, Job, LogEvent, SaveOutput
from vobox.jobs.output_destination import is_spooled
from vobox.jobs.transitions import apply
from vobox.ledger.writer import Ledger
from vobox.metrics.points import Before, Tally
from vobox.workers.leases import Leases
from vobox.workers.unread_events import Spoken

log = logging.getLogger(__name__)

#: Records asked for at once.
BATCH = 500
#: Records in one transaction of a rebuild, and bytes of them: the more, the fewer jobs are
#: written twice. A second's work, and memory that a schedd has.
AT_ONCE, AT_ONCE_BYTES = 10_000, 16 * 1024 * 1024
#: Keys of records that are not believed, each logged once.
MAX_FORGED_KEYS = 100


class StreamReader:
    def __init__(
        self,
        schedd: str,
        ledger: Ledger,
        leases: Leases,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._wall = wall
        self._schedd = schedd
        self._ledger = ledger
        self._leases = leases
        self._clock = clock
        self._tells: list[tuple[JobId, ControlMessage]] = []
        self._log_failures: list[tuple[HoldReason, JobId]] = []
        #: token of the last marker of ours that was read
        self.last_marker = ""
        #: jobs of which something may have been written before we started
        self.recovered: set[JobId] = set()
        #: records read since the start
        self.records_read = 0
        #: where ads of jobs that left are written; None for nowhere
        self.history: HistoryFiles | None = None
        #: records that nobody could read, since the start
        self.unreadable = 0
        #: records whose sender was not allowed to say what they say, since the start
        self.forged = 0
        self._forged_keys: set[str] = set()
        #: what is being published, by its bytes: it was checked when these were made
        self._own: dict[bytes, JobMessage] = {}
        #: what we recorded one by one
        self.spoken = Spoken()
        #: told of each event that is not replayed
        self.tally: Tally | None = None

    def check_same_stream(self, transport: Transport) -> None:
        """Start from nothing if the ledger was made from another stream."""
        offset = int(self._ledger.meta("offset", "-1"))
        if offset < 0:
            return
        here = transport.read(offset - 1, 1)
        # a record with a higher offset in that place: the older ones were trimmed away
        if here and (
            here[0].offset > offset or _digest(here[0]) == self._ledger.meta("digest", "")
        ):
            return
        log.warning("the ledger is of another stream; rebuilding it")
        self._ledger.clear()

    def catch_up(self, transport: Transport, replaying: bool, at_most: float = math.inf) -> bool:
        """Read what is there, in ``at_most`` heaps; whether there was anything.

        While replaying, one heap of ``AT_ONCE``.
        """
        any_read, heaps = False, 0
        while heaps < at_most and (
            records := transport.read(int(self._ledger.meta("offset", "-1")), BATCH)
        ):
            any_read, heaps = True, heaps + 1
            kept = len(self._tells)
            try:
                with _pause_gc(replaying), self._ledger.transaction():
                    self._read_all(transport, records, replaying)
            except BaseException:
                del self._tells[kept:]
                raise
            if replaying:
                break  # whoever rebuilds wants to say how far it is, and to stop when told to
        return any_read

    def _read_all(self, transport: Transport, records: Sequence[Record], replaying: bool) -> None:
        """These records and, while replaying, as many more as one transaction may hold."""
        number, size = 0, 0
        while records:
            for record in records:
                self._read(record, replaying)
                size += len(record.body)
            last = records[-1]
            number += len(records)
            if not replaying or number >= AT_ONCE or size >= AT_ONCE_BYTES:
                break
            records = transport.read(last.offset, BATCH)
        self.records_read += number
        self._ledger.set_meta("offset", str(last.offset))
        self._ledger.set_meta("digest", _digest(last))

    @contextlib.contextmanager
    def knowing(self, own: dict[bytes, JobMessage]) -> Iterator[None]:
        """Meanwhile, records of these bytes are these messages: they are not decoded again.

        Each leaves ``own`` when it is read; more may come to it.
        """
        self._own = own
        try:
            yield
        finally:
            self._own = {}

    def take_tells(self) -> list[tuple[JobId, ControlMessage]]:
        """Control mail to send."""
        tells, self._tells = self._tells, []
        return tells

    def take_log_failures(self) -> list[tuple[HoldReason, JobId]]:
        """Jobs whose user log could not be written, with the reason to hold them."""
        failures, self._log_failures = self._log_failures, []
        return failures

    def end_replay(self) -> list[tuple[HoldReason, JobId]]:
        """Write the log lines that are not in the files yet; jobs whose log cannot be written."""
        # their last line may be in the file although nobody could record that it is
        self.recovered.update(job.id for job in self._ledger.to_deliver())
        failures = []
        for job_id, text in self._ledger.waiting_log():
            job = self._ledger.get(job_id)
            if job is None:
                continue
            failed = output.write_log(job, text, once=True)
            if failed and job.in_queue:
                failures.append((failed, job_id))
        with self._ledger.transaction():
            self._ledger.drop_all_logs()
        return failures

    def _read(self, record: Record, replaying: bool) -> None:
        try:
            event = self._event(record)
        except BadMessage as error:
            if not pool_of_dead(record.key):  # else told when it was submitted
                self._pass_over(record, str(error))
            return
        if not isinstance(event, ScheddMessage) or event.schedd != self._schedd:
            return
        if self.tally and not replaying:
            self.tally.read(self._wall() - record.time)
        if isinstance(event, Marker):
            self.last_marker = event.token
            self._raise_next_cluster(event.next_cluster)
        elif isinstance(event, JobMessage):
            try:
                self._fold(event, record.body, replaying)
            except (sqlite3.Error, OSError):
                raise
            except Exception as error:
                # one record that we cannot stomach must not stop all others, at every start again
                log.exception("folding stream record %d", record.offset)
                self._pass_over(record, f"{type(error).__name__}: {error}")

    def _event(self, record: Record) -> Message | None:
        """What the record tells; None for what its sender had no right to say."""
        event: Message | None = self._own.pop(record.body, None) or self.spoken.heard(record.body)
        if event is None:
            event = codec.decode(record.body, with_input=False)
        if pool_of_dead(record.key):
            return transitions.read_dead_letter(event, record.reason, record.time)
        if not record.key or kind_of_key(record.key) == event.kind:
            return event
        self.forged += 1
        if record.key not in self._forged_keys and len(self._forged_keys) < MAX_FORGED_KEYS:
            self._forged_keys.add(record.key)
            log.error(
                "stream record %d came as %r and says that it is %r: not believed, nor any other "
                "like it (they are counted, and not logged)",
                record.offset, record.key, event.kind,
            )  # fmt: skip
        return None

    def _pass_over(self, record: Record, why: str) -> None:
        """It stays in the stream; nobody else will look at it."""
        self.unreadable += 1
        log.error(
            "stream record %d cannot be read and is passed over (%d so far): %s",
            record.offset,
            self.unreadable,
            why,
        )

    def _fold(self, event: JobMessage, body: bytes, replaying: bool) -> None:
        before = self._ledger.get(event.job)
        was = Before.of(before) if self.tally and not replaying else None
        was_in_queue = before is not None and before.in_queue
        change = apply(before, event, self._ledger.ad_of)
        job = change.job
        if job is None:
            log.error("%s of job %s, which the stream does not know", event.kind, event.job)
            return
        if isinstance(event, (Submit, Recorded)) and (
            before is None or self._ledger.body(job.id, "task") is None
        ):
            self._raise_next_cluster(job.id.cluster + 1)
            self._ledger.put_body(job.id, "task", body)
        if isinstance(event, Finished) and job.has_result:
            self._ledger.put_body(job.id, "result", body)
        if isinstance(event, Started) and job.worker == event.worker:
            self._leases.started(job, self._clock())
        if (isinstance(event, (Finished, Evicted, Lost)) and not job.worker) or not job.in_queue:
            self._leases.forget(job.id)
        if SaveOutput() in change.effects:
            self._ledger.put_body(job.id, "output", body)
        if not job.in_queue or (isinstance(event, Delivered) and not is_spooled(job.ad)):
            self._ledger.drop_bodies(job.id)
        if isinstance(event, Delivered):
            self._ledger.drop_log(job.id)
        for effect in change.effects:
            if isinstance(effect, ControlMessage):
                self._tells.append((job.id, effect))
            elif isinstance(effect, LogEvent):
                self._log(job, effect, replaying)
        if not job.in_queue:
            self.recovered.discard(job.id)  # nothing will be written for it any more
            if was_in_queue and self.history is not None and not replaying:
                self.history.write(job)
        elif replaying:
            self.recovered.add(job.id)
        self._ledger.put(job)
        if self.tally and not replaying:
            self.tally.see(was, event, job, self._wall())

    def _log(self, job: Job, effect: LogEvent, replaying: bool) -> None:
        if not job.ad.text("UserLog"):
            return
        if replaying:
            self._ledger.add_log(job.id, effect.text)
            return
        failed = output.write_log(job, effect.text, once=job.id in self.recovered)
        if (
            failed
            and job.in_queue
            and job.ad.number("HoldReasonCode") != HoldReasonCode.UNABLE_TO_INIT_USER_LOG
        ):
            self._log_failures.append((failed, job.id))

    def _raise_next_cluster(self, to: int) -> None:
        if to > int(self._ledger.meta("next_cluster", "1")):
            self._ledger.set_meta("next_cluster", str(to))


def _digest(record: Record) -> str:
    return hashlib.sha256(record.body).hexdigest()


@contextlib.contextmanager
def _pause_gc(wanted: bool) -> Iterator[None]:
    """Pause the garbage collector, in the whole process, if ``wanted``: for bulk replay.

    Ten thousand messages and the jobs made of them live until the end of a transaction; scanning
    them for cycles again and again would only cost time.
    """
    if not wanted or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
