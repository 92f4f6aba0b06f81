"""The lines ``Total for ...`` below condor_q's tables."""

from __future__ import annotations

from collections.abc import Mapping

from vobox.classad.ad import Ad, quote
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
    query: Mapping[int, int],
    user: str,
    users: Mapping[int, int] | None,
    everybody: Mapping[int, int],
) -> Ad:
    """Return the ad of ``-totals -json``: of the query, of the user (My), of all (Allusers).

    Names as in HTCondor's LiveJobCounters; DIRAC reads Idle and Running. There are no jobs of the
    scheduler universe here. Parameters as of ``render_footer``.
    """
    ad = Ad({"MyType": '"Summary"', "ErrorCode": "0"})
    counted = {"": query, "Allusers": everybody}
    if users is not None:
        counted["My"] = users
        ad["MyName"] = quote(user)
    for prefix, counts in counted.items():
        parts = _name_counts(counts)
        for kind, numbers in (("", parts), ("Scheduler", dict.fromkeys(parts, 0))):
            ad[f"{prefix}{kind}Jobs"] = str(sum(numbers.values()))
            for state, number in numbers.items():
                if not (kind and state == "suspended"):
                    ad[f"{prefix}{kind}{state.capitalize()}"] = str(number)
    return ad


def render_footer(
    query: Mapping[int, int],
    user: str,
    users: Mapping[int, int] | None,
    everybody: Mapping[int, int],
) -> str:
    """Render the totals; all lines but the last end in a blank, as HTCondor's do.

    :param query: JobStatus → number of jobs, of those selected
    :param user: whose jobs ``users`` counts, as ``user@domain``
    :param users: None where the query is not for a user's own jobs: then they are not shown
    :param everybody: the counts of all users
    """
    own = "" if users is None else f"{render_totals_line(user, users)} \n"
    return (
        f"{render_totals_line('query', query)} \n{own}"
        f"{render_totals_line('all users', everybody)}\n"
    )
