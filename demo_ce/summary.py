"""The summary of all agents that the CE prints at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .records import ENDED, ON_HOLD, REMOVED, AgentRecord, AgentStatus


@dataclass(frozen=True)
class AgentResult:
    """One agent at the end; ``fault`` is "" if it ended as expected."""

    record: AgentRecord
    status: AgentStatus
    fault: str


def format_summary(lines: Sequence[AgentResult], wanted: int, seconds: float) -> list[str]:
    """Format the last lines: one for each agent with a fault, then the totals.

    ``wanted``: how many agents there should be; ``seconds``: how long it took.
    """
    text = [
        f"agent {line.record.number} ({line.record.job}, {line.record.dialect}): {line.fault}"
        for line in lines
        if line.fault
    ]
    ends = Counter(line.status.outcome for line in lines if line.status.state == ENDED)
    failed = {end: count for end, count in sorted(ends.items()) if end != "exit 0"}
    states = Counter(line.status.state for line in lines)
    which = f" ({', '.join(f'{n} {end}' for end, n in failed.items())})" if failed else ""
    unfinished = len(lines) - states[ENDED] - states[REMOVED] - states[ON_HOLD]
    text.append(
        f"{len(lines)} of {wanted} agents submitted, {ends['exit 0']} completed, "
        f"{sum(failed.values())} failed{which}, {states[REMOVED]} removed, "
        f"{states[ON_HOLD]} held, {unfinished} unfinished in {seconds:.0f} s"
        + (", as they were meant to end" if failed and all_succeeded(lines, wanted) else "")
    )
    waiting = [line.record.job for line in lines if line.status.state not in (ENDED, REMOVED)]
    if waiting:
        text.append(f"still in the queue; remove them with: condor_rm {' '.join(waiting)}")
    return text


def all_succeeded(lines: Sequence[AgentResult], wanted: int) -> bool:
    """Tell whether all ``wanted`` agents were submitted and ended as expected."""
    return len(lines) == wanted and not any(line.fault for line in lines)
