"""What a transaction of the ledger has still to write.

A rebuild reads a job's whole life within moments. Only what is left of it at the end of a
transaction is written: half of the rows, and few of the messages, which are most of the bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterator
from typing import Final

from thyme.protocol.job import JobId
from vobox.jobs.job import Job

from .compression import Compressor
from .rows import PUT_JOB, PUT_STATE, encode_job, encode_state, may_keep_columns
from .stored_ad import StoredAd

#: Ads that were changed alike in one transaction, from which on their changes are stored once.
MANY: Final = 20


def _find_changed(job: Job) -> tuple[Hashable, ...] | None:
    """Return a key of what is to be written of the ad, as ``StoredAd.find_changed``."""
    key = job.ad.find_changed() if isinstance(job.ad, StoredAd) else None
    return (job.status, *key) if key else key


class WriteBuffer:
    """Jobs, their messages and user log lines, to be written by ``flush``."""

    def __init__(self, db: sqlite3.Connection, compressor: Compressor) -> None:
        self._db = db
        self._compressor = compressor
        self._jobs: dict[JobId, Job] = {}
        #: job → kind → body; None where it is to be deleted
        self._bodies: dict[JobId, dict[str, bytes | None]] = {}
        #: jobs whose bodies in the ledger are all to be deleted first
        self._bodiless: set[JobId] = set()
        #: job → (place among all lines, line)
        self._logs: dict[JobId, list[tuple[int, bytes]]] = {}
        self._unlogged: set[JobId] = set()
        self._lines = 0

    def put(self, job: Job) -> None:
        """Keep a job's new state until it is written."""
        self._jobs[job.id] = job

    def get(self, job: JobId) -> Job | None:
        """Return the job's state that is still to be written; None if there is none."""
        return self._jobs.get(job)

    def __contains__(self, job: JobId) -> bool:
        return job in self._jobs

    def put_body(self, job: JobId, kind: str, body: bytes | None) -> None:
        """Keep a message body of a job (None: delete it) until it is written."""
        self._bodies.setdefault(job, {})[kind] = body

    def delete_bodies(self, job: JobId) -> None:
        """Delete all message bodies of a job with the next write."""
        self._bodies.pop(job, None)
        self._bodiless.add(job)

    def find_body(self, job: JobId, kind: str) -> tuple[bool, bytes | None]:
        """Return whether it is known here, and the body (None: there is none)."""
        kinds = self._bodies.get(job, {})
        return kind in kinds or job in self._bodiless, kinds.get(kind)

    def add_log(self, job: JobId, text: bytes) -> None:
        """Keep a text for the job's user log until it is written."""
        self._lines += 1
        self._logs.setdefault(job, []).append((self._lines, text))

    def delete_log(self, job: JobId) -> None:
        """Delete all kept user-log texts of a job with the next write."""
        self._logs.pop(job, None)
        self._unlogged.add(job)

    def clear(self) -> None:
        """Forget everything: it is written, or the transaction is undone."""
        for each in (self._jobs, self._bodies, self._bodiless, self._logs, self._unlogged):
            each.clear()

    def flush(self) -> None:
        """Write everything; it is one transaction if the caller has one."""
        many = self._db.executemany
        if self._jobs:
            states, rest = self._encode_states(list(self._jobs.values()))
            many(PUT_STATE, states)
            many(PUT_JOB, (encode_job(job, self._compressor) for job in rest))
        if self._bodiless:
            many("DELETE FROM bodies WHERE cluster=? AND proc=?", self._bodiless)
        if self._bodies:
            gone = "DELETE FROM bodies WHERE cluster=? AND proc=? AND kind=?"
            many(gone, ((*job, kind) for job, kind, body in self._each_body() if body is None))
            many("INSERT OR REPLACE INTO bodies VALUES(?,?,?,?,?)", self._body_rows())
        if self._unlogged:
            many("DELETE FROM waiting_log WHERE cluster=? AND proc=?", self._unlogged)
        if self._logs:
            lines = sorted(
                (place, *job, text) for job, texts in self._logs.items() for place, text in texts
            )
            put_line = "INSERT INTO waiting_log(cluster, proc, text) VALUES(?,?,?)"
            many(put_line, (line[1:] for line in lines))
        self.clear()

    def _encode_states(self, jobs: list[Job]) -> tuple[list[tuple[object, ...]], list[Job]]:
        """Return the rows of jobs whose ads need not be written again, and the other jobs.

        Such an ad has not changed since it was stored, or like those of many other jobs.
        """
        alike: dict[Hashable, list[Job]] = {}
        for job in jobs:
            alike.setdefault(_find_changed(job), []).append(job)
        rest, rows = alike.pop(None, []), list[tuple[object, ...]]()
        for key, group in alike.items():
            number = self._store_changes(group) if key else None
            if key and number is None:
                rest += group
                continue
            for job in group:
                rows.append(encode_state(job, number or job.ad.stored_changes))  # type: ignore[attr-defined]
        return rows, rest

    def _store_changes(self, jobs: list[Job]) -> int | None:
        """Store what has changed alike in the ads of these jobs; None if that is not worth it."""
        ad = jobs[0].ad
        if len(jobs) < MANY or not isinstance(ad, StoredAd):
            return None
        changes = ad.merge_changes()
        return (
            self._compressor.store_changes(changes) if may_keep_columns(changes, jobs[0]) else None
        )

    def _each_body(self) -> Iterator[tuple[JobId, str, bytes | None]]:
        for job, kinds in self._bodies.items():
            for kind, body in kinds.items():
                yield job, kind, body

    def _body_rows(self) -> Iterator[tuple[object, ...]]:
        for job, kind, body in self._each_body():
            if body is None:
                continue
            if kind == "task":
                known = self._jobs.get(job)
                owner = known.ad.text("Owner") if known is not None else ""
                yield (*job, kind, *self._compressor.compress((kind, owner), body))
            else:  # what came of a job is like nothing else, and soon gone
                yield (*job, kind, None, body)
