"""What came of all agents: the CE's last lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .records import ENDED, HOLDING, REMOVED, AgentRecord, Fate


@dataclass(frozen=True)
class Line:
    """One agent at the end: ``complaint`` is "" when it ended as it was meant to."""

    record: AgentRecord
    fate: Fate
    complaint: str


def summary(lines: Sequence[Line], wanted: int, seconds: float) -> list[str]:
    """The last lines to print: one for each agent to look at, then the totals."""
    text = [
        f"agent {line.record.number} ({line.record.job}, {line.record.dialect}): {line.complaint}"
        for line in lines
        if line.complaint
    ]
    ends = Counter(line.fate.outcome for line in lines if line.fate.state == ENDED)
    failed = {end: count for end, count in sorted(ends.items()) if end != "exit 0"}
    states = Counter(line.fate.state for line in lines)
    which = f" ({', '.join(f'{n} {end}' for end, n in failed.items())})" if failed else ""
    unfinished = len(lines) - states[ENDED] - states[REMOVED] - states[HOLDING]
    text.append(
        f"{len(lines)} of {wanted} agents submitted, {ends['exit 0']} completed, "
        f"{sum(failed.values())} failed{which}, {states[REMOVED]} removed, "
        f"{states[HOLDING]} held, {unfinished} unfinished in {seconds:.0f} s"
    )
    waiting = [line.record.job for line in lines if line.fate.state not in (ENDED, REMOVED)]
    if waiting:
        text.append(f"still in the queue; remove them with: condor_rm {' '.join(waiting)}")
    return text


def all_as_meant(lines: Sequence[Line], wanted: int) -> bool:
    return len(lines) == wanted and not any(line.complaint for line in lines)
