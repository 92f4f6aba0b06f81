"""condor_q's default table: one row for each batch of jobs.

A cluster's jobs are in one row, whatever their names; clusters of one owner whose first
jobs have one ``JobBatchName`` share theirs. Column widths follow the contents; nothing
should parse this table.

Job agents are clusters of one, a hundred thousand of them: a batch holds nothing but numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vobox.classad.ad import Ad, read_integer
from vobox.classad.expressions import Evaluator
from vobox.classad.literals import NOT_LITERAL, literal_value
from vobox.jobs.status import HELD, IDLE, RUNNING, SUSPENDED, TRANSFERRING_OUTPUT

from .renderers import format_date
from .tables import sanitize_cell

#: Width of BATCH_NAME at least, and where there is no row to follow.
_NAME_WIDTH = 11
_EMPTY_NAME_WIDTH = 13

#: Literals that are remembered of one query's jobs.
_MAX_CELLS: Final = 1000

#: What is asked of each job.
_ATTRIBUTES: Final = (
    "ClusterId", "ProcId", "JobStatus", "Owner", "JobBatchName", "QDate", "TotalSubmitProcs"
)  # fmt: skip


@dataclass(slots=True)
class _Batch:
    """The jobs of one owner with one batch name, or of one cluster."""

    owner: str
    name: str
    #: cluster and proc
    first: tuple[int, int]
    last: tuple[int, int]
    #: epoch seconds, of the first one
    submitted: float
    #: how many jobs there ever were in the last cluster so far, and in those before it
    procs: int
    before: int = 0
    present: int = 0
    running: int = 0
    idle: int = 0
    held: int = 0

    def add(self, job: tuple[int, int], submitted: float, procs: int, status: int) -> None:
        """Count a job; ``job``: its cluster and proc, which do not decrease from call to call."""
        if job[0] != self.last[0]:
            self.before += self.procs
            self.procs = procs
        self.last = job
        if submitted < self.submitted:
            self.submitted = submitted
        self.present += 1
        if status in (IDLE, SUSPENDED):
            self.idle += 1
        elif status in (RUNNING, TRANSFERRING_OUTPUT):
            self.running += 1
        elif status == HELD:
            self.held += 1

    def format_ids(self) -> str:
        """Return the ids of the first and the last job."""
        first = f"{self.first[0]}.{self.first[1]}"
        if self.first == self.last:
            return first
        if self.first[0] == self.last[0]:
            return f"{first}-{self.last[1]}"
        return f"{first} ... {self.last[0]}.{self.last[1]}"


def _collect_batches(
    ads: Iterable[Ad], evaluator: Evaluator, totals: Counter[int]
) -> Collection[_Batch]:
    """Return the batches in the order of their first jobs."""
    batches: dict[int | tuple[str, str], _Batch] = {}
    batch: _Batch | None = None
    #: literals → what is shown of them: thousands of jobs have the same
    cells: dict[str | None, str] = {}
    for ad in ads:
        cluster, proc, state, whose, title, queued, number = ad.get_all(_ATTRIBUTES)
        job = (read_integer(cluster), read_integer(proc))
        status = read_integer(state)
        if (owner := cells.get(whose)) is None:
            owner = _read_cell(ad, evaluator, whose, cells)
        if (name := cells.get(title)) is None:
            name = _read_cell(ad, evaluator, title, cells)
        submitted = evaluator.read_number(ad, queued)
        procs = int(evaluator.read_number(ad, number))
        totals[status] += 1
        if batch is None or batch.last[0] != job[0]:
            key = (owner, name) if name else job[0]
            batch = batches.get(key)
        if batch is None:
            shown = name or f"ID: {job[0]}"
            batch = batches[key] = _Batch(owner, shown, job, job, submitted, procs)
        batch.add(job, submitted, procs, status)
    return batches.values()


def _read_cell(ad: Ad, evaluator: Evaluator, text: str | None, cells: dict[str | None, str]) -> str:
    """Return the string as it is shown, and keep it in ``cells`` if it is the same in any ad."""
    cell = sanitize_cell(evaluator.read_string(ad, text))
    if len(cells) < _MAX_CELLS and (text is None or literal_value(text) is not NOT_LITERAL):
        cells[text] = cell
    return cell


def render_batch_table(
    ads: Iterable[Ad], evaluator: Evaluator, whole: bool, totals: Counter[int]
) -> Iterator[str]:
    """Yield the table with its header.

    :param ads: the jobs, by cluster
    :param whole: whether all jobs of the clusters are among them, so that those missing are done
    :param totals: to which the jobs are added by JobStatus, before the first line
    """
    batches = _collect_batches(ads, evaluator, totals)
    owner_width = max([5, *(len(batch.owner) for batch in batches)])
    name_width = max([_NAME_WIDTH, *(len(batch.name) + 1 for batch in batches)])
    if not batches:
        name_width = _EMPTY_NAME_WIDTH
    # The HOLD column is there when a job is held, or when there is none to look at.
    shows_held = bool(totals[HELD]) or not batches
    head = "  SUBMITTED   DONE   RUN    IDLE" + ("   HOLD " if shows_held else " ")
    yield f"{'OWNER':{owner_width}} {'BATCH_NAME':{name_width}} {head} TOTAL JOB_IDS\n"
    form = f"%-{owner_width}s %-{name_width}s %s %s %s\n"
    for batch in batches:
        total = max(batch.present, batch.before + batch.procs)
        # as with HTCondor, not those that completed and are still here
        done = total - batch.present if whole else 0
        numbers = _format_numbers(done, batch.running, batch.idle, batch.held, total, shows_held)
        date = format_date(batch.submitted)
        yield form % (batch.owner, batch.name, date, numbers, batch.format_ids())


@lru_cache(maxsize=1024)
def _format_numbers(
    done: int, running: int, idle: int, held: int, total: int, shows_held: bool
) -> str:
    held_cell = f"{held or '_':>6} " if shows_held else ""
    return f"{done or '_':>6} {running or '_':>6} {idle or '_':>6} {held_cell}{total or '_':>6}"
