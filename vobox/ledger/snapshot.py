"""The readers' side of the ledger: one snapshot of it, for one query, in one thread.

All that one command prints comes from one read transaction: the events that
are folded meanwhile are in it all or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, Items
from vobox.classad.expressions import Evaluator, compile_expression
from vobox.jobs.status import RUNNING, SUSPENDED

from .ad_shapes import Part, common, part
from .ad_templates import Templates
from .constraint_function import Tester
from .sql_conditions import COLUMNS, Alike, Condition, Groups, Tested, Values

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
#: More than any job has beside it in its cluster: cluster and proc as one number.
_PROCS = 2**31
#: Shapes looked at for what all their jobs have in common, and groups of jobs that are alike.
_MOST_SHAPES, _MOST_GROUPS = 1000, 200
#: Columns by which jobs are grouped: the others differ in each.
GROUPED = frozenset({"jobstatus", "owner", "jobbatchname", "totalsubmitprocs"})
#: KiB of the file that one view keeps in memory; it reads most pages once, and there are many.
_CACHE = 256


def _nothing(_job: JobId) -> Mapping[str, str]:
    return {}


def _no_slots(_busy: Iterable[tuple[str, Ad]]) -> Iterator[Ad]:
    return iter(())


class LedgerView:
    """``vobox.rpc.types.QueueView`` on the ledger; every method raises sqlite3.Error."""

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
        #: of functions that the database is given
        self._number = count()
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
        where, values = "in_queue=1" + _among(clusters), []  # type: tuple[str, Values]
        if only is not None:
            where += f" AND {only.sql(values)}"
        if names is not None and COLUMNS.keys() >= set(names):
            return self._columns(names, where, values)
        if names is not None and (parts := self._parts(names)) is not None:
            return self._parts_of_ads(parts, names, where, values)
        return self._ads(where, values, "cluster, proc")

    def groups(self, names: Collection[str]) -> Groups | None:
        shapes = self._templates.shapes(_MOST_SHAPES)
        if shapes is None:
            return None
        reaching = {
            number: common(self._templates.shape(number), names, GROUPED) for number in shapes
        }
        if not any(found is not None for found in reaching.values()):
            return None
        looked_at: set[str] = set().union(*(found or () for found in reaching.values()))
        grouped = sorted(looked_at & GROUPED)
        columns = ", ".join(["shape", *(COLUMNS[name][1] for name in grouped)])
        rows = self._db.execute(
            f"SELECT DISTINCT {columns} FROM jobs INDEXED BY jobs_columns "  # noqa: S608
            f"WHERE in_queue=1 LIMIT {_MOST_GROUPS + 1}"
        ).fetchall()
        if len(rows) > _MOST_GROUPS:
            return None
        found = Groups([], [])
        for number, *values in rows:
            if reaching[number] is None:
                found.others.append(Alike(number))
                continue
            of_columns = tuple(zip(grouped, values, strict=True))
            items: Items = {name: (COLUMNS[name][0], _said(value)) for name, value in of_columns}
            ad = Ad.of_items(items, self._templates.shape(number).template)
            found.alike.append((Alike(number, of_columns), ad))
        return found

    def tested(self, constraint: str, evaluator: Evaluator) -> Condition | None:
        compiled = compile_expression(constraint)
        parts = None if compiled.unbounded else self._parts(compiled.names)
        if parts is None:
            return None
        reached: set[str] = set().union(*(each.reached for each in parts.values()))
        if any(name in evaluator.extra for name in reached):
            return None
        columns = tuple(sorted(reached & COLUMNS.keys()))
        made = Tested(f"tested_{next(self._number)}", columns)
        tester = Tester(constraint, evaluator, parts, columns, self._ad)
        # what it is given: the row, and the columns (``Tested.sql``)
        self._db.create_function(made.function, 5 + len(columns), tester)
        return made

    def texts(
        self, row: Sequence[tuple[str, str]], only: Condition, limit: int | None
    ) -> Iterator[str]:
        values: Values = []
        parts = []
        for text, attribute in row:
            values.append(text)
            parts.append(f"? || {COLUMNS[attribute][1]}" if attribute else "?")
        where = only.sql(values)
        # one step a chunk: the interpreter lock is given up and asked for at each step
        query = (
            "SELECT group_concat(text, ''), count(*), max(place) FROM ("  # noqa: S608
            f"SELECT {' || '.join(parts)} AS text, cluster * {_PROCS} + proc AS place "
            f"FROM jobs INDEXED BY jobs_columns WHERE in_queue=1 AND {where} "
            "AND (cluster, proc) > (?, ?) ORDER BY cluster, proc LIMIT ?)"
        )
        left = _NO_LIMIT if limit is None else limit
        last = (-1, -1)
        while left > 0:
            text, number, place = self._db.execute(
                query, (*values, *last, min(left, _TEXTS))
            ).fetchone()
            if text is None:
                return
            yield text
            left, last = left - number, divmod(place, _PROCS)
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
                "SELECT status, owner, number FROM counts WHERE in_queue=1 AND number>0"
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
        self, names: Collection[str], where: str, values: Sequence[int | str | None]
    ) -> Iterator[Ad]:
        wanted = [COLUMNS[name] for name in sorted(names) or ["clusterid"]]
        shown = ", ".join(_shown(name.lower()) for name, _column, _kind in wanted)
        spelled = [(name.lower(), name) for name, _column, _kind in wanted]
        query = f"SELECT {shown} FROM jobs WHERE {where} ORDER BY cluster, proc"  # noqa: S608
        of_items = Ad.of_items
        for row in self._rows(query, values):
            # an attribute that the job does not have is None in an ad's items, too
            yield of_items({low: (name, text) for (low, name), text in zip(spelled, row)})

    def _parts(self, names: Collection[str]) -> dict[int, Part] | None:
        """Of each shape what these names need; None: whole ads are needed."""
        shapes = self._templates.shapes(_MOST_SHAPES)
        if shapes is None:
            return None
        parts = {number: part(self._templates.shape(number), names, COLUMNS) for number in shapes}
        known = {number: each for number, each in parts.items() if each is not None}
        return known if len(known) == len(parts) else None

    def _parts_of_ads(
        self,
        parts: Mapping[int, Part],
        names: Collection[str],
        where: str,
        values: Sequence[int | str | None],
    ) -> Iterator[Ad]:
        wanted = set(names).union(*(each.reached for each in parts.values()))
        columns = sorted(wanted & COLUMNS.keys()) or ["clusterid"]
        spelled = [(low, COLUMNS[low][0]) for low in columns]
        # the index on columns is a sixth of the table
        text = "ad" if any(each.own for each in parts.values()) else "''"
        query = (
            f"SELECT shape, {text}, cluster, proc, {', '.join(map(_shown, columns))} FROM jobs "  # noqa: S608
            f"WHERE {where} ORDER BY cluster, proc"
        )
        for shape, row, cluster, proc, *shown in self._rows(query, values):
            items: Items = {low: (name, text) for (low, name), text in zip(spelled, shown)}
            ad = parts[shape].ad(items, row)
            yield self._whole(JobId(cluster, proc)) if ad is None else ad

    def _whole(self, job: JobId) -> Ad:
        (ad,) = self._ads("cluster=? AND proc=?", tuple(job), "cluster")
        return ad

    def _ads(self, where: str, values: Sequence[int | str | None], order: str) -> Iterator[Ad]:
        query = f"SELECT cluster, proc, status, shape, ad FROM jobs WHERE {where} ORDER BY {order}"  # noqa: S608
        for cluster, proc, status, shape, text in self._rows(query, values):
            yield self._ad(JobId(cluster, proc), status, shape, text)

    def _ad(self, job: JobId, status: int, shape: int, row: str) -> Ad:
        """The whole ad; of a running job with what is known of it besides."""
        ad = self._templates.ad(shape, row)
        if status in (RUNNING, SUSPENDED):
            ad.update(self._live(job))
        return ad

    def _rows(self, query: str, values: Sequence[int | str | None]) -> Iterator[Any]:
        """All rows, with a pause for others now and then."""
        cursor = self._db.execute(query, values)
        while rows := cursor.fetchmany(_ROWS):
            yield from rows
            self._pause()


def _shown(attribute: str) -> str:
    """A column as the ad says it, in SQL."""
    _name, column, kind = COLUMNS[attribute]
    return f"""'"' || {column} || '"'""" if kind is str else f"CAST({column} AS TEXT)"


def _said(value: int | str | None) -> str | None:
    """The same of a value that was read."""
    return f'"{value}"' if isinstance(value, str) else None if value is None else str(value)


def _among(clusters: Sequence[int] | None) -> str:
    if clusters is None or len(clusters) > _MAX_CLUSTERS:
        return ""
    return f" AND cluster IN ({','.join(str(int(each)) for each in clusters)})"
