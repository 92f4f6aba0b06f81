"""Decide how many agents to submit now, by AliEn's rule; pure.

Source: ``getNumberFreeSlots`` in ``common/lib/AliEn/CE.pm`` of alien-git/alien.
"""

from __future__ import annotations

from dataclasses import dataclass

from .counting import Counts


@dataclass(frozen=True)
class Limits:
    """How many agents the central services allow this site."""

    max_queued: int
    max_running: int


def count_free_slots(limits: Limits, counts: Counts) -> int:
    """Count the agents that may be added under both limits; never negative.

    As in AliEn, an unknown number of running agents means that the site is full. Here that holds
    for an unknown number of queued ones too, which the Perl takes for zero and overfills the site.
    """
    if counts.queued is None or counts.active is None:
        return 0
    return max(0, min(limits.max_queued - counts.queued, limits.max_running - counts.active))


def count_to_submit(limits: Limits, counts: Counts, submitted: int, wanted: int) -> int:
    """Count the agents to submit now; ``submitted`` of ``wanted`` were before.

    ``limits``: of the CE; ``counts``: queued and running agents, as the site says.
    """
    return min(count_free_slots(limits, counts), wanted - submitted)
