"""A point of a series, and the declaration of a series that points are held against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

Value = float | int | bool | str

#: What a field may hold, by the name that the reference page shows.
TYPES: Final[dict[str, tuple[type, ...]]] = {
    "float": (float, int),
    "integer": (int,),
    "boolean": (bool,),
    "string": (str,),
}


@dataclass(frozen=True)
class Field:
    """A value of a series; ``unit`` is "" where the value has none."""

    name: str
    type: str  #: a key of ``TYPES``; InfluxDB keeps the first that it saw, so it never changes
    unit: str
    text: str  #: a sentence that says all, as Prometheus shows it alone
    #: what the number is: a ``gauge``, an increase ``since`` the last point, or a ``total`` since
    #: the program began
    kind: str = "gauge"
    #: its name at Prometheus where that does not follow from series, name and unit
    metric: str = ""


@dataclass(frozen=True)
class Series:
    """The declaration of a series.

    ``tags`` are few and bounded: every combination of their values is a series in the store.
    """

    name: str
    tags: tuple[str, ...]
    fields: tuple[Field, ...]
    text: str
    #: "2017" for those that dashboards of then read
    since: str = "1.0"
    #: all values that the last tag may have, where these are known beforehand
    values: tuple[str, ...] = ()
    #: what its names at Prometheus begin with; "" for the series' name
    prefix: str = ""


@dataclass(frozen=True)
class Point:
    """A point of a series.

    ``time``: seconds since 1970. A field that is not known is left out, never sent as zero.
    """

    series: str
    tags: Mapping[str, str]
    fields: Mapping[str, Value]
    time: float


#: What the name of a metric ends with.
_UNITS = {"s": "_seconds", "bytes": "_bytes", "share": "_ratio", "%": "_ratio"}


def metric_name(series: Series, field: Field) -> str:
    """Return the name at Prometheus of a field."""
    if field.metric:
        return field.metric
    name = f"{series.prefix or series.name}_{field.name}"
    unit = _UNITS.get(field.unit, "")
    if not name.endswith(unit):
        name += unit
    if field.type == "string":
        name += "_info"
    return name if field.kind == "gauge" else f"{name}_total"


class Undeclared(ValueError):
    """A point that no declaration allows: a bug of the sender's, found by tests."""


def point(
    series: Series, tags: Mapping[str, str], fields: Mapping[str, Value | None], time: float
) -> Point | None:
    """Make a point of ``series`` with the fields that are known; None when none is.

    Raises Undeclared for a tag or field that the series does not have, or of another type.
    """
    if set(tags) != set(series.tags):
        raise Undeclared(f"{series.name}: tags {sorted(tags)}, declared {sorted(series.tags)}")
    declared = {field.name: field for field in series.fields}
    known: dict[str, Value] = {}
    for name, value in fields.items():
        if name not in declared:
            raise Undeclared(f"{series.name}: no field {name!r}")
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            continue
        kind = declared[name].type
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            raise Undeclared(f"{series.name}.{name}: {value!r} is no {kind}")
        known[name] = float(value) if kind == "float" else value
    return Point(series.name, dict(tags), known, time) if known else None


def spread(points: Iterable[Point]) -> list[Point]:
    """Return points that no store takes for one another.

    Two of one series with the same tags and time would be one, the later: each further
    one is put a microsecond later.
    """
    seen: set[tuple[str, tuple[tuple[str, str], ...], int]] = set()
    result = []
    for one in points:
        micros = round(one.time * 1e6)
        tags = tuple(sorted(one.tags.items()))
        while (one.series, tags, micros) in seen:
            micros += 1
        seen.add((one.series, tags, micros))
        result.append(Point(one.series, one.tags, one.fields, micros / 1e6))
    return result
