"""The order in which condor_status prints: numbers inside names count as numbers."""

from __future__ import annotations

import re
from typing import Any

from vobox.classad.expressions import number_of

_DIGITS = re.compile(r"(\d+)", re.ASCII)

#: Numbers before texts, what has no value last; then the value, then a text's parts.
SortKey = tuple[int, float, list[tuple[str, int]]]


def sort_key(value: Any) -> SortKey:
    """Orders the values of an expression as HTCondor's natural sort does: slot2 before slot10."""
    if isinstance(value, str):
        parts = _DIGITS.split(value)
        numbers = [int(digits[:18]) for digits in parts[1::2]] + [-1]
        return 1, 0.0, list(zip(parts[::2], numbers, strict=True))
    number = number_of(value)
    return (2, 0.0, []) if number is None else (0, float(number), [])
