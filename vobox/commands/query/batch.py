"""condor_q's default table: one row for each batch of jobs.

Jobs belong together that have one owner and one ``JobBatchName``, or else one
cluster. Column widths follow the contents; nothing should parse this table.

The jobs come by cluster, so that a cluster's row is known when the next one begins. Job agents
are clusters of one, a hundred thousand of them: of such a row only the text is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.jobs.status import HELD, IDLE, SUSPENDED

from .renderers import format_date
from .tables import sanitize_cell
from .totals import count_running

#: Width of BATCH_NAME at least, and where there is no row to follow.
_NAME_WIDTH = 11
_EMPTY_NAME_WIDTH = 13


@dataclass(slots=True)
class _Batch:
    """The jobs of one owner with one batch name, or of one cluster."""

    owner: str
    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    has_name: bool
    counts: dict[int, int] = field(default_factory=dict)
    #: how many jobs there ever were in the clusters so far, the last one left out
    before: int = 0
    #: and in the last one
    procs: int = 0
    #: epoch seconds, of the first one
    submitted: float = math.inf

    def add(self, job: tuple[int, int], ad: Ad, evaluator: Evaluator) -> None:
        """Count a job; ``job``: its cluster and proc, which do not decrease from call to call."""
        if job[0] != self.last[0]:
            self.before, self.procs = self.before + self.procs, 0
        self.last = job
        self.submitted = min(self.submitted, evaluator.number(ad, "QDate"))
        status = ad.number("JobStatus")
        self.counts[status] = self.counts.get(status, 0) + 1
        self.procs = int(evaluator.number(ad, "TotalSubmitProcs"))

    def build_row(self, whole: bool) -> tuple[str, ...]:
        """Return the cells: owner, name, date; DONE RUN IDLE HOLD TOTAL; JOB_IDS.

        ``whole``: no job of these clusters was left out of the query, so those missing from it
        are done.
        """
        counts = self.counts
        present = sum(counts.values())
        total = max(present, self.before + self.procs) if whole else present
        done = total - present  # as with HTCondor, not those that completed and are still here
        idle = counts.get(IDLE, 0) + counts.get(SUSPENDED, 0)
        numbers = (done, count_running(counts), idle, counts.get(HELD, 0), total)
        texts = [str(number) if number else "_" for number in numbers]
        return (self.owner, self.name, format_date(self.submitted), *texts, self._format_ids())

    def _format_ids(self) -> str:
        first = f"{self.first[0]}.{self.first[1]}"
        if self.first == self.last:
            return first
        if self.first[0] == self.last[0]:
            return f"{first}-{self.last[1]}"
        return f"{first} ... {self.last[0]}.{self.last[1]}"


def _collect_batches(ads: Iterable[Ad], evaluator: Evaluator) -> Iterator[_Batch]:
    """Yield every batch once, in the order of their first jobs, which come by cluster.

    One without a name is complete then; one with a name is complete at the end.
    """
    named: dict[tuple[str, str], _Batch] = {}
    #: the cluster that is not complete yet, and the named batches that begin within it
    current: _Batch | None = None
    after: list[_Batch] = []
    for ad in ads:
        job = (ad.number("ClusterId"), ad.number("ProcId"))
        owner = sanitize_cell(evaluator.string(ad, "Owner"))
        name = sanitize_cell(evaluator.string(ad, "JobBatchName"))
        if current is not None and (current.first[0] != job[0] or current.owner != owner):
            yield from (current, *after)
            current, after = None, []
        batch = named.get((owner, name)) if name else current
        if batch is None:
            batch = _Batch(owner, name or f"ID: {job[0]}", job, job, bool(name))
            if not name:
                current = batch
            else:
                named[owner, name] = batch
                if current is not None:
                    after.append(batch)
                else:
                    yield batch
        batch.add(job, ad, evaluator)
    if current is not None:
        yield from (current, *after)


def render_batch_table(ads: Iterable[Ad], evaluator: Evaluator, whole: bool) -> Iterator[str]:
    """Yield the table with its header.

    :param ads: the jobs, by cluster
    :param whole: whether all jobs of the clusters are among them, so that those missing are done
    """
    owner_width, name_width, any_held = 5, _NAME_WIDTH, False
    rows: list[_Batch | str] = []
    for batch in _collect_batches(ads, evaluator):
        rows.append(batch if batch.has_name else "\t".join(batch.build_row(whole)))
        owner_width = max(owner_width, len(batch.owner))
        name_width = max(name_width, len(batch.name))
        any_held = any_held or HELD in batch.counts
    any_held = any_held or any(isinstance(row, _Batch) and HELD in row.counts for row in rows)
    if not rows:
        name_width = _EMPTY_NAME_WIDTH
    # The HOLD column is there when a job is held, or when there is none to look at.
    shows_held = any_held or not rows

    def hold(text: str) -> str:
        return f" {text:>6}" if shows_held else ""

    yield (
        f"{'OWNER':<{owner_width}} {'BATCH_NAME':<{name_width}} {'SUBMITTED':>11} "
        f"{'DONE':>6} {'RUN ':>6} {'IDLE':>6}{hold('HOLD')} {'TOTAL':>6} JOB_IDS\n"
    )
    for row in rows:
        cells = row.build_row(whole) if isinstance(row, _Batch) else row.split("\t")
        owner, name, submitted, done, run, idle, held, total, ids = cells
        yield (
            f"{owner:<{owner_width}} {name:<{name_width}} {submitted} "
            f"{done:>6} {run:>6} {idle:>6}{hold(held)} {total:>6} {ids}\n"
        )
