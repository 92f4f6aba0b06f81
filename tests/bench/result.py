"""What one bench says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """``ratio`` is value by reference, measured side by side; ``goal`` is about it, in words."""

    id: str
    what: str
    value: float
    unit: str
    reference: str
    ratio: float
    goal: str
    met: bool
