"""The readers' side of the ledger: one snapshot of it, for one query, in one thread.

All that one command prints comes from one read transaction: the events that
are folded meanwhile are in it all or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thyme.job import JobId

from .ads import Ad
from .conditions import COLUMNS, Condition
from .status import RUNNING, SUSPENDED
from .templates import Templates

#: What is known of a running job beyond the ledger: attribute → expression text.
Live = Callable[[JobId], Mapping[str, str]]
#: The slots' ads, given the workers that have a job, with the job's ad.
Slots = Callable[[Iterable[tuple[str, Ad]]], Iterator[Ad]]
#: Clusters that fit one statement; of more, all jobs are read.
_MAX_CLUSTERS = 5000
#: Rows read between two pauses: some milliseconds.
_ROWS = 500
#: The same where SQLite makes the text.
_TEXTS = 10_000
_NO_LIMIT = 2**62
#: KiB of the file that one view keeps in memory; it reads most pages once, and there are many.
_CACHE = 256


def _nothing(_job: JobId) -> Mapping[str, str]:
    return {}


def _no_slots(_busy: Iterable[tuple[str, Ad]]) -> Iterator[Ad]:
    return iter(())


class LedgerView:
    """``rpc_types.QueueView`` on the ledger; every method raises sqlite3.Error."""

    def __init__(
        self,
        path: Path,
        schedd_name: str,
        address: str,
        trouble: str,
        slots: Slots = _no_slots,
        live: Live = _nothing,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """``pause`` is called now and then while rows are read."""
        self.schedd_name = schedd_name
        self.address = address
        self._trouble = trouble
        self._slots = slots
        self._live = live
        self._pause = pause
        self._counts: dict[str, dict[int, int]] | None = None
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0, isolation_level=None,
            # made in the thread that reads the request, used in the one that answers it
            check_same_thread=False,
        )  # fmt: skip
        try:
            self._db.execute(f"PRAGMA cache_size=-{_CACHE}")
            self._db.execute("BEGIN")
        except BaseException:
            self._db.close()
            raise
        self._templates = Templates(self._db)

    def close(self) -> None:
        self._db.close()

    def trouble(self) -> str:
        return self._trouble

    def is_plain(self) -> bool:
        return self._db.execute("SELECT 1 FROM jobs WHERE plain=0 LIMIT 1").fetchone() is None

    def jobs(
        self,
        clusters: Sequence[int] | None = None,
        names: Collection[str] | None = None,
        only: Condition | None = None,
    ) -> Iterator[Ad]:
        where, values = "in_queue=1" + _among(clusters), []  # type: tuple[str, list[int | str]]
        if only is not None:
            where += f" AND {only.sql(values)}"
        if names is not None and COLUMNS.keys() >= set(names):
            return self._columns(names, where, values)
        return self._ads(where, values, "cluster, proc")

    def texts(
        self, row: Sequence[tuple[str, str]], only: Condition, limit: int | None
    ) -> Iterator[str]:
        values: list[int | str] = []
        parts = []
        for text, attribute in row:
            values.append(text)
            parts.append(f"? || {COLUMNS[attribute][1]}" if attribute else "?")
        where = only.sql(values)
        # one step a chunk: the interpreter lock is given up and asked for at each step. Of the
        # bare columns, SQLite takes those of the row that has the maximum: the last one.
        query = (
            "SELECT group_concat(text, ''), max(number), cluster, proc FROM ("  # noqa: S608
            f"SELECT {' || '.join(parts)} AS text, row_number() OVER () AS number, cluster, proc "
            f"FROM (SELECT * FROM jobs INDEXED BY jobs_columns WHERE in_queue=1 AND {where} "
            "AND (cluster, proc) > (?, ?) ORDER BY cluster, proc LIMIT ?))"
        )
        left = _NO_LIMIT if limit is None else limit
        last = (-1, -1)
        while left > 0:
            text, number, *key = self._db.execute(
                query, (*values, *last, min(left, _TEXTS))
            ).fetchone()
            if text is None:
                return
            yield text
            left, last = left - number, (key[0], key[1])
            self._pause()

    def history(
        self, clusters: Sequence[int] | None = None, oldest_first: bool = False
    ) -> Iterator[Ad]:
        way = "" if oldest_first else " DESC"
        order = f"left_at{way}, cluster{way}, proc{way}"
        return self._ads("in_queue=0" + _among(clusters), (), order)

    def counts(self, owner: str | None = None) -> Mapping[int, int]:
        if self._counts is None:
            self._counts = {}
            for status, name, number in self._db.execute(
                "SELECT status, owner, count(*) FROM jobs WHERE in_queue=1 GROUP BY status, owner"
            ):
                # ClassAds compare names without regard to case
                for whose in ("", name.lower()):
                    of_owner = self._counts.setdefault(whose, {})
                    of_owner[status] = of_owner.get(status, 0) + number
        return self._counts.get("" if owner is None else owner.lower(), {})

    def slots(self) -> Iterator[Ad]:
        return self._slots(self._busy())

    def _busy(self) -> Iterator[tuple[str, Ad]]:
        query = (
            "SELECT worker, shape, ad FROM jobs WHERE in_queue=1 AND worker<>'' "
            "ORDER BY cluster, proc"
        )
        for worker, shape, values in self._db.execute(query):
            yield worker, self._templates.ad(shape, values)

    def _columns(
        self, names: Collection[str], where: str, values: Sequence[int | str]
    ) -> Iterator[Ad]:
        wanted = [COLUMNS[name] for name in sorted(names) or ["clusterid"]]
        shown = ", ".join(
            f"""'"' || {column} || '"'""" if kind is str else f"CAST({column} AS TEXT)"
            for _name, column, kind in wanted
        )
        spelled = [(name.lower(), name) for name, _column, _kind in wanted]
        query = f"SELECT {shown} FROM jobs WHERE {where} ORDER BY cluster, proc"  # noqa: S608
        of_items = Ad.of_items
        for row in self._rows(query, values):
            # an attribute that the job does not have is None in an ad's items, too
            yield of_items({low: (name, text) for (low, name), text in zip(spelled, row)})

    def _ads(self, where: str, values: Sequence[int | str], order: str) -> Iterator[Ad]:
        query = (
            f"SELECT cluster, proc, status, shape, ad FROM jobs WHERE {where} ORDER BY {order}"  # noqa: S608
        )
        for cluster, proc, status, shape, text in self._rows(query, values):
            ad = self._templates.ad(shape, text)
            if status in (RUNNING, SUSPENDED):
                ad.update(self._live(JobId(cluster, proc)))
            yield ad

    def _rows(self, query: str, values: Sequence[int | str]) -> Iterator[Any]:
        """All rows, with a pause for others now and then."""
        cursor = self._db.execute(query, values)
        while rows := cursor.fetchmany(_ROWS):
            yield from rows
            self._pause()


def _among(clusters: Sequence[int] | None) -> str:
    if clusters is None or len(clusters) > _MAX_CLUSTERS:
        return ""
    return f" AND cluster IN ({','.join(str(int(each)) for each in clusters)})"
