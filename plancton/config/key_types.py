"""The types of value that a configuration key may have."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from commandline.units import SIZE_PATTERN, TIME_PATTERN, parse_size, parse_time


@dataclass(frozen=True)
class _WithUnit:
    """A number that may be written as a text with a unit: in a file, and in the JSON schema."""

    parse: Callable[[str], float | None]
    pattern: str
    #: what a text that is none is told
    problem: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._convert, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": self.pattern}]}

    def _convert(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        number = self.parse(value)
        if number is None:
            raise ValueError(self.problem)
        return number


_TIME = _WithUnit(
    parse_time,
    TIME_PATTERN,
    "must be a number of seconds, or one with a unit, as 90s, 30min or 12h",
)
_SIZE = _WithUnit(
    parse_size, SIZE_PATTERN, "must be a number of bytes, or one with a unit, as 2GB or 2GiB"
)
#: The most bytes that a kernel or an engine can be told.
_MOST_BYTES = 2**63 - 1


def _size_or_expression(value: Any) -> Any:
    size = parse_size(value) if isinstance(value, str) else None
    return value if size is None else size


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), _TIME]
#: Intervals that a loop sleeps: zero would use a whole CPU of the owner's.
Interval = Annotated[float, Field(ge=0.05, allow_inf_nan=False), _TIME]
#: Seconds of which some have to be.
Lifetime = Annotated[float, Field(gt=0, allow_inf_nan=False), _TIME]
#: Intervals of at least a second.
SlowInterval = Annotated[float, Field(ge=1, allow_inf_nan=False), _TIME]
Bytes = Annotated[int, Field(ge=0, le=_MOST_BYTES), _SIZE]
#: Bytes of which some have to be.
Memory = Annotated[int, Field(gt=0, le=_MOST_BYTES), _SIZE]
SizeExpression = Annotated[int | str, BeforeValidator(_size_or_expression)]
ExitCodes = tuple[Annotated[int, Field(ge=0, le=255)], ...]

_SYSLOG_PORT = 514
#: 10.0.0.1:514 or [2001:db8::1]:514
_SYSLOG_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:]+)\]|([0-9.]+))(?::(\d{1,5}))?", re.ASCII)


def _tuple(value: Any) -> Any:
    """Convert a YAML list to a tuple, so that a configuration is an immutable value."""
    return tuple(value) if isinstance(value, list) else value


def _periods(value: Any) -> Any:
    """Convert dates to text: YAML reads a lone date as a date."""
    if not isinstance(value, list):
        return value
    return tuple(part.isoformat() if isinstance(part, date) else part for part in value)


Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
Periods = Annotated[tuple[str, ...], BeforeValidator(_periods)]
Codes = Annotated[ExitCodes, BeforeValidator(_tuple)]


def key(default: Any, unit: str, description: str, since: str = "2017") -> Any:
    """Return one configuration key with what the reference page says about it.

    ``unit`` is for people, "" if there is none; ``description`` is Markdown; ``since`` is the
    version that introduced the key.
    """
    return Field(
        default=default,
        description=description,
        json_schema_extra={"unit": unit, "since": since},
    )


def parse_syslog_address(where: str) -> str | tuple[str, int]:
    """Return ``/dev/log`` (a socket) or ``address[:port]`` (UDP) as the logging module wants it.

    Host names are refused: the library would resolve them for each line, and wait for that.
    Raises ValueError.
    """
    if where.startswith("/"):
        return where
    found = _SYSLOG_ADDRESS.fullmatch(where)
    try:
        if found is None or not 0 < (port := int(found[3] or _SYSLOG_PORT)) < 65536:
            raise ValueError
        return str(ip_address(found[1] or found[2])), port
    except ValueError:
        raise ValueError(
            f"must be a socket such as /dev/log, or an IP address[:port], not {where!r}"
        ) from None
