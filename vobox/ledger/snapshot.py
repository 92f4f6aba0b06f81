"""The readers' side of the ledger: one snapshot of it, for one query, in one thread.

All that one command prints comes from one read transaction: it sees all of an event or nothing.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from thyme.protocol.job import JobId, find_runs
from vobox.classad.ad import Ad, quote
from vobox.jobs.status import IDLE, RUNNING, SUSPENDED

from .compression import Dictionaries
from .rows import AD_COLUMNS, decode_ad

#: What is known of a running job beyond the ledger: attribute → expression text.
Live = Callable[[JobId], Mapping[str, str]]
#: The slots' ads, given the workers that have a job, with the job's ad.
Slots = Callable[[Iterable[tuple[str, Ad]]], Iterator[Ad]]
#: Values that fit one statement; of more, all jobs are read.
_MAX_VALUES = 5000
#: Rows read at once: one by one they take a third more time.
_ROWS = 500
#: Bytes of ads that are read with their rows; larger ones, of up to 16 MiB, one by one.
_SMALL_AD = 16 * 1024
#: Seconds of work between two pauses.
TURN_SECONDS = 0.01
#: JobStatus of jobs of which more is known than the ledger says, as ``AD_COLUMNS`` says it.
_RUNS = (str(RUNNING), str(SUSPENDED))
#: KiB of the file that one view keeps in memory; it reads most pages once, and there are many.
_CACHE = 256


def _nothing(_job: JobId) -> Mapping[str, str]:
    return {}


def _no_slots(_busy: Iterable[tuple[str, Ad]]) -> Iterator[Ad]:
    return iter(())


class LeftJob(NamedTuple):
    """A job that left the queue; ``left_at``: when, epoch seconds."""

    left_at: float
    id: JobId
    ad: Ad


class LedgerSnapshot:
    """``vobox.rpc.types.QueueView`` on the ledger; every method raises sqlite3.Error."""

    def __init__(
        self,
        path: Path,
        schedd_name: str,
        address: str,
        trouble: str,
        slots: Slots = _no_slots,
        live: Live = _nothing,
        let_others: Callable[[], None] = lambda: None,
        file_waits: Mapping[int, str] | None = None,
        begin_keeping_many: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the ledger read-only and begin the one read transaction of this snapshot.

        ``trouble`` says why the ledger may be out of date ("" when it is not); ``slots`` and
        ``live`` tell what only the schedd's memory holds; ``let_others`` is called now and then
        while an answer is made, so that other threads can run. Raises sqlite3.Error.

        ``file_waits``: uid → which file the jobs in the queue of that owner wait for;
        ``begin_keeping_many``: see ``QueueView``.
        """
        self._file_waits = file_waits or {}
        self.schedd_name = schedd_name
        self.address = address
        self.trouble = trouble
        self._slots = slots
        self._live = live
        self._let_others = let_others
        self.begin_keeping_many = begin_keeping_many
        self._turn_began = time.monotonic()
        self._counts: dict[str, dict[int, int]] | None = None
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0, isolation_level=None,
            # made in the thread that reads the request, used in the one that answers it
            check_same_thread=False,
        )  # fmt: skip
        try:
            self._db.execute(f"PRAGMA cache_size=-{_CACHE}")
            self._db.execute("BEGIN")
            self.is_partial = bool(trouble) and self._lacks_jobs()
        except BaseException:
            self._db.close()
            raise
        self._dictionaries = Dictionaries(self._db)

    def _lacks_jobs(self) -> bool:
        """Return whether the ledger is being made from nothing."""
        meta = dict(self._db.execute("SELECT name, value FROM meta"))
        if meta.get("reading_again") == "yes":
            return False  # it has all jobs, and reads what became of them once more
        return meta.get("counted") == "no" or int(meta.get("offset", "-1")) < 0

    def pause(self) -> None:
        """Let others compute, if the last pause was long enough ago."""
        if time.monotonic() - self._turn_began > TURN_SECONDS:
            self._let_others()
            self._turn_began = time.monotonic()

    def close(self) -> None:
        """End the read transaction and close the database."""
        self._db.close()

    def read_jobs(
        self,
        clusters: Sequence[int] | None = None,
        owners: Sequence[str] | None = None,
        statuses: Collection[int] | None = None,
    ) -> Iterator[Ad]:
        """Yield the ads of the jobs in the queue; see ``QueueView.read_jobs``."""
        where = "in_queue=1" + _among("cluster", clusters)
        values: list[object] = []
        # the columns of other jobs are not what their ads say
        if owners is not None and len(owners) <= _MAX_VALUES:
            marks = ",".join("?" * len(owners))
            where += f" AND (columns_match=0 OR owner COLLATE NOCASE IN ({marks}))"
            values += owners
        if statuses is not None:
            marks = ",".join(str(int(each)) for each in statuses)
            where += f" AND (columns_match=0 OR status IN ({marks}))"
        source = f"jobs INDEXED BY jobs_queue WHERE {where}"
        return self._ads(source, "cluster, proc", values, self._file_waits)

    def read_history(
        self, clusters: Sequence[int] | None = None, oldest_first: bool = False
    ) -> Iterator[Ad]:
        """Yield the ads of the jobs that left the queue, newest first by default."""
        way = "" if oldest_first else " DESC"
        order = f"left_at{way}, cluster{way}, proc{way}"
        return self._ads("jobs WHERE in_queue=0" + _among("cluster", clusters), order)

    def read_left(self, jobs: Iterable[JobId]) -> Iterator[LeftJob]:
        """Yield those of these jobs that left the queue and are not forgotten."""
        for run in find_runs(jobs):
            yield from self._left("cluster=? AND proc BETWEEN ? AND ?", run)

    def list_left(self, before: LeftJob | None, limit: int) -> list[LeftJob]:
        """Return jobs of the history, the last that left the queue first.

        :param before: only those that left before this one; None: all
        :param limit: so many at most
        """
        last = (math.inf, 0, 0) if before is None else (before.left_at, *before.id)
        order = "ORDER BY left_at DESC, cluster DESC, proc DESC LIMIT ?"
        return list(self._left(f"(left_at, cluster, proc) < (?,?,?) {order}", (*last, limit)))

    def _left(self, which: str, values: Sequence[object]) -> Iterator[LeftJob]:
        columns = f"left_at, cluster, proc, {AD_COLUMNS}"
        query = f"SELECT {columns} FROM jobs WHERE in_queue=0 AND {which}"  # noqa: S608
        for row in self._db.execute(query, values):
            yield LeftJob(row[0], JobId(row[1], row[2]), decode_ad(row, self._dictionaries))

    def count_jobs(self, owner: str | None = None) -> Mapping[int, int]:
        """Return the number of jobs in the queue by JobStatus, of one owner or of all."""
        if self._counts is None:
            self._counts = {}
            for status, name, number in self._db.execute(
                "SELECT status, owner, number FROM counts WHERE in_queue=1 AND number>0"
            ):
                # ClassAds compare names without regard to case
                for whose in ("", name.lower()):
                    of_owner = self._counts.setdefault(whose, {})
                    of_owner[status] = of_owner.get(status, 0) + number
        return self._counts.get("" if owner is None else owner.lower(), {})

    def count_queued_before(self, job: JobId) -> int | None:
        """Return how many idle jobs of its pool were queued before this; None: it is not queued."""
        queued = f"in_queue=1 AND status={IDLE} AND queued=1"
        found = self._db.execute(
            "SELECT (SELECT count(*) FROM jobs AS other "  # noqa: S608
            f"WHERE {queued} AND pool=asked.pool AND submitted<asked.submitted) "
            f"FROM jobs AS asked WHERE cluster=? AND proc=? AND {queued}",
            (job.cluster, job.proc),
        ).fetchone()
        return found and int(found[0])

    def read_slots(self) -> Iterator[Ad]:
        """Yield the machine ads of the workers that wait for a job or run one."""
        return self._slots(self._busy())

    def _busy(self) -> Iterator[tuple[str, Ad]]:
        query = (
            f"SELECT worker, {AD_COLUMNS} FROM jobs "  # noqa: S608
            "WHERE in_queue=1 AND worker<>'' ORDER BY cluster, proc"
        )
        for row in self._db.execute(query):
            yield row[0], decode_ad(row, self._dictionaries)

    def _ads(
        self,
        source: str,
        order: str,
        values: Sequence[object] = (),
        file_waits: Mapping[int, str] | None = None,
    ) -> Iterator[Ad]:
        """Yield the whole ads, of running jobs with what is known of them besides."""
        columns = f"{AD_COLUMNS.removesuffix('ad')}CASE WHEN length(ad)<={_SMALL_AD} THEN ad END"
        query = f"SELECT uid, {columns} FROM {source} ORDER BY {order}"  # noqa: S608
        cursor = self._db.execute(query, values)
        while rows := cursor.fetchmany(_ROWS):
            for row in rows:
                uid, cluster, proc, status = row[:4]
                if row[-1] is None:
                    row = (*row[:-1], self._read_large_ad(cluster, proc))
                ad = decode_ad(row, self._dictionaries)
                if status in _RUNS and (live := self._live(JobId(int(cluster), int(proc)))):
                    ad.update(live)
                if file_waits and uid in file_waits:
                    ad["ThymeWaitingFor"] = quote(file_waits[uid])
                yield ad
                self.pause()

    def _read_large_ad(self, cluster: str, proc: str) -> bytes:
        query = "SELECT ad FROM jobs WHERE cluster=? AND proc=?"
        ad: bytes = self._db.execute(query, (int(cluster), int(proc))).fetchone()[0]
        return ad


def _among(column: str, numbers: Collection[int] | None) -> str:
    if numbers is None or len(numbers) > _MAX_VALUES:
        return ""
    return f" AND {column} IN ({','.join(str(int(each)) for each in numbers)})"
