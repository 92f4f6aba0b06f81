"""Record jobs again before the stream forgets them, so that it always rebuilds the whole ledger.

A job may wait, be held or be in the history for longer than the stream keeps its records. Before
half of the retention has passed, it is recorded whole: the messages that the ledger keeps for it,
the lines that wait for its user log, and then its snapshot. A reader that lacks the records before
makes the job of these; any other ignores them. Where an event of the job came between the making of
a snapshot and its place in the stream, the snapshot is out of date (``Job.version``), and another
one is made. The stream may have forgotten some of the messages and not their snapshot: a later
snapshot brings them.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Final

from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import Snapshot, StoredMessage
from thyme.protocol.job import JobId
from vobox.jobs.job import Job, encode_state, make_job
from vobox.ledger.writer import STAGED, Ledger

log = logging.getLogger(__name__)

#: Jobs looked at in one step; messages, and bytes of them, after which it ends.
STEP_JOBS: Final = 5000
STEP_MESSAGES: Final = 500
STEP_BYTES: Final = 4 * 1024 * 1024
#: Bytes of a kept message in one record: a whole one may be as large as a record can be.
PART_BYTES: Final = 8 * 1024 * 1024
_START: Final = JobId(-1, -1)
#: The kind of message that is no longer kept once it is written, of which no event tells; and what
#: the user log lines that wait for their file are stored as.
_WRITTEN: Final = "output"
_LOG: Final = "log"


class Snapshots:
    """Goes through all jobs of the ledger again and again, some in each step."""

    def __init__(self, schedd: str, ledger: Ledger) -> None:
        self._schedd = schedd
        self._ledger = ledger
        self._after = _START

    def make_due(self, old: int, now: float) -> tuple[list[bytes], bool]:
        """Return messages that record jobs again, and whether more jobs are left of this round.

        :param old: the last offset whose records may soon be forgotten
        :param now: epoch seconds
        """
        bodies: list[bytes] = []
        size = 0
        rows = self._ledger.list_recorded(self._after, STEP_JOBS)
        for job_id, recorded in rows:
            self._after = job_id
            job = self._ledger.get(job_id) if recorded <= old else None
            if job is None:
                continue
            try:
                made = self._encode(job, now)
            except BadMessage as error:
                log.error("job %s cannot be recorded again: %s", job_id, error)
                continue
            bodies += made
            size += sum(map(len, made))
            if size >= STEP_BYTES or len(bodies) >= STEP_MESSAGES:
                return bodies, True
        if len(rows) == STEP_JOBS:
            return bodies, True
        self._after = _START
        return bodies, False

    def _encode(self, job: Job, now: float) -> list[bytes]:
        made = []
        # all of its records will come after those that were read
        job = replace(job, recorded=int(self._ledger.read_meta("offset", "-1")) + 1)
        kinds = self._ledger.list_bodies(job.id)
        bodies = {kind: self._ledger.read_body(job.id, kind) or b"" for kind in kinds}
        if lines := self._ledger.list_log(job.id):
            bodies[_LOG] = json.dumps(lines).encode()
        for kind, body in bodies.items():
            for at in range(0, len(body), PART_BYTES):
                part = body[at : at + PART_BYTES]
                message = StoredMessage(self._schedd, job.id, now, kind, at, part)
                made.append(codec.encode(message))
        snapshot = Snapshot(
            self._schedd, job.id, now, job.pool, job.uid, job.gid, job.ad.texts(),
            encode_state(job),
        )  # fmt: skip
        return [*made, codec.encode(snapshot)]


def stage_message(ledger: Ledger, event: StoredMessage) -> None:
    """Keep a part of a job's message until the snapshot follows that it belongs to."""
    kind = STAGED + event.name
    staged = ledger.read_body(event.job, kind) or b""
    if len(staged) >= event.offset:  # else the stream has forgotten the part before
        ledger.put_body(event.job, kind, staged[: event.offset] + event.data)


def restore_job(ledger: Ledger, event: Snapshot, offset: int, replaying: bool) -> Job | None:
    """Make the job of its snapshot, if events of it were missed.

    :param ledger: to which the job is written, or that it is recorded there
    :param event: the snapshot
    :param offset: of its record in the stream
    :param replaying: whether messages of the job may have been staged
    :return: the job if it was made, else None
    :raises BadMessage: for a snapshot that makes no sense
    """
    job, told = ledger.get(event.job), make_job(event)
    if job is not None and job.life != told.life:
        return None  # of a job that had its number before
    bodies = {
        kind: ledger.read_body(event.job, kind) or b""
        for kind in (ledger.list_bodies(event.job) if replaying else ())
        if kind.startswith(STAGED)
    }
    is_made = job is None or job.version < told.version
    if job is None or is_made:
        job = told
        ledger.delete_bodies(job.id)
        ledger.put(job)
        missing = set(bodies)
    else:
        # of an earlier snapshot, the stream may have forgotten the messages
        known = {STAGED + kind for kind in (*ledger.list_bodies(job.id), _WRITTEN, _LOG)}
        missing = set(bodies) - known if job.version == told.version else set()
    for kind, body in bodies.items():
        ledger.delete_body(job.id, kind)
        if kind in missing and kind == STAGED + _LOG:
            for line in json.loads(body):
                ledger.add_log(job.id, line)
        elif kind in missing:
            ledger.put_body(job.id, kind.removeprefix(STAGED), body)
    if job.version == told.version:
        job.recorded = min(max(told.recorded, 0), offset)
        ledger.put(job)
    return job if is_made else None
