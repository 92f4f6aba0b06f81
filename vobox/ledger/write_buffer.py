"""What a transaction of the ledger has still to write.

A rebuild reads a job's whole life within moments. Only what is left of it at
the end of a transaction is written: half of the rows, and few of the bodies,
which are most of the bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, literal
from vobox.jobs.job import Job
from vobox.jobs.status import COMPLETED, REMOVED

from .ad_templates import NewTemplates
from .message_deltas import Bodies

#: Attributes that make a job one to look at from time to time.
_POLICIES = (
    "PeriodicHold", "PeriodicRelease", "PeriodicRemove", "AllowedJobDuration",
    "AllowedExecuteDuration",
)  # fmt: skip
#: What columns are made of and jobs that are submitted together have in common.
_SHARED = frozenset(
    {"owner", "jobbatchname", "totalsubmitprocs", *(name.lower() for name in _POLICIES)}
)
_COLUMNS = (
    "cluster", "proc", "owner", "uid", "gid", "pool", "status", "attempt", "queued", "worker",
    "ended", "losses", "lease", "has_result", "in_queue", "left_at", "has_policy", "qdate",
    "batch", "procs", "plain", "shape", "ad",
)  # fmt: skip
# not REPLACE: that would write every index anew
_PUT_JOB = (
    f"INSERT INTO jobs({','.join(_COLUMNS)}) VALUES({','.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT(cluster, proc) DO UPDATE SET "
    + ",".join(f"{name}=excluded.{name}" for name in _COLUMNS[2:])
)
#: Ids from here on do not fit one number of SQLite's together.
_BIG = 2**31
#: Kinds of jobs of which ``_Shared`` is kept.
_MOST_KNOWN = 1024
_PUT_BODY = "INSERT OR REPLACE INTO bodies VALUES(?,?,?,?,?)"


class WriteBack:
    def __init__(self, db: sqlite3.Connection, templates: NewTemplates, store: Bodies) -> None:
        self._db = db
        self._store = store
        self._templates = templates
        self._jobs: dict[JobId, Job] = {}
        #: job → kind → body; None where it is to be deleted
        self._bodies: dict[JobId, dict[str, bytes | None]] = {}
        #: jobs whose bodies in the ledger are all to be deleted first
        self._bodiless: set[JobId] = set()
        #: job → (place among all lines, line)
        self._logs: dict[JobId, list[tuple[int, bytes]]] = {}
        self._unlogged: set[JobId] = set()
        self._lines = 0
        #: by the template's number, and which of them differ from it
        self._known: dict[tuple[int, object], _Shared] = {}

    def put(self, job: Job) -> None:
        # now, so that no whole ad is held until the end of the transaction
        self._templates.number(job.ad)
        self._jobs[job.id] = job

    def get(self, job: JobId) -> Job | None:
        return self._jobs.get(job)

    def put_body(self, job: JobId, kind: str, body: bytes | None) -> None:
        self._bodies.setdefault(job, {})[kind] = body

    def drop_bodies(self, job: JobId) -> None:
        self._bodies.pop(job, None)
        self._bodiless.add(job)

    def body(self, job: JobId, kind: str) -> tuple[bool, bytes | None]:
        """Whether it is known here, and the body (None: there is none)."""
        kinds = self._bodies.get(job, {})
        return kind in kinds or job in self._bodiless, kinds.get(kind)

    def add_log(self, job: JobId, text: bytes) -> None:
        self._lines += 1
        self._logs.setdefault(job, []).append((self._lines, text))

    def drop_log(self, job: JobId) -> None:
        self._logs.pop(job, None)
        self._unlogged.add(job)

    def drop_all(self) -> None:
        """Forget it: the transaction is undone."""
        self._clear()
        # a template that was made in it may be another one under the same number
        self._known.clear()

    def _clear(self) -> None:
        for each in (self._jobs, self._bodies, self._bodiless, self._logs, self._unlogged):
            each.clear()

    def flush(self) -> None:
        """Write everything down; what follows is one transaction if the caller has one."""
        many = self._db.executemany
        if self._jobs:
            many(_PUT_JOB, (self._row(job) for job in self._jobs.values()))
        if self._bodiless:
            many("DELETE FROM bodies WHERE cluster=? AND proc=?", self._bodiless)
        if self._bodies:
            gone = "DELETE FROM bodies WHERE cluster=? AND proc=? AND kind=?"
            many(gone, ((*job, kind) for job, kind, body in self._each_body() if body is None))
            many(_PUT_BODY, self._stored_bodies())
        if self._unlogged:
            many("DELETE FROM waiting_log WHERE cluster=? AND proc=?", self._unlogged)
        if self._logs:
            lines = sorted(
                (place, *job, text) for job, texts in self._logs.items() for place, text in texts
            )
            put_line = "INSERT INTO waiting_log(cluster, proc, text) VALUES(?,?,?)"
            many(put_line, (line[1:] for line in lines))
        self._clear()

    def _each_body(self) -> Iterator[tuple[JobId, str, bytes | None]]:
        for job, kinds in self._bodies.items():
            for kind, body in kinds.items():
                yield job, kind, body

    def _stored_bodies(self) -> Iterator[tuple[object, ...]]:
        for job, kind, body in self._each_body():
            if body is None:
                continue
            known = self._jobs.get(job) if kind == "task" else None
            if known is None:  # what came of a job is like nothing else, and soon gone
                yield (*job, kind, None, body)
            else:
                yield (*job, kind, *self._store.written(self._templates.number(known.ad), body))

    def _row(self, job: Job) -> tuple[object, ...]:
        ad = job.ad
        shared = self._shared(ad)
        # leave_in_queue keeps ended jobs for as long as it says
        policy = shared.has_policy or job.status in (COMPLETED, REMOVED)
        qdate = ad.number("QDate")
        # no bool: each would be looked up among the adapters of the database's module
        return (
            *job.id, shared.owner, job.uid, job.gid, job.pool, job.status, job.attempt,
            1 if job.queued else 0, job.worker, job.ended, job.losses, job.lease,
            1 if job.has_result else 0, 1 if job.in_queue else 0, job.left_at,
            1 if policy else 0, qdate, shared.batch, shared.procs,
            1 if shared.is_plain and _is_plain(ad, job, qdate) else 0, *self._templates.row(ad),
        )  # fmt: skip

    def _shared(self, ad: Ad) -> _Shared:
        kind = self._templates.number(ad), ad.own(_SHARED)
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[kind] = _shared(ad)
        return known


class _Shared(NamedTuple):
    """Columns; ``is_plain``: they are what the ad says, to the letter."""

    owner: str
    batch: str | None
    procs: int | None
    has_policy: bool
    is_plain: bool


def _shared(ad: Ad) -> _Shared:
    owner = ad.text("Owner").encode("utf-8", "replace").decode()
    batch, procs = _text(ad, "JobBatchName"), _number(ad, "TotalSubmitProcs")
    is_plain = (
        _says(ad.get("Owner"), owner)
        and (batch is None or _says(ad.get("JobBatchName"), batch))
        and (procs is None or ad.get("TotalSubmitProcs") == str(procs))
    )
    return _Shared(owner, batch, procs, any(name in ad for name in _POLICIES), is_plain)


def _text(ad: Ad, name: str) -> str | None:
    if name not in ad:
        return None
    return ad.text(name).encode("utf-8", "replace").decode()


def _number(ad: Ad, name: str) -> int | None:
    return ad.number(name) if name in ad else None


def _is_plain(ad: Ad, job: Job, qdate: int) -> bool:
    """The same of the other columns; and ids are of the usual size."""
    if max(job.id) >= _BIG:
        return False
    said = (ad.get("ClusterId"), ad.get("ProcId"), ad.get("JobStatus"), ad.get("QDate"))
    return said == (str(job.id.cluster), str(job.id.proc), str(job.status), str(qdate))


def _says(expression: str | None, text: str) -> bool:
    """Whether this is the text as a literal, and one that may be written without escapes."""
    if not text.isprintable() or "\\" in text or '"' in text:
        return False
    return expression == f'"{text}"' or expression == literal(text)
