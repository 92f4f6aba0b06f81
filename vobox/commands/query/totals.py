"""The lines ``Total for ...`` below condor_q's tables."""

from __future__ import annotations

from collections.abc import Mapping

from vobox.classad.ad import Ad
from vobox.jobs.status import (
    COMPLETED,
    HELD,
    IDLE,
    REMOVED,
    RUNNING,
    SUSPENDED,
    TRANSFERRING_OUTPUT,
)


def count_running(counts: Mapping[int, int]) -> int:
    """Return how many jobs run, including those that send their output back."""
    return counts.get(RUNNING, 0) + counts.get(TRANSFERRING_OUTPUT, 0)


def _name_counts(counts: Mapping[int, int]) -> dict[str, int]:
    """Name the counts, in HTCondor's order."""
    return {
        "completed": counts.get(COMPLETED, 0),
        "removed": counts.get(REMOVED, 0),
        "idle": counts.get(IDLE, 0),
        "running": count_running(counts),
        "held": counts.get(HELD, 0),
        "suspended": counts.get(SUSPENDED, 0),
    }


def render_totals_line(whose: str, counts: Mapping[int, int]) -> str:
    """Render ``Total for WHOSE: 3 jobs; 0 completed, ...``, without newline."""
    parts = _name_counts(counts)
    details = ", ".join(f"{number} {state}" for state, number in parts.items())
    return f"Total for {whose}: {sum(parts.values())} jobs; {details}"


def build_summary_ad(
    query: Mapping[int, int], users: Mapping[int, int], everybody: Mapping[int, int]
) -> Ad:
    """Return the ad of ``-totals -json``: of the query, of the user (My), of all (Allusers).

    Names as in HTCondor's LiveJobCounters; DIRAC reads Idle and Running.
    """
    ad = Ad({"MyType": '"Summary"'})
    for prefix, counts in (("", query), ("My", users), ("Allusers", everybody)):
        parts = _name_counts(counts)
        ad[prefix + "Jobs"] = str(sum(parts.values()))
        for state, number in parts.items():
            ad[prefix + state.capitalize()] = str(number)
    return ad


def render_footer(
    query: Mapping[int, int], user: str, users: Mapping[int, int], everybody: Mapping[int, int]
) -> str:
    """Render the three totals; the first two lines end in a blank, as HTCondor's do.

    :param query: JobStatus → number of jobs, of those selected
    :param user: whose jobs ``users`` counts
    :param everybody: the counts of all users
    """
    return (
        f"{render_totals_line('query', query)} \n"
        f"{render_totals_line(user, users)} \n"
        f"{render_totals_line('all users', everybody)}\n"
    )
