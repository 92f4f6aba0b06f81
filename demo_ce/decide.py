"""How many agents to submit now: AliEn's rule, as a pure function.

Source: ``getNumberFreeSlots`` in ``common/lib/AliEn/CE.pm`` of alien-git/alien.
"""

from __future__ import annotations

from dataclasses import dataclass

from .counting import Counts


@dataclass(frozen=True)
class Limits:
    """What the central services allow this site, in agents."""

    max_queued: int
    max_running: int


def free_slots(limits: Limits, counts: Counts) -> int:
    """Agents that both limits leave room for; never negative.

    AliEn takes an unknown number of running agents for a full site. The same
    is done here for an unknown number of queued ones, where the Perl would
    count them as none and overfill the site.
    """
    if counts.queued is None or counts.active is None:
        return 0
    return max(0, min(limits.max_queued - counts.queued, limits.max_running - counts.active))


def to_submit(limits: Limits, counts: Counts, submitted: int, wanted: int) -> int:
    """How many of the ``wanted`` agents go in now, ``submitted`` of them being in already."""
    return min(free_slots(limits, counts), wanted - submitted)
