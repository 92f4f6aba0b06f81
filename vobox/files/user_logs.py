"""Append to the jobs' user logs, and keep on disk the lines whose file does not answer.

A line is written before the state that it reports can be seen: ``flush`` is called before the
ledger's transaction ends. Only where the owner's files do not answer the state goes on, and the
line waits in the ledger: his lines are written in their order when the files answer, also after a
restart, and until then none of his jobs is Completed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from thyme.protocol.events import HoldReason
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import JobId
from vobox.jobs.job import Job
from vobox.ledger.writer import Ledger

from . import output
from .owner_threads import FileTask, OwnerThreads
from .user_log_index import UserLogIndex

#: Waiting lines that are tried at once.
WAITING_BATCH: Final = 1000
#: Characters that are written to a user log at once.
MAX_WRITE: Final = 64 * 1024


class _Line(NamedTuple):
    """An event for a job's user log; ``once``: it may be in the file already."""

    job: Job
    path: str
    text: str
    once: bool


class UserLogs:
    """The user logs of all jobs. For the schedd's own thread."""

    def __init__(self, ledger: Ledger, threads: OwnerThreads) -> None:
        self._ledger = ledger
        self._threads = threads
        #: owners who may have lines in the ledger
        self._waiting: set[int] = set()
        #: what was appended since the last ``flush``
        self._lines: list[_Line] = []
        #: lines of the ledger that are in their file now
        self._written: list[tuple[int, JobId, str]] = []
        #: jobs to be held because their user log could not be written
        self._failures: list[tuple[HoldReason, JobId]] = []

    def append(self, job: Job, text: str, once: bool) -> None:
        """Append an event at the next ``flush``; ``once``: only if the file lacks it.

        ``text``: the event as HTCondor writes it, with its line ``...``.
        """
        if not (path := job.ad.text("UserLog")):
            return
        if self.has_waiting(job.uid) or self._threads.is_late(job.uid):
            self._keep(job, text)
            return
        self._lines.append(_Line(job, path, text, once))

    def flush(self) -> None:
        """Write what was appended; lines that take too long are kept in the ledger."""
        lines, self._lines = self._lines, []
        unwritten = dict(enumerate(lines))
        self._threads.run([self._make_task(part, unwritten) for part in _group(lines)])
        for line in unwritten.values():
            self._keep(line.job, line.text)

    def drop(self) -> None:
        """Forget what was appended since the last ``flush``."""
        self._lines = []

    def take_failures(self) -> list[tuple[HoldReason, JobId]]:
        """Return the jobs whose user log could not be written, with the reason to hold them."""
        failures, self._failures = self._failures, []
        return failures

    def has_waiting(self, uid: int) -> bool:
        """Return whether lines of the owner wait for their file."""
        return uid in self._waiting

    def list_waiting(self) -> set[int]:
        """Return the uids of the owners whose lines wait for their file."""
        return set(self._waiting)

    def expect_waiting(self) -> None:
        """Look for waiting lines in the ledger: it was opened, or has read the stream."""
        self._waiting.update(self._ledger.list_owners_of_log())

    def write_waiting(self) -> bool:
        """Try some of the waiting lines; returns whether any were tried."""
        self._threads.run([])
        self._delete_written()
        if not self._waiting:
            return False
        busy = self._threads.list_busy()
        rows = self._ledger.list_waiting_log(WAITING_BATCH, busy)
        if not rows:
            self._waiting.intersection_update(busy)
            return False
        tasks = []
        for row in rows:
            job = self._ledger.get(row[1])
            if job is None or not job.ad.text("UserLog"):
                self._written.append(row)
            else:
                tasks.append(self._make_waiting_task(job, row))
        self._threads.run(tasks)
        self._delete_written()
        return True

    def _delete_written(self) -> None:
        written, self._written = self._written, []
        if written:
            self._ledger.delete_waiting_log(written)

    def _make_waiting_task(self, job: Job, row: tuple[int, JobId, str]) -> FileTask:
        def on_done(failed: HoldReason | None) -> None:
            self._written.append(row)
            self._note_failure(job, failed)

        # it may be in the file already: it was being written when it was put down here
        write = functools.partial(output.write_log, job, row[2], True)
        return FileTask(job.uid, job.ad.text("UserLog"), write, on_done)

    def _keep(self, job: Job, text: str) -> None:
        self._waiting.add(job.uid)
        self._ledger.add_log(job.id, text)

    def _make_task(self, places: Sequence[int], unwritten: dict[int, _Line]) -> FileTask:
        """Make the task that writes these lines of one file; it deletes them from ``unwritten``."""
        lines = [unwritten[place] for place in places]
        failures: list[HoldReason | None] = []

        def write(user_logs: UserLogIndex) -> HoldReason | None:
            failures[:] = _append_all(lines, user_logs)
            return None

        def on_done(failed: HoldReason | None) -> None:
            for place in places:
                unwritten.pop(place, None)
            for line, why in zip_longest(lines, failures):
                self._note_failure(line.job, why or failed)

        return FileTask(lines[0].job.uid, lines[0].path, write, on_done)

    def _note_failure(self, job: Job, failed: HoldReason | None) -> None:
        if failed and job.in_queue:
            code = job.ad.number("HoldReasonCode")
            if code != HoldReasonCode.UNABLE_TO_INIT_USER_LOG:
                self._failures.append((failed, job.id))


def _group(lines: Sequence[_Line]) -> list[list[int]]:
    """Return the places of the lines; those that follow each other in one file are together."""
    groups: list[list[int]] = []
    before: tuple[object, ...] | None = None
    size = 0
    for place, (job, path, text, once) in enumerate(lines):
        # each of these events becomes another text, or two
        is_alone = once or output.is_in_xml(job.ad) or "JobAdInformationAttrs" in job.ad
        file = None if is_alone else (job.uid, job.gid, path)
        size += len(text)
        if file is not None and file == before and size <= MAX_WRITE:
            groups[-1].append(place)
        else:
            groups.append([place])
            size = len(text)
        before = file
    return groups


def _append_all(lines: Sequence[_Line], user_logs: UserLogIndex) -> list[HoldReason | None]:
    """Write lines of one file, at once if that is possible; returns why each could not be written.

    What one write could not do is tried line by line: a part of it may be in the file.
    """
    first = lines[0]
    if len(lines) == 1:
        return [output.write_log(first.job, first.text, first.once, user_logs)]
    text = "".join(line.text for line in lines)
    if output.write_log(first.job, text, False, user_logs) is None:
        return [None] * len(lines)
    return [output.write_log(line.job, line.text, True, user_logs) for line in lines]
