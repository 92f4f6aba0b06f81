"""The kinds of value that a configuration key may have."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
#: Intervals that a loop sleeps: zero would burn the owner's CPU.
Interval = Annotated[float, Field(ge=0.05, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0)]
ExitCodes = tuple[Annotated[int, Field(ge=0, le=255)], ...]


def _tuple(value: Any) -> Any:
    """YAML knows lists only; the model keeps tuples, so that a configuration is a value."""
    return tuple(value) if isinstance(value, list) else value


def _periods(value: Any) -> Any:
    """A lone date is a date to YAML, and a text to us."""
    if not isinstance(value, list):
        return value
    return tuple(part.isoformat() if isinstance(part, date) else part for part in value)


Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
Periods = Annotated[tuple[str, ...], BeforeValidator(_periods)]
Codes = Annotated[ExitCodes, BeforeValidator(_tuple)]


def key(default: Any, unit: str, description: str, since: str = "2017") -> Any:
    """One key with what the reference page says of it."""
    return Field(
        default=default,
        description=description,
        json_schema_extra={"unit": unit, "since": since},
    )
