"""Asks InfluxDB what a panel asks, with Grafana's variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Points across a panel; Grafana takes its width in pixels.
_POINTS = 240


@dataclass(frozen=True)
class Period:
    """Seconds since 1970; ``least``: seconds between two points of a node."""

    begin: float
    end: float
    least: int = 30

    @property
    def interval(self) -> int:
        """Seconds of one step."""
        return max(self.least, round((self.end - self.begin) / _POINTS))


@dataclass(frozen=True)
class Line:
    """One series of an answer; a value that is not there is None."""

    name: str
    tags: Mapping[str, str]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]  #: the first column is the time, seconds since 1970


def expand(query: str, period: Period, chosen: Mapping[str, Sequence[str]] | None = None) -> str:
    """``chosen``: values of the variables; one that is not there is "All"."""
    chosen = chosen or {}
    for name in ("site", "node", "pool"):
        values = "|".join(re.escape(value).replace("/", r"\/") for value in chosen.get(name, ()))
        query = query.replace(f"/^${name}$/", f"/^({values})$/" if values else "/^.*$/")
    times = f"time >= {round(period.begin * 1000)}ms AND time <= {round(period.end * 1000)}ms"
    query = query.replace("$timeFilter", times).replace("$__interval", f"{period.interval}s")
    if "$" in re.sub(r"/\^.*?\$/", "", query):
        raise ValueError(f"a variable that is not known here: {query}")
    return query


def ask(client: Any, query: str, alias: str = "$col") -> list[Line]:
    """``client``: of the influxdb package; ``alias`` names the lines as Grafana does."""
    answer = client.query(query, epoch="ms").raw
    lines = []
    for one in answer.get("series", []):
        columns, tags = one["columns"], one.get("tags") or {}
        rows = [[row[0] / 1000.0, *row[1:]] for row in one["values"]]
        for place, column in enumerate(columns[1:], 1):
            name = _named(alias, tags, column)
            lines.append(Line(name, tags, columns, [[row[0], row[place]] for row in rows]))
    return lines


def _named(alias: str, tags: Mapping[str, str], column: str) -> str:
    name = re.sub(r"\$tag_(\w+)", lambda found: tags.get(found[1], ""), alias)
    return name.replace("$col", column) or "(none)"


def table(client: Any, query: str) -> list[Line]:
    """The answer as it is, all columns of a tag together."""
    answer = client.query(query, epoch="ms").raw
    return [
        Line("", one.get("tags") or {}, one["columns"], one["values"])
        for one in answer.get("series", [])
    ]
