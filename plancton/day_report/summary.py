"""Add up a day: core-hours, shares and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .ring import REASONS, Minute


@dataclass(frozen=True)
class DaySummary:
    """The sums over the minutes that are known; core-hours are None where nothing is."""

    minutes: int  #: that are known at all
    owner: float | None
    harvested: float | None
    idle: float | None
    started: int
    evicted: int
    ended: int
    failed: int
    no_work: int
    #: evictions by reason, those that happened
    reasons: Mapping[str, int]
    #: core-hours of the pilots that ended with success; None where nothing is known of any pilot
    finished: float | None
    #: core-hours that pilots used and that ended in no finished job
    unfinished: float
    #: CPU-minutes that unprotected pilots took from the owner; None: not known
    squeezed: float | None

    @property
    def share(self) -> float | None:
        """The share of the CPU that the owner left which pilots used."""
        if self.harvested is None or self.idle is None or self.harvested + self.idle <= 0.0:
            return None
        return self.harvested / (self.harvested + self.idle)


def summarise(rows: Sequence[Minute]) -> DaySummary:
    """Add up the rows of a day."""
    known = [
        row.values for row in rows if {"ncpus", "owner_cpus", "pilots_cpus"} <= set(row.values)
    ]
    owner = sum(row["owner_cpus"] for row in known) / 60.0 if known else None
    harvested = sum(row["pilots_cpus"] for row in known) / 60.0 if known else None
    idle = None
    if known:
        left = (row["ncpus"] - row["owner_cpus"] - row["pilots_cpus"] for row in known)
        idle = sum(max(0.0, one) for one in left) / 60.0

    felt = [row.values["owner_squeezed"] for row in rows if "owner_squeezed" in row.values]
    done = [
        row.values["finished_cpu_seconds"] for row in rows if "finished_cpu_seconds" in row.values
    ]

    def total(*names: str) -> int:
        return round(sum(row.values.get(name, 0.0) for row in rows for name in names))

    return DaySummary(
        minutes=len(rows),
        owner=owner,
        harvested=harvested,
        idle=idle,
        started=total("started"),
        evicted=total("evicted"),
        ended=total("ended_normal", "ended_no_work", "ended_failure", "ended_other"),
        failed=total("ended_failure"),
        no_work=total("ended_no_work"),
        reasons={reason: total(name) for name, reason in REASONS.items() if total(name)},
        finished=sum(done) / 3600.0 if done else None,
        unfinished=sum(row.values.get("evicted_cpu_seconds", 0.0) for row in rows) / 3600.0,
        squeezed=sum(felt) if felt else None,
    )
