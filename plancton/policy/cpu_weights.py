"""How pilots share the CPU that the owner leaves: the oldest first.

If all got the same, a node whose owner leaves a tenth of it would finish nothing for ten times as
long; with the oldest first some jobs end, and the youngest, which have the least to lose, wait.

Weights and no freezing: a frozen pilot sends no sign of life, and its job would be started
elsewhere after minutes.  The kernel uses weights only where there is not enough for all.
"""

from __future__ import annotations

from collections.abc import Iterable

from plancton.model import Pilot, PilotState

#: Of the oldest and of the youngest pilot, as ``cpu.weight`` has them.  With a thousandth of the
#: oldest one's share a waiting pilot still gets a little: a millisecond of each second in which the
#: oldest has a CPU.
OLDEST, YOUNGEST = 10_000, 10


def weigh_by_age(pilots: Iterable[Pilot]) -> tuple[tuple[str, int], ...]:
    """Return the weight of each running pilot, the oldest first; each step is the same factor."""
    running = sorted(
        (one for one in pilots if one.state is PilotState.RUNNING),
        key=lambda one: (-(one.age or 0.0), one.id),
    )
    steps = max(1, len(running) - 1)
    return tuple(
        (one.id, round(OLDEST * (YOUNGEST / OLDEST) ** (number / steps)))
        for number, one in enumerate(running)
    )
