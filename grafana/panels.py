"""One panel, from its short description to Grafana's JSON.

title, text     its heading and what it means
kind            stat, text_stat, gauge, lines, area, bars, points or table
queries         InfluxQL; ``table: true`` where they give a row for each tag
alias           of the lines, e.g. ``$tag_hostname``
unit, decimals, min, max
steps           thresholds: [[from, colour], ...], the first from null
colours         of the lines, by name
optional        why it may be empty on a site that works
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LINES: Mapping[str, Mapping[str, Any]] = {
    "lines": {"drawStyle": "line", "fillOpacity": 0},
    "area": {"drawStyle": "line", "fillOpacity": 70, "stacking": {"mode": "normal", "group": "A"}},
    "bars": {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal", "group": "A"}},
    "points": {"drawStyle": "points", "pointSize": 4},
}
_SHOWN = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def panel(described: Mapping[str, Any], source: Mapping[str, str], number: int) -> dict[str, Any]:
    """Without its place in the grid."""
    kind = described["kind"]
    made: dict[str, Any] = {
        "id": number,
        "title": described["title"],
        "description": described.get("text", ""),
        "datasource": dict(source),
        "targets": [
            _target(query, place, described, source)
            for place, query in enumerate(described["queries"])
        ],
        "interval": "30s",
    }
    if kind in _LINES:
        made |= _time_series(described, _LINES[kind])
    elif kind == "table":
        made |= _table(described)
    elif kind == "gauge":
        made |= {"type": "gauge", "options": {"reduceOptions": _SHOWN}}
        made["fieldConfig"] = _fields(described, {})
    elif kind in ("stat", "text_stat"):
        made |= _stat(described, text=kind == "text_stat")
    else:
        raise ValueError(f"panel {described['title']!r}: unknown kind {kind!r}")
    return made


def _target(
    query: str, place: int, described: Mapping[str, Any], source: Mapping[str, str]
) -> dict[str, Any]:
    target = {
        "refId": chr(ord("A") + place),
        "datasource": dict(source),
        "rawQuery": True,
        "query": " ".join(query.split()),
        "resultFormat": "table" if described.get("table") else "time_series",
    }
    # a lone line is told by its column, which InfluxDB's answer calls "$col"
    return target if described.get("table") else {**target, "alias": described.get("alias", "$col")}


def _fields(described: Mapping[str, Any], custom: Mapping[str, Any]) -> dict[str, Any]:
    steps = described.get("steps", [[None, "green"]])
    defaults: dict[str, Any] = {
        "unit": described.get("unit", "short"),
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
        "color": {"mode": "thresholds" if "steps" in described else "palette-classic"},
    }
    for name in ("decimals", "min", "max"):
        if name in described:
            defaults[name] = described[name]
    if custom:
        defaults["custom"] = dict(custom)
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in described.get("colours", {}).items()
    ]
    return {"defaults": defaults, "overrides": overrides}


def _time_series(described: Mapping[str, Any], style: Mapping[str, Any]) -> dict[str, Any]:
    custom = {"lineWidth": 1, "showPoints": "never", "spanNulls": 120_000, **style}
    if style["drawStyle"] == "points":
        custom["showPoints"] = "always"
    if "min" not in described:
        described = {**described, "min": 0}
    return {
        "type": "timeseries",
        "fieldConfig": _fields(described, custom),
        "options": {
            "legend": {
                "showLegend": True,
                "displayMode": "list",
                "placement": "bottom",
                "calcs": [],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _stat(described: Mapping[str, Any], *, text: bool) -> dict[str, Any]:
    shown = {**_SHOWN, "fields": "/.*/" if text else ""}
    return {
        "type": "stat",
        "fieldConfig": _fields(described, {}),
        "options": {
            "reduceOptions": shown,
            "colorMode": "none" if text else "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
        **({"transformations": _without_time()} if described.get("table") else {}),
    }


def _table(described: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "table",
        "fieldConfig": _fields(
            described, {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
        ),
        "options": {"showHeader": True, "cellHeight": "sm"},
        "transformations": _without_time(),
    }


def _without_time() -> list[dict[str, Any]]:
    """The time of a last() over several fields is the start of the period: it says nothing."""
    return [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]
