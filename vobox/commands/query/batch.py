"""condor_q's default table: one row for each batch of jobs.

Jobs belong together that have one owner and one ``JobBatchName``, or else one
cluster. Column widths follow the contents; nothing should parse this table.

The jobs come by cluster, so that a cluster's row is known when the next one begins. Job agents
are clusters of one, a hundred thousand of them: of such a row only the text is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vobox.classad.ad import Ad, read_integer
from vobox.classad.expressions import Evaluator
from vobox.jobs.status import HELD, IDLE, SUSPENDED

from .renderers import format_date
from .tables import sanitize_cell
from .totals import count_running

#: Width of BATCH_NAME at least, and where there is no row to follow.
_NAME_WIDTH = 11
_EMPTY_NAME_WIDTH = 13


#: What is asked of each job.
_ATTRIBUTES: Final = (
    "ClusterId", "ProcId", "JobStatus", "Owner", "JobBatchName", "QDate", "TotalSubmitProcs"
)  # fmt: skip


@dataclass(slots=True)
class _Batch:
    """The jobs of one owner with one batch name, or of one cluster."""

    owner: str
    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    #: epoch seconds, of the first one
    submitted: float
    #: how many jobs there ever were in the last cluster so far
    procs: int
    #: JobStatus → how many jobs
    counts: dict[int, int]
    #: how many jobs there ever were in the clusters before the last one
    before: int = 0

    def add(self, job: tuple[int, int], submitted: float, procs: int, status: int) -> None:
        """Count a job; ``job``: its cluster and proc, which do not decrease from call to call."""
        if job[0] != self.last[0]:
            self.before += self.procs
        self.last = job
        self.submitted = min(self.submitted, submitted)
        self.procs = procs
        self.counts[status] = self.counts.get(status, 0) + 1

    def build_row(self, whole: bool, format_minute: Callable[[int], str]) -> str:
        """Return the row as five texts with tabs between them: owner; name; up to IDLE; HOLD; rest.

        ``whole``: no job of these clusters was left out of the query, so those missing from it
        are done. ``format_minute``: ``format_date`` of a minute since 1970.
        """
        get = self.counts.get
        present = sum(self.counts.values())
        total = max(present, self.before + self.procs) if whole else present
        done = total - present  # as with HTCondor, not those that completed and are still here
        idle = get(IDLE, 0) + get(SUSPENDED, 0)
        date = format_minute(int(self.submitted // 60))
        return (
            f"{self.owner}\t{self.name}\t{date} {done or '_':>6} "
            f"{count_running(self.counts) or '_':>6} {idle or '_':>6}\t{get(HELD) or '_':>6}\t"
            f"{total or '_':>6} {self._format_ids()}\n"
        )

    def _format_ids(self) -> str:
        first = f"{self.first[0]}.{self.first[1]}"
        if self.first == self.last:
            return first
        if self.first[0] == self.last[0]:
            return f"{first}-{self.last[1]}"
        return f"{first} ... {self.last[0]}.{self.last[1]}"


def _collect_batches(
    ads: Iterable[Ad], evaluator: Evaluator, totals: Counter[int]
) -> Iterator[tuple[_Batch, bool]]:
    """Yield every batch once, in the order of their first jobs, and whether it is complete then.

    The jobs come by cluster: a batch without a name is. One with a name is complete at the end.
    """
    named: dict[tuple[str, str], _Batch] = {}
    #: the cluster that is not complete yet, and the named batches that begin within it
    current: _Batch | None = None
    after: list[tuple[_Batch, bool]] = []
    for ad in ads:
        texts = ad.get_all(_ATTRIBUTES)
        job = (read_integer(texts[0]), read_integer(texts[1]))
        status = read_integer(texts[2])
        owner = sanitize_cell(evaluator.read_string(ad, texts[3]))
        name = sanitize_cell(evaluator.read_string(ad, texts[4]))
        submitted = evaluator.read_number(ad, texts[5])
        procs = int(evaluator.read_number(ad, texts[6]))
        totals[status] += 1
        if current is not None and (current.first[0] != job[0] or current.owner != owner):
            yield current, True
            yield from after
            current, after = None, []
        batch = named.get((owner, name)) if name else current
        if batch is not None:
            batch.add(job, submitted, procs, status)
            continue
        batch = _Batch(owner, name or f"ID: {job[0]}", job, job, submitted, procs, {status: 1})
        if not name:
            current = batch
            continue
        named[owner, name] = batch
        if current is not None:
            after.append((batch, False))
        else:
            yield batch, False
    if current is not None:
        yield current, True
        yield from after


def render_batch_table(
    ads: Iterable[Ad], evaluator: Evaluator, whole: bool, totals: Counter[int]
) -> Iterator[str]:
    """Yield the table with its header.

    :param ads: the jobs, by cluster
    :param whole: whether all jobs of the clusters are among them, so that those missing are done
    :param totals: to which the jobs are added by JobStatus, before the first line
    """
    owner_width, name_width = 5, _NAME_WIDTH
    rows: list[_Batch | str] = []
    format_minute = lru_cache(maxsize=1024)(lambda minute: format_date(minute * 60))
    for batch, is_complete in _collect_batches(ads, evaluator, totals):
        owner_width = max(owner_width, len(batch.owner))
        name_width = max(name_width, len(batch.name))
        rows.append(batch.build_row(whole, format_minute) if is_complete else batch)
    if not rows:
        name_width = _EMPTY_NAME_WIDTH
    # The HOLD column is there when a job is held, or when there is none to look at.
    shows_held = totals[HELD] or not rows
    header = "OWNER\tBATCH_NAME\t  SUBMITTED   DONE   RUN    IDLE\t  HOLD\t TOTAL JOB_IDS\n"
    for row in (header, *rows):
        text = row.build_row(whole, format_minute) if isinstance(row, _Batch) else row
        owner, name, first, held, last = text.split("\t")
        middle = f" {held} " if shows_held else " "
        yield f"{owner.ljust(owner_width)} {name.ljust(name_width)} {first}{middle}{last}"
