"""Lanes: jobs of about the same length wait together, so that a worker takes one that fits.

A lane is known by its bound, the longest time in seconds that a job in it may take; the bounds
grow, and the last is infinity. ``thyme-worker`` and the simulator of plancton use the same rule.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def find_lane(bounds: Sequence[float], length: float) -> float:
    """Return the bound of the lane of a job that takes ``length`` seconds."""
    return bounds[bisect_left(bounds, length)]


def order_lanes(bounds: Sequence[float], life: float, take_any: bool = False) -> list[float | None]:
    """Return the lanes that a worker may take from, by their bounds, in the order of its looking.

    None stands for the jobs that do not say how long they are.

    Args:
        bounds: of all lanes, in seconds, growing.
        life: for how many seconds the worker may expect to live.
        take_any: whether it may take a job that does not fit, where none fits.
    """
    fitting = bisect_right(bounds, life)
    # the longest first: a short job fits into what others leave, a long one only here
    order: list[float | None] = [*reversed(bounds[:fitting]), None]
    return [*order, *bounds[fitting:]] if take_any else order
