"""condor_q's default table: one row for the jobs that belong together.

Jobs belong together that have one owner and one ``JobBatchName``, or else one
cluster. Column widths follow the contents; nothing should parse this table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from vobox.ads import Ad
from vobox.status import COMPLETED, HELD, IDLE

from .expressions import Evaluator
from .tables import cell
from .times import short_date
from .totals import running

#: Width of BATCH_NAME at least, and where there is no row to follow.
_NAME_WIDTH = 11
_EMPTY_NAME_WIDTH = 13


@dataclass
class _Batch:
    owner: str
    name: str
    submitted: float
    first: tuple[int, int]
    last: tuple[int, int]
    counts: Counter[int] = field(default_factory=Counter)
    #: cluster → how many jobs were ever in it
    clusters: dict[int, int] = field(default_factory=dict)

    def add(self, ad: Ad, evaluator: Evaluator) -> None:
        job = (ad.number("ClusterId"), ad.number("ProcId"))
        self.first, self.last = min(self.first, job), max(self.last, job)
        self.submitted = min(self.submitted, evaluator.number(ad, "QDate"))
        self.counts[ad.number("JobStatus")] += 1
        self.clusters[job[0]] = int(evaluator.number(ad, "TotalSubmitProcs"))

    def cells(self, whole: bool) -> tuple[str, list[str]]:
        """JOB_IDS, and DONE RUN IDLE HOLD TOTAL.

        ``whole``: no job of these clusters was left out of the query, so those
        missing from it are done.
        """
        present = self.counts.total()
        total = max(present, sum(self.clusters.values())) if whole else present
        done = total - present + self.counts[COMPLETED]
        numbers = [done, running(self.counts), self.counts[IDLE], self.counts[HELD], total]
        return self._ids(), [str(number) if number else "_" for number in numbers]

    def _ids(self) -> str:
        first = f"{self.first[0]}.{self.first[1]}"
        if self.first == self.last:
            return first
        if self.first[0] == self.last[0]:
            return f"{first}-{self.last[1]}"
        return f"{first} ... {self.last[0]}.{self.last[1]}"


def batch_table(ads: Iterable[Ad], evaluator: Evaluator, whole: bool) -> str:
    """The table with its header; ``whole`` as in ``_Batch.cells``."""
    batches: dict[tuple[str, str], _Batch] = {}
    for ad in ads:
        job = (ad.number("ClusterId"), ad.number("ProcId"))
        owner = cell(evaluator.string(ad, "Owner"))
        name = cell(evaluator.string(ad, "JobBatchName")) or f"ID: {job[0]}"
        submitted = evaluator.number(ad, "QDate")
        batch = batches.setdefault((owner, name), _Batch(owner, name, submitted, job, job))
        batch.add(ad, evaluator)
    any_held = any(batch.counts[HELD] for batch in batches.values())
    owner_width = max([5, *(len(batch.owner) for batch in batches.values())])
    name_width = max([_NAME_WIDTH, *(len(batch.name) for batch in batches.values())])
    if not batches:
        name_width = _EMPTY_NAME_WIDTH
    # The HOLD column is there when a job is held, or when there is none to look at.
    shown = slice(None) if any_held or not batches else slice(-1)

    def numbers(done: str, run: str, idle: str, hold: str, total: str) -> str:
        cells = [done, run, idle, hold][shown]
        return " ".join(f"{number:>6}" for number in [*cells, total])

    lines = [
        f"{'OWNER':<{owner_width}} {'BATCH_NAME':<{name_width}} {'SUBMITTED':>11} "
        f"{numbers('DONE', 'RUN ', 'IDLE', 'HOLD', 'TOTAL')} JOB_IDS\n"
    ]
    for batch in batches.values():
        ids, cells = batch.cells(whole)
        lines.append(
            f"{batch.owner:<{owner_width}} {batch.name:<{name_width}} "
            f"{short_date(batch.submitted)} {numbers(*cells)} {ids}\n"
        )
    return "".join(lines)
