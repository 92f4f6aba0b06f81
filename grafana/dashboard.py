"""One dashboard, from its short description to Grafana's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grafana.panels import panel

#: The data source that is provisioned with the dashboards.
SOURCE = {"type": "influxdb", "uid": "plancton-influxdb"}
#: Of Grafana's dashboards: 39 is that of release 11.
SCHEMA = 39
COLUMNS = 24
#: Seconds: a node sends a point every 30 s, and a finer step would show gaps.
MIN_INTERVAL = "30s"

VARIABLES: Mapping[str, tuple[str, str]] = {
    # name: (label, the query for its values)
    "site": ("Site", 'SHOW TAG VALUES FROM "plancton_node" WITH KEY = "site"'),
    "node": ("Node", 'SHOW TAG VALUES FROM "plancton_node" WITH KEY = "hostname"'),
    "pool": ("Pool", 'SHOW TAG VALUES FROM "thyme_jobs" WITH KEY = "pool"'),
}


def build(described: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a dashboard; ``described`` is what a file in ``source/`` says."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in described["rows"]:
        panels.append(_row(row["title"], len(panels) + 1, y))
        y += 1
        # how far down each column is taken
        bottoms = [y] * COLUMNS
        for one in row["panels"]:
            made = panel(one, SOURCE, len(panels) + 1)
            width, height = one.get("width", 12), one.get("height", _height(one["kind"]))
            made["gridPos"] = _place(bottoms, width, height)
            panels.append(made)
        y = max(bottoms)
    return {
        "uid": described["uid"],
        "title": f"Plancton: {described['title']}",
        "description": described["description"],
        "tags": ["plancton"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [_menu()],
        "templating": {"list": [_variable(name) for name in described["variables"]]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _place(bottoms: list[int], width: int, height: int) -> dict[str, int]:
    """The highest place that is free, the leftmost of these; takes it."""
    tops = [max(bottoms[x : x + width]) for x in range(COLUMNS - width + 1)]
    y = min(tops)
    x = tops.index(y)
    bottoms[x : x + width] = [y + height] * width
    return {"x": x, "y": y, "w": width, "h": height}


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        "panels": [],
    }


def _height(kind: str) -> int:
    return 4 if kind in ("stat", "text_stat", "gauge") else 7


def _menu() -> dict[str, Any]:
    """The other dashboards, at the top of each."""
    return {
        "type": "dashboards",
        "title": "Plancton",
        "tags": ["plancton"],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }


def _variable(name: str) -> dict[str, Any]:
    label, query = VARIABLES[name]
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # a site without a name has the tag ""
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }
