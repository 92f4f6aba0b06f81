"""The schedd's table of jobs: a fold of the stream, kept in SQLite.

It is a cache. What it holds can be made again from the stream, so a damaged
or missing file costs a rebuild and nothing else. One thread writes; any
number of others read through ``LedgerView`` objects of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thyme.job import JobId

from .ads import Ad
from .state import Job
from .status import COMPLETED, IDLE, REMOVED, TRANSFERRING_OUTPUT

_SCHEMA = """
CREATE TABLE jobs(
    cluster INTEGER NOT NULL, proc INTEGER NOT NULL, owner TEXT NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, pool TEXT NOT NULL, status INTEGER NOT NULL,
    attempt INTEGER NOT NULL, queued INTEGER NOT NULL, worker TEXT NOT NULL,
    ended INTEGER NOT NULL, losses INTEGER NOT NULL, lease REAL NOT NULL,
    has_result INTEGER NOT NULL,
    in_queue INTEGER NOT NULL, left_at REAL NOT NULL, has_policy INTEGER NOT NULL,
    ad TEXT NOT NULL, PRIMARY KEY(cluster, proc)) WITHOUT ROWID;
CREATE INDEX jobs_in_queue ON jobs(status, owner) WHERE in_queue=1;
CREATE INDEX jobs_to_queue ON jobs(cluster) WHERE in_queue=1 AND status=1 AND queued=0;
CREATE INDEX jobs_to_deliver ON jobs(cluster) WHERE in_queue=1 AND status=6;
CREATE INDEX jobs_policy ON jobs(cluster) WHERE in_queue=1 AND has_policy=1;
CREATE INDEX jobs_worked ON jobs(cluster) WHERE in_queue=1 AND worker<>'';
CREATE INDEX jobs_left ON jobs(left_at) WHERE in_queue=0;
CREATE TABLE bodies(cluster INTEGER, proc INTEGER, kind TEXT, body BLOB NOT NULL,
    PRIMARY KEY(cluster, proc, kind)) WITHOUT ROWID;
CREATE INDEX bodies_output ON bodies(cluster, proc) WHERE kind='output';
CREATE TABLE waiting_log(
    id INTEGER PRIMARY KEY, cluster INTEGER NOT NULL, proc INTEGER NOT NULL, text BLOB NOT NULL);
CREATE INDEX waiting_log_job ON waiting_log(cluster, proc);
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
SCHEMA_VERSION = 2
#: Jobs kept in memory as they were last written.
RECENT = 2000
_COLUMNS = (
    "cluster, proc, uid, gid, pool, status, attempt, queued, worker, ended, losses, lease, "
    "has_result, in_queue, left_at, ad"
)
#: SQLite's; a user may type any number.
_MAX_INTEGER = 2**63 - 1
#: Attributes that make a job one to look at from time to time.
_POLICIES = ("PeriodicHold", "PeriodicRelease", "PeriodicRemove")


class Ledger:
    """The writer's side. Every method raises sqlite3.Error when the disk fails."""

    def __init__(self, path: Path) -> None:
        """Open, or make, the ledger; a file that is none is put aside."""
        self.path = path
        # a job's events follow each other closely: reading and parsing it anew for each of
        # them is half of what a job costs the schedd
        self._recent: dict[JobId, Job] = {}
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # the disk, not the content
            path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
            for suffix in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(str(path) + suffix).unlink()
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        # it holds job messages, and these hold proxies
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self.path, isolation_level=None, timeout=30.0)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            # a power cut may cost the last moments: they are in the stream
            db.execute("PRAGMA synchronous=NORMAL")
            if (bad := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(bad)
            if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                for (table,) in db.execute(
                    "SELECT name FROM sqlite_master WHERE type='table'"
                ).fetchall():
                    db.execute(f"DROP TABLE {table}")
                db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        except BaseException:
            db.close()
            raise
        return db

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._recent.clear()
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def clear(self) -> None:
        """Forget everything but the used cluster ids: the stream is another one."""
        self._recent.clear()
        with self.transaction():
            for table in ("jobs", "bodies", "waiting_log"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 (names from the line above)
            self._db.execute("DELETE FROM meta WHERE name<>'next_cluster'")

    def close(self) -> None:
        self._db.close()

    # --- jobs -------------------------------------------------------------------------

    def get(self, job: JobId) -> Job | None:
        if job in self._recent:
            return self._recent[job]
        if max(job) > _MAX_INTEGER:
            return None
        rows = self._jobs("cluster=? AND proc=?", tuple(job))
        return rows[0] if rows else None

    def put(self, job: Job) -> None:
        self._recent[job.id] = job
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        ad = job.ad
        # leave_in_queue keeps ended jobs for as long as it says
        policy = any(name in ad for name in _POLICIES) or job.status in (COMPLETED, REMOVED)
        owner = ad.text("Owner").encode("utf-8", "replace").decode()
        self._db.execute(
            "INSERT OR REPLACE INTO jobs VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                *job.id, owner, job.uid, job.gid, job.pool, job.status, job.attempt,
                job.queued, job.worker, job.ended, job.losses, job.lease, job.has_result,
                job.in_queue, job.left_at, policy, json.dumps(dict(ad.items())),
            ),
        )  # fmt: skip

    def in_queue(self, cluster: int | None = None, owner: str | None = None) -> list[Job]:
        """Jobs in the queue: all, of one cluster, or of one owner."""
        if cluster is not None:
            if cluster > _MAX_INTEGER:
                return []
            return self._jobs("in_queue=1 AND cluster=?", (cluster,))
        if owner is not None:
            return self._jobs("in_queue=1 AND owner=? COLLATE NOCASE", (owner,))
        return self._jobs("in_queue=1")

    def to_queue(self) -> list[Job]:
        """Idle jobs without a message out, which nobody is still ending."""
        return self._jobs(f"in_queue=1 AND status={IDLE} AND queued=0 AND worker=''")

    def to_deliver(self) -> list[Job]:
        """Ended jobs whose result is not on the submit host."""
        return self._jobs(f"in_queue=1 AND status={TRANSFERRING_OUTPUT} AND has_result=1")

    def worked_on(self) -> list[tuple[JobId, int, float]]:
        """Job, attempt and lease of what a worker runs or is ending."""
        rows = self._db.execute(
            "SELECT cluster, proc, attempt, lease FROM jobs WHERE in_queue=1 AND worker<>''"
        ).fetchall()
        return [(JobId(cluster, proc), attempt, lease) for cluster, proc, attempt, lease in rows]

    def with_policy(self) -> list[Job]:
        """Jobs in the queue whose policy expressions may fire."""
        return self._jobs("in_queue=1 AND has_policy=1")

    def forget_before(self, left_at: float) -> None:
        """Drop from the history what left the queue before that time."""
        gone = self._db.execute("DELETE FROM jobs WHERE in_queue=0 AND left_at<?", (left_at,))
        if gone.rowcount:
            self._recent.clear()

    def _jobs(self, where: str, values: Sequence[object] = ()) -> list[Job]:
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE {where} ORDER BY cluster, proc",  # noqa: S608
            values,
        ).fetchall()
        return [_job(row) for row in rows]

    # --- what goes with a job: its message, its result, its unwritten log --------------

    def put_body(self, job: JobId, kind: str, body: bytes) -> None:
        """``kind``: "task" (the message that submitted it), "result" (that ended it) or
        "output" (that ended a run, and whose output is to be written all the same)."""
        self._db.execute("INSERT OR REPLACE INTO bodies VALUES(?,?,?,?)", (*job, kind, body))

    def body(self, job: JobId, kind: str) -> bytes | None:
        row = self._db.execute(
            "SELECT body FROM bodies WHERE cluster=? AND proc=? AND kind=?", (*job, kind)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def outputs_to_save(self) -> list[JobId]:
        """Jobs with a body of the kind "output"."""
        rows = self._db.execute("SELECT cluster, proc FROM bodies WHERE kind='output'").fetchall()
        return [JobId(*row) for row in rows]

    def drop_body(self, job: JobId, kind: str) -> None:
        self._db.execute("DELETE FROM bodies WHERE cluster=? AND proc=? AND kind=?", (*job, kind))

    def drop_bodies(self, job: JobId) -> None:
        self._db.execute("DELETE FROM bodies WHERE cluster=? AND proc=?", job)

    def add_log(self, job: JobId, text: str) -> None:
        """User log lines that the stream tells of and that may or may not be in the file."""
        # as bytes: names that are no UTF-8 cannot be stored as text
        body = text.encode("utf-8", "surrogateescape")
        self._db.execute("INSERT INTO waiting_log(cluster, proc, text) VALUES(?,?,?)", (*job, body))

    def drop_log(self, job: JobId) -> None:
        self._db.execute("DELETE FROM waiting_log WHERE cluster=? AND proc=?", job)

    def drop_all_logs(self) -> None:
        self._db.execute("DELETE FROM waiting_log")

    def waiting_log(self) -> list[tuple[JobId, str]]:
        rows = self._db.execute("SELECT cluster, proc, text FROM waiting_log ORDER BY id")
        return [
            (JobId(cluster, proc), bytes(text).decode("utf-8", "surrogateescape"))
            for cluster, proc, text in rows.fetchall()
        ]

    # --- where we are -------------------------------------------------------------------

    def meta(self, name: str, default: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return default if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (name, value))


class LedgerView:
    """The readers' side: ``rpc_types.QueueView`` on the ledger; one thread each."""

    def __init__(self, path: Path, schedd_name: str, address: str, trouble: str) -> None:
        self.schedd_name = schedd_name
        self.address = address
        self._trouble = trouble
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)

    def close(self) -> None:
        self._db.close()

    def trouble(self) -> str:
        return self._trouble

    def jobs(self, clusters: Sequence[int] | None = None) -> Iterator[Ad]:
        return self._ads("in_queue=1", clusters, "cluster, proc")

    def history(self, clusters: Sequence[int] | None = None) -> Iterator[Ad]:
        return self._ads("in_queue=0", clusters, "left_at DESC, cluster DESC, proc DESC")

    def counts(self, owner: str | None = None) -> dict[int, int]:
        query = "SELECT status, count(*) FROM jobs WHERE in_queue=1"
        values: tuple[object, ...] = ()
        if owner is not None:
            # ClassAds compare names without regard to case
            query, values = query + " AND owner=? COLLATE NOCASE", (owner,)
        return dict(self._db.execute(query + " GROUP BY status", values).fetchall())

    def _ads(self, where: str, clusters: Sequence[int] | None, order: str) -> Iterator[Ad]:
        chosen = ""
        if clusters is not None:
            chosen = f" AND cluster IN ({','.join(str(int(each)) for each in clusters)})"
        query = f"SELECT ad FROM jobs WHERE {where}{chosen} ORDER BY {order}"  # noqa: S608
        for (text,) in self._db.execute(query):
            yield Ad(json.loads(text))


def _job(row: tuple[Any, ...]) -> Job:
    (cluster, proc, uid, gid, pool, status, attempt, queued, worker, ended, losses, lease,
     has_result, in_queue, left_at, ad) = row  # fmt: skip
    return Job(
        id=JobId(cluster, proc),
        uid=uid,
        gid=gid,
        pool=pool,
        ad=Ad(json.loads(ad)),
        status=status,
        attempt=attempt,
        queued=bool(queued),
        worker=worker,
        ended=ended,
        losses=losses,
        lease=lease,
        has_result=bool(has_result),
        in_queue=bool(in_queue),
        left_at=left_at,
    )
