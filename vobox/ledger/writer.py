"""The schedd's table of jobs, made from the events in the stream and kept in SQLite.

It is a cache. What it holds can be made again from the stream, so a damaged or missing file costs
a rebuild and nothing else. One thread writes; any number of others read through ``LedgerSnapshot``
objects of their own (``snapshot.py``).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thyme.errors import ExitCode, ThymeError
from thyme.protocol.job import JobId, find_runs
from vobox.jobs.job import Job
from vobox.jobs.status import HELD, IDLE, TRANSFERRING_OUTPUT

from .changes import Changes
from .compression import Compressor
from .recent_jobs import RecentJobs
from .rows import JOB_COLUMNS, decode_job, has_columns
from .schema import TABLES, delete_damaged, mark_as_damaged, open_ledger
from .write_buffer import MANY, WriteBuffer

log = logging.getLogger(__name__)

#: Before the kind of a stored message that belongs to a snapshot whose end is still to come.
STAGED = "staged "
#: Selects what ``find_runs`` returns.
_OF_RUN = "cluster=? AND proc BETWEEN ? AND ?"
#: Values of one statement that sets the changes of a run of jobs.
_MAX_CASES = 200
#: SQLite's; a user may type any number.
_MAX_INTEGER = 2**63 - 1


class ForeignLedger(ThymeError):
    """The ledger of a schedd with another name."""

    exit_code = ExitCode.NODE_UNFIT


class JobState(NamedTuple):
    """What commands that act on jobs need to know of each; the names are those of ``Job``."""

    id: JobId
    uid: int
    owner: str
    status: int
    worker: str


class Ledger:
    """The writer's side. Every method raises sqlite3.Error when the disk fails."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, or make it; see ``open_ledger``."""
        self.path = path
        self._recent = RecentJobs()
        self._meta: dict[str, str] = {}
        #: names of what is to be written at the end of the transaction
        self._unwritten_meta: set[str] = set()
        self._in_transaction = False
        self._open()

    def _open(self) -> None:
        self._db = open_ledger(self.path)
        self._compressor = Compressor(self._db)
        self._unwritten = WriteBuffer(self._db, self._compressor)
        newest = "SELECT cluster, proc FROM jobs ORDER BY cluster DESC, proc DESC LIMIT 1"
        #: no job with a higher id was ever put down
        self._newest = JobId(*(self._db.execute(newest).fetchone() or (-1, -1)))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all changes of a ``with`` block at its end, or none of them."""
        self._mark_damage()
        self._db.execute("BEGIN IMMEDIATE")
        self._in_transaction = True
        try:
            yield
            self._unwritten.flush()
            self._write_meta()
            self._db.execute("COMMIT")
        except BaseException:
            self._forget_cached()
            self._unwritten.clear()
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._mark_damage()
            raise
        finally:
            self._in_transaction = False

    @contextlib.contextmanager
    def surviving_power_cuts(self) -> Iterator[None]:
        """Let what is written in a ``with`` block be on the disk at its end, with all before it."""
        self._db.execute("PRAGMA synchronous=FULL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous=NORMAL")

    def clear(self) -> None:
        """Forget everything but the used cluster ids: the stream is another one.

        A copy of what was known stays beside the ledger, for the administrator to delete.
        """
        copy = self.path.with_name(f"{self.path.name}.other-stream-{time.time_ns()}")
        copy.touch(mode=0o600)  # it holds job messages, and these hold proxies
        with contextlib.closing(sqlite3.connect(copy)) as kept:
            self._db.backup(kept)
        log.warning(
            "the ledger of another stream is kept as %s; delete it if nobody needs it", copy
        )
        with self.transaction():
            self._forget_cached()
            for table in TABLES:
                if table != "meta":
                    self._db.execute(f"DELETE FROM {table}")  # noqa: S608 (names of ours)
            self._db.execute("DELETE FROM meta WHERE name NOT IN ('next_cluster', 'schedd')")

    def make_again(self) -> None:
        """Put the ledger aside as damaged, and begin a new one, which the stream has to fill."""
        with contextlib.suppress(sqlite3.Error):
            mark_as_damaged(self._db)
        self._db.close()
        self._forget_cached()
        self._open()

    def _forget_cached(self) -> None:
        self._recent.clear()
        self._meta.clear()
        self._unwritten_meta.clear()
        self._compressor.forget()

    def delete_damaged(self) -> None:
        """Delete what was put aside of a damaged ledger: this one is complete."""
        delete_damaged(self.path)

    def check_owner(self, schedd: str) -> None:
        """Make it the ledger of the schedd named ``schedd``.

        Raises ForeignLedger if another one has read the stream into it.
        """
        owner = self.read_meta("schedd", "")
        if owner not in ("", schedd) and int(self.read_meta("offset", "-1")) >= 0:
            raise ForeignLedger(
                f"{self.path} is the ledger of the schedd {owner!r}, and this is {schedd!r}: "
                f"start it with --name {owner}, or with another --spool"
            )
        self.write_meta("schedd", schedd)

    def close(self) -> None:
        """Mark the ledger if damage was found, and close the database."""
        self._mark_damage()
        self._db.close()

    def _mark_damage(self) -> None:
        """Let the ledger be made again at the next start if a text in it is damaged."""
        if self._compressor.found_damage:
            with contextlib.suppress(sqlite3.Error):
                mark_as_damaged(self._db)

    def _flush(self) -> None:
        """Write what is in the buffer: before a query, and after a change outside a transaction."""
        if self._in_transaction:
            self._unwritten.flush()
        else:
            with self.transaction():
                pass

    def _changed(self) -> None:
        if not self._in_transaction:
            self._flush()

    # --- jobs -------------------------------------------------------------------------

    def get(self, job: JobId) -> Job | None:
        """Return the job, written or not yet; None if there is no such job."""
        known = self._recent.get(job) or self._unwritten.get(job)
        if known is not None:
            return known
        if job > self._newest or job.proc > _MAX_INTEGER:
            return None  # a new one: no need to look
        row = self._db.execute(
            f"SELECT {JOB_COLUMNS} FROM jobs WHERE cluster=? AND proc=?",  # noqa: S608
            tuple(job),
        ).fetchone()
        if row is None:
            return None
        read = self._decode(row)
        self._recent.put(read)
        return read

    def load(self, jobs: Iterable[JobId]) -> None:
        """Read jobs together that ``get`` is to be asked for next, as many as are kept."""
        recent, unwritten = self._recent, self._unwritten
        for cluster, first, last in find_runs(
            job
            for job in jobs
            if job not in recent and job not in unwritten and job <= self._newest
        ):
            of_run = (cluster, first, min(last, _MAX_INTEGER))
            for read in self._read_jobs(_OF_RUN, of_run):
                recent.put(read)

    def put(self, job: Job) -> None:
        """Store the job's new state."""
        self._newest = max(self._newest, job.id)
        self._recent.put(job)
        self._unwritten.put(job)
        self._changed()

    def set_attributes(self, jobs: Collection[JobId], attributes: Mapping[str, str]) -> bool:
        """Set these attributes in the ads of many jobs: one more event of each job.

        Returns False, and changes nothing, where that cannot be done without reading each job:
        one of them is not in the queue, say.
        """
        added, runs = Changes.of(attributes), find_runs(jobs)
        if has_columns(added) or len(runs) > len(jobs) // MANY or len(set(jobs)) < len(jobs):
            return False
        updates: list[tuple[str, list[int | None]]] = []
        number = 0
        for run in runs:
            values: list[int | None] = []
            among = f"FROM jobs WHERE {_OF_RUN} AND in_queue=1"
            found = self._query(f"SELECT changes, count(*) {among} GROUP BY changes", run)
            for former, count in found.fetchall():
                changes = self._compressor.find_changes(former).then(added)
                if (stored := self._compressor.store_changes(changes)) is None:
                    return False
                values += [former, stored]
                number += count
            if len(values) > _MAX_CASES:
                return False
            cases = " WHEN changes IS ? THEN ?" * (len(values) // 2)
            updates.append((f"CASE{cases} END", [*values, *run]))
        if number < len(jobs):
            return False
        for job in jobs:
            self._recent.forget(job)
        for changes_after, of_run in updates:
            update = f"UPDATE jobs SET version=version+1, changes={changes_after} WHERE {_OF_RUN}"  # noqa: S608
            self._db.execute(update, of_run)
        return True

    def read_queue(self, cluster: int | None = None, owner: str | None = None) -> Iterator[Job]:
        """Yield the jobs in the queue: all, of one cluster, or of one owner.

        Like all that yields jobs here it reads one at a time, as a queue may have millions, each
        with an ad of megabytes. Write nothing meanwhile.
        """
        if cluster is not None:
            if cluster > _MAX_INTEGER:
                return iter(())
            return self._read_jobs("in_queue=1 AND cluster=?", (cluster,))
        if owner is not None:
            return self._read_jobs("in_queue=1 AND owner=? COLLATE NOCASE", (owner,))
        return self._read_jobs("in_queue=1")

    def count_queue(self, owner: str) -> int:
        """Return how many jobs of the owner are in the queue."""
        of_owner = "in_queue=1 AND owner=? COLLATE NOCASE"
        query = f"SELECT coalesce(sum(number), 0) FROM counts WHERE {of_owner}"  # noqa: S608
        return int(self._query(query, (owner,)).fetchone()[0])

    def measure_queue(self) -> dict[str, int]:
        """Return the bytes of the messages that are stored for each owner's jobs in the queue."""
        query = (
            "SELECT owner, sum(length(body)) FROM jobs JOIN bodies USING(cluster, proc) "
            "WHERE in_queue=1 GROUP BY owner"
        )
        return dict(self._query(query).fetchall())

    def list_states(
        self,
        cluster: int | None = None,
        owner: str | None = None,
        ids: Iterable[JobId] | None = None,
        only_unqueued: bool = False,
    ) -> list[JobState]:
        """Return the states of the jobs in the queue: all, or those of ``read_queue``.

        :param ids: of these jobs alone, in their order
        :param only_unqueued: of held jobs that have no message in the job queue alone
        """
        where = f"in_queue=1 AND status={HELD} AND queued=0" if only_unqueued else "in_queue=1"
        if ids is not None:
            found: list[JobState] = []
            for number, first, last in find_runs(ids):
                if max(number, last) <= _MAX_INTEGER:
                    found += self._states(f"{where} AND {_OF_RUN}", (number, first, last))
            return found
        if cluster is not None:
            if cluster > _MAX_INTEGER:
                return []
            return self._states(f"{where} AND cluster=?", (cluster,))
        if owner is not None:
            return self._states(f"{where} AND owner=? COLLATE NOCASE", (owner,))
        return self._states(where)

    def is_queue_empty(self) -> bool:
        """Return whether nobody has a job in the queue."""
        return not list(self._query("SELECT 1 FROM jobs WHERE in_queue=1 LIMIT 1"))

    def _states(self, where: str, values: Sequence[object] = ()) -> list[JobState]:
        rows = self._query(
            "SELECT cluster, proc, uid, owner, status, worker FROM jobs "  # noqa: S608
            f"WHERE {where} ORDER BY cluster, proc",
            values,
        )
        return [
            JobState(JobId(cluster, proc), uid, owner, status, worker)
            for cluster, proc, uid, owner, status, worker in rows
        ]

    def list_to_queue(self) -> list[JobId]:
        """Return the idle jobs without a message in the queue that no worker is still ending."""
        rows = self._query(
            # the planner would rather go through the whole queue
            "SELECT cluster, proc FROM jobs INDEXED BY jobs_to_queue "  # noqa: S608
            f"WHERE in_queue=1 AND status={IDLE} AND queued=0 AND worker='' ORDER BY cluster, proc"
        ).fetchall()
        return [JobId(cluster, proc) for cluster, proc in rows]

    def list_failed_starts(self) -> list[tuple[JobId, int]]:
        """Return the idle jobs that are to be queued after starts that failed, and how many."""
        rows = self._query(
            "SELECT cluster, proc, failed_starts FROM jobs INDEXED BY jobs_to_queue "  # noqa: S608
            f"WHERE in_queue=1 AND status={IDLE} AND queued=0 AND failed_starts>0"
        ).fetchall()
        return [(JobId(cluster, proc), number) for cluster, proc, number in rows]

    def list_waiting(self, pool: str, submitted: int, limit: int) -> list[Job]:
        """Return idle jobs of the pool whose message was queued up to that offset.

        ``submitted``: offset in the stream; ``limit``: at most so many jobs, by cluster and proc.
        """
        where = f"in_queue=1 AND status={IDLE} AND queued=1 AND pool=? AND submitted<=?"
        return list(self._read_jobs(where, (pool, submitted), limit))

    def list_idle_pools(self) -> list[str]:
        """Return the pools that have idle jobs."""
        query = "SELECT DISTINCT pool FROM counts WHERE in_queue=1 AND status=? AND number>0"
        return [pool for (pool,) in self._query(query, (IDLE,)).fetchall()]

    def read_to_deliver(self, limit: int = -1, but_of: Collection[int] = ()) -> Iterator[Job]:
        """Yield ended jobs whose result is not on the submit host yet.

        :param limit: so many at most; -1: all
        :param but_of: uids whose jobs are left out
        """
        where = f"in_queue=1 AND status={TRANSFERRING_OUTPUT} AND has_result=1"
        where = f"{where} AND {_not_of(but_of)}"
        return self._read_jobs(where, (), limit, "INDEXED BY jobs_to_deliver")

    def list_recorded(self, after: JobId, limit: int) -> list[tuple[JobId, int]]:
        """Return the next jobs, of the history as well, and the offset that tells each whole."""
        rows = self._query(
            "SELECT cluster, proc, recorded FROM jobs WHERE (cluster, proc)>(?,?) "
            "ORDER BY cluster, proc LIMIT ?",
            (*after, limit),
        ).fetchall()
        return [(JobId(cluster, proc), recorded) for cluster, proc, recorded in rows]

    def read_held(self) -> Iterator[Job]:
        """Yield the held jobs in the queue."""
        return self._read_jobs(f"in_queue=1 AND status={HELD}")

    def read_worked_on(self) -> Iterator[Job]:
        """Yield the jobs that a worker runs or is ending."""
        return self._read_jobs("in_queue=1 AND worker<>''", index="INDEXED BY jobs_worked")

    def list_worked_on(self) -> list[tuple[JobId, float]]:
        """Return the ids of ``read_worked_on``, and the leases (seconds; 0: none)."""
        rows = self._query(
            "SELECT cluster, proc, lease FROM jobs INDEXED BY jobs_worked "
            "WHERE in_queue=1 AND worker<>''"
        ).fetchall()
        return [(JobId(cluster, proc), lease) for cluster, proc, lease in rows]

    def read_with_policy(self, after: JobId) -> Iterator[Job]:
        """Yield the next jobs in the queue whose policy expressions may fire, by cluster and proc.

        They are the caller's own: what is written into their ads is in no other's.
        """
        where = "in_queue=1 AND has_policy=1 AND (cluster, proc)>(?,?)"
        return self._read_jobs(where, tuple(after))

    def forget_offsets(self) -> None:
        """Forget where in the stream the jobs' records are: it counts again."""
        self._query("UPDATE jobs SET submitted=0, recorded=-1")
        self._recent.clear()

    def trim_history(
        self, left_before: float, most: int = sys.maxsize, limit: int = sys.maxsize
    ) -> bool:
        """Delete the oldest jobs from the history; returns whether more are to be deleted.

        :param left_before: jobs that left the queue before that time (epoch seconds) are deleted
        :param most: jobs that are kept of one owner
        :param limit: jobs that are deleted at once
        """
        oldest = "DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs WHERE in_queue=0 AND "
        order = " ORDER BY left_at, cluster, proc LIMIT ?)"
        deleted = self._query(f"{oldest} left_at<? {order}", (left_before, limit)).rowcount
        owners = self._query(
            "SELECT owner, sum(number) AS jobs FROM counts WHERE in_queue=0 "
            "GROUP BY owner HAVING jobs>?", (most,),
        ).fetchall()  # fmt: skip
        for owner, number in owners:
            few = min(number - most, limit - deleted)
            deleted += self._query(f"{oldest} owner=? {order}", (owner, few)).rowcount
        if deleted:
            self._db.execute("DELETE FROM counts WHERE number=0")
            self._recent.clear()
        if deleted >= limit:
            return True
        if self._compressor.delete_unused():
            self._recent.clear()  # their ads may be of a dictionary that is gone
        return False

    def _query(self, text: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Query the tables, after writing what is still in the write buffer."""
        if self._in_transaction:
            self._unwritten.flush()
        return self._db.execute(text, values)

    def _read_jobs(
        self, where: str, values: Sequence[object] = (), limit: int = -1, index: str = ""
    ) -> Iterator[Job]:
        """Yield jobs; ``index``: where the planner would rather go through the whole queue."""
        query = (
            f"SELECT {JOB_COLUMNS} FROM jobs {index} WHERE {where} "  # noqa: S608
            f"ORDER BY cluster, proc LIMIT {limit}"
        )
        for row in self._query(query, values):
            yield self._decode(row)

    def _decode(self, row: tuple[Any, ...]) -> Job:
        return decode_job(row, self._compressor)

    # --- what goes with a job: its message, its result, its unwritten log --------------

    def put_body(self, job: JobId, kind: str, body: bytes) -> None:
        """Store a message of the job.

        ``kind``: "task" (that submitted it), "result" (that ended it) or "output" (that ended a
        run, and whose output is to be written all the same).
        """
        self._unwritten.put_body(job, kind, body)
        self._changed()

    def read_body(self, job: JobId, kind: str) -> bytes | None:
        """Return a stored message of the job; None where there is none of that kind."""
        is_known, body = self._unwritten.find_body(job, kind)
        if is_known:
            return body
        row = self._db.execute(
            "SELECT dictionary, body FROM bodies WHERE cluster=? AND proc=? AND kind=?",
            (*job, kind),
        ).fetchone()
        return None if row is None else self._compressor.decompress(*row)

    def list_bodies(self, job: JobId) -> list[str]:
        """Return the kinds of message that are stored for the job."""
        rows = self._query("SELECT kind FROM bodies WHERE cluster=? AND proc=?", tuple(job))
        return sorted(kind for (kind,) in rows.fetchall())

    def delete_staged_bodies(self) -> None:
        """Delete what was staged of snapshots whose end did not come."""
        self._query("DELETE FROM bodies WHERE kind LIKE ?", (STAGED + "%",))

    def list_outputs_to_save(self, limit: int = -1, but_of: Collection[int] = ()) -> list[JobId]:
        """Return jobs with a body of the kind "output".

        :param limit: so many at most; -1: all
        :param but_of: uids whose jobs are left out
        """
        rows = self._query(
            "SELECT cluster, proc FROM bodies LEFT JOIN jobs USING(cluster, proc) "  # noqa: S608
            f"WHERE kind='output' AND (uid IS NULL OR {_not_of(but_of)}) LIMIT {limit}"
        ).fetchall()
        return [JobId(*row) for row in rows]

    def delete_body(self, job: JobId, kind: str) -> None:
        """Delete the stored message of that kind."""
        self._unwritten.put_body(job, kind, None)
        self._changed()

    def delete_bodies(self, job: JobId) -> None:
        """Delete all stored messages of the job."""
        self._unwritten.delete_bodies(job)
        self._changed()

    def add_log(self, job: JobId, text: str) -> None:
        """Keep user log lines of the stream that may or may not be in the file already."""
        # as bytes: names that are no UTF-8 cannot be stored as text
        self._unwritten.add_log(job, text.encode("utf-8", "surrogateescape"))
        self._changed()

    def delete_log(self, job: JobId) -> None:
        """Delete the kept user log lines of the job."""
        self._unwritten.delete_log(job)
        self._changed()

    def list_log(self, job: JobId) -> list[str]:
        """Return the kept user log lines of the job."""
        query = "SELECT text FROM waiting_log WHERE cluster=? AND proc=? ORDER BY id"
        return [
            bytes(text).decode("utf-8", "surrogateescape") for (text,) in self._query(query, job)
        ]

    def list_owners_of_log(self) -> list[int]:
        """Return the uids of the owners of the kept user log lines."""
        query = "SELECT DISTINCT uid FROM waiting_log JOIN jobs USING(cluster, proc)"
        return [uid for (uid,) in self._query(query)]

    def list_waiting_log(
        self, limit: int, but_of: Collection[int] = ()
    ) -> list[tuple[int, JobId, str]]:
        """Return kept user log lines, in the order in which they were added.

        :param limit: so many at most
        :param but_of: uids whose lines are left out
        :return: for ``delete_waiting_log``: a number, the job and the text of each
        """
        rows = self._query(
            "SELECT id, waiting_log.cluster, waiting_log.proc, text "  # noqa: S608
            "FROM waiting_log LEFT JOIN jobs USING(cluster, proc) "
            f"WHERE uid IS NULL OR {_not_of(but_of)} ORDER BY id LIMIT {limit}"
        ).fetchall()
        return [
            (number, JobId(cluster, proc), bytes(text).decode("utf-8", "surrogateescape"))
            for number, cluster, proc, text in rows
        ]

    def delete_waiting_log(self, lines: Iterable[tuple[int, JobId, str]]) -> None:
        """Delete these kept user log lines, where they are still the same."""
        with self.transaction():
            self._db.executemany(
                "DELETE FROM waiting_log WHERE id=? AND cluster=? AND proc=? AND text=?",
                (
                    (number, *job, text.encode("utf-8", "surrogateescape"))
                    for number, job, text in lines
                ),
            )

    # --- where we are -------------------------------------------------------------------

    def read_meta(self, name: str, default: str) -> str:
        """Return a named value of the ledger itself, ``default`` where it was never written."""
        if name in self._meta:
            return self._meta[name]
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        if row is None:
            return default
        self._meta[name] = str(row[0])
        return str(row[0])

    def write_meta(self, name: str, value: str) -> None:
        """Store a named value of the ledger itself."""
        self._meta[name] = value
        self._unwritten_meta.add(name)
        if not self._in_transaction:
            self._write_meta()

    def _write_meta(self) -> None:
        rows = ((name, self._meta[name]) for name in self._unwritten_meta)
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES(?,?)", rows)
        self._unwritten_meta.clear()


def _not_of(uids: Collection[int]) -> str:
    return f"uid NOT IN ({','.join(str(int(uid)) for uid in uids)})" if uids else "1"
