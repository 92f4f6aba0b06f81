"""The lines ``Total for ...`` below condor_q's tables."""

from __future__ import annotations

from collections.abc import Mapping

from vobox.status import (
    COMPLETED,
    HELD,
    IDLE,
    REMOVED,
    RUNNING,
    SUSPENDED,
    TRANSFERRING_OUTPUT,
)


def running(counts: Mapping[int, int]) -> int:
    """Jobs that hold a pilot and run; one that sends its output home counts as running."""
    return counts.get(RUNNING, 0) + counts.get(TRANSFERRING_OUTPUT, 0)


def totals_line(whose: str, counts: Mapping[int, int]) -> str:
    """``Total for WHOSE: 3 jobs; 0 completed, ...``, without newline."""
    parts = [
        (counts.get(COMPLETED, 0), "completed"),
        (counts.get(REMOVED, 0), "removed"),
        (counts.get(IDLE, 0), "idle"),
        (running(counts), "running"),
        (counts.get(HELD, 0), "held"),
        (counts.get(SUSPENDED, 0), "suspended"),
    ]
    total = sum(number for number, _ in parts)
    details = ", ".join(f"{number} {state}" for number, state in parts)
    return f"Total for {whose}: {total} jobs; {details}"


def footer(
    query: Mapping[int, int], user: str, users: Mapping[int, int], everybody: Mapping[int, int]
) -> str:
    """The three totals; the first two lines end in a blank, as HTCondor's do."""
    return (
        f"{totals_line('query', query)} \n"
        f"{totals_line(user, users)} \n"
        f"{totals_line('all users', everybody)}\n"
    )
