"""The round moments that points are stamped with.

Points of all nodes then have the same times, and a sum over nodes has no step where some nodes
have reported and others not. They are sent whenever the node's loop comes round, so that nodes do
not send all at once.
"""

from __future__ import annotations

import math


class Rounds:
    """The moments (seconds since 1970) that are whole multiples of an interval."""

    def __init__(self, wall: float) -> None:
        """``wall``: now, seconds since 1970; the first moment is after it."""
        self._last = wall

    def due(self, interval: float, wall: float) -> float | None:
        """Return the moment that has come since the last call, if any.

        Each moment is returned once. One that was missed by less than half an interval is
        returned late: a loop that takes a little longer than the interval loses none.

        interval  seconds between two moments
        wall      now, seconds since 1970
        """
        moment = round(math.floor(wall / interval) * interval, 6)
        if moment <= self._last:
            # the same as before, or a clock that was set back
            self._last = moment
            return None
        missed = moment - interval
        if moment - 2 * interval <= self._last < missed and wall - moment < interval / 2:
            moment = missed
        self._last = moment
        return moment
