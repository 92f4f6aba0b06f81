"""condor_q's default table: one row for each batch of jobs.

Jobs belong together that have one owner and one ``JobBatchName``, or else one
cluster. Column widths follow the contents; nothing should parse this table.

The jobs come by cluster, so that a cluster's row is known when the next one
begins, and is not kept: job agents are clusters of one, a hundred thousand of
them. What has a batch name is kept from a first pass for the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.jobs.status import HELD, IDLE, SUSPENDED

from .renderers import format_date
from .tables import sanitize_cell
from .totals import count_running

#: Width of BATCH_NAME at least, and where there is no row to follow.
_NAME_WIDTH = 11
_EMPTY_NAME_WIDTH = 13
#: The attributes that the table is made of.
NAMES: Final = frozenset(
    {"clusterid", "procid", "owner", "jobbatchname", "jobstatus", "qdate", "totalsubmitprocs"}
)


@dataclass(slots=True)
class _Batch:
    """The jobs of one owner with one batch name, or of one cluster."""

    owner: str
    name: str
    submitted: float
    first: tuple[int, int]
    last: tuple[int, int]
    counts: dict[int, int] = field(default_factory=dict)
    #: how many jobs there ever were in the clusters so far, the last one left out
    before: int = 0
    #: and in the last one
    procs: int = 0

    def add(self, job: tuple[int, int], ad: Ad, evaluator: Evaluator) -> None:
        """Count a job; ``job``: its cluster and proc, which do not decrease from call to call."""
        if job[0] != self.last[0]:
            self.before, self.procs = self.before + self.procs, 0
        self.last = job
        self.submitted = min(self.submitted, evaluator.number(ad, "QDate"))
        status = ad.number("JobStatus")
        self.counts[status] = self.counts.get(status, 0) + 1
        self.procs = int(evaluator.number(ad, "TotalSubmitProcs"))

    def count_cells(self, whole: bool) -> tuple[str, list[str]]:
        """Return JOB_IDS, and DONE RUN IDLE HOLD TOTAL.

        ``whole``: no job of these clusters was left out of the query, so those
        missing from it are done.
        """
        counts = self.counts
        present = sum(counts.values())
        total = max(present, self.before + self.procs) if whole else present
        done = total - present  # as with HTCondor, not those that completed and are still here
        idle = counts.get(IDLE, 0) + counts.get(SUSPENDED, 0)
        numbers = [done, count_running(counts), idle, counts.get(HELD, 0), total]
        return self._format_ids(), [str(number) if number else "_" for number in numbers]

    def _format_ids(self) -> str:
        first = f"{self.first[0]}.{self.first[1]}"
        if self.first == self.last:
            return first
        if self.first[0] == self.last[0]:
            return f"{first}-{self.last[1]}"
        return f"{first} ... {self.last[0]}.{self.last[1]}"


class _Batches:
    """Collects the batches of jobs that come ordered by cluster."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        #: the batches with a name, complete after the first pass
        self.named: dict[tuple[str, str], _Batch] = {}

    def iterate_complete(self, ads: Iterable[Ad]) -> Iterator[_Batch]:
        """Yield all batches, each once, when it is complete."""
        current: _Batch | None = None
        for job, owner, name, ad in map(self._identify, ads):
            if name:
                batch = self._get_named(job, owner, name, ad)
            else:
                if current is None or (current.owner, current.first[0]) != (owner, job[0]):
                    if current is not None:
                        yield current
                    current = self._make_batch(job, owner, f"ID: {job[0]}", ad)
                batch = current
            batch.add(job, ad, self._evaluator)
        if current is not None:
            yield current
        yield from self.named.values()

    def iterate_in_order(self, ads: Iterable[Ad]) -> Iterator[_Batch]:
        """Yield all batches in the order of their first jobs, each once, complete."""
        current: _Batch | None = None
        after: list[_Batch] = []  # named ones that begin within the cluster of ``current``
        for job, owner, name, ad in map(self._identify, ads):
            if current is not None and (current.owner, current.first[0]) != (owner, job[0]):
                yield from (current, *after)
                current, after = None, []
            if name:
                batch = self.named[owner, name]
                if batch.first == job:
                    after.append(batch)
                if current is None:
                    yield from after
                    after = []
                continue
            if current is None:
                current = self._make_batch(job, owner, f"ID: {job[0]}", ad)
            current.add(job, ad, self._evaluator)
        if current is not None:
            yield from (current, *after)

    def _identify(self, ad: Ad) -> tuple[tuple[int, int], str, str, Ad]:
        job = (ad.number("ClusterId"), ad.number("ProcId"))
        string = self._evaluator.string
        return (
            job,
            sanitize_cell(string(ad, "Owner")),
            sanitize_cell(string(ad, "JobBatchName")),
            ad,
        )

    def _make_batch(self, job: tuple[int, int], owner: str, name: str, ad: Ad) -> _Batch:
        return _Batch(owner, name, self._evaluator.number(ad, "QDate"), job, job)

    def _get_named(self, job: tuple[int, int], owner: str, name: str, ad: Ad) -> _Batch:
        known = self.named.get((owner, name))
        if known is None:
            known = self.named[owner, name] = self._make_batch(job, owner, name, ad)
        return known


def render_batch_table(
    find: Callable[[], Iterable[Ad]], evaluator: Evaluator, whole: bool
) -> Iterator[str]:
    """Yield the table with its header.

    :param find: returns the same jobs each time it is called
    :param whole: whether all jobs of the clusters are among them, so that those missing are done
    """
    batches = _Batches(evaluator)
    owner_width, name_width, any_held, any_row = 5, _NAME_WIDTH, False, False
    for batch in batches.iterate_complete(find()):
        any_row = True
        owner_width = max(owner_width, len(batch.owner))
        name_width = max(name_width, len(batch.name))
        any_held = any_held or batch.counts.get(HELD, 0) > 0
    if not any_row:
        name_width = _EMPTY_NAME_WIDTH
    # The HOLD column is there when a job is held, or when there is none to look at.
    shown = slice(None) if any_held or not any_row else slice(-1)

    def numbers(done: str, run: str, idle: str, hold: str, total: str) -> str:
        cells = [done, run, idle, hold][shown]
        return " ".join(f"{number:>6}" for number in [*cells, total])

    yield (
        f"{'OWNER':<{owner_width}} {'BATCH_NAME':<{name_width}} {'SUBMITTED':>11} "
        f"{numbers('DONE', 'RUN ', 'IDLE', 'HOLD', 'TOTAL')} JOB_IDS\n"
    )
    if not any_row:
        return
    for batch in batches.iterate_in_order(find()):
        ids, cells = batch.count_cells(whole)
        yield (
            f"{batch.owner:<{owner_width}} {batch.name:<{name_width}} "
            f"{format_date(batch.submitted)} {numbers(*cells)} {ids}\n"
        )
