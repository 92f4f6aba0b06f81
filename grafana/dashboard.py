"""One dashboard, from its short description to Grafana's JSON."""

from collections.abc import Mapping
from typing import Any

from grafana.panels import panel

#: The data source that is provisioned with the dashboards.
SOURCE = {"type": "influxdb", "uid": "plancton-influxdb"}
#: Of the dashboards' JSON: Grafana 11.3 and later migrate it to their own.
SCHEMA = 39
COLUMNS = 24

_SITES = 'SHOW TAG VALUES WITH KEY = "site"'
_OF_SITE = 'WHERE "site" =~ /^$site$/'
VARIABLES: Mapping[str, tuple[str, str, str, bool]] = {
    # name: (variable, label, the query for its values, whether several may be chosen)
    "site": ("site", "Site", _SITES, True),
    "one_site": ("site", "Site", _SITES, False),
    "node": (
        "node",
        "Node",
        f'SHOW TAG VALUES FROM "plancton_node" WITH KEY = "hostname" {_OF_SITE}',
        False,
    ),
    "pool": (
        "pool",
        "Pool",
        f'SHOW TAG VALUES FROM "thyme_jobs" WITH KEY = "pool" {_OF_SITE}',
        True,
    ),
}


def build(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a dashboard; ``described`` is what a file in ``source/`` says."""
    panels: list[dict[str, Any]] = []
    number, y = 1, 0
    for row in described["rows"]:
        head = _row(row, number, y)
        number += 1
        panels.append(head)
        y += 1
        # how far down each column is taken
        bottoms = [y] * COLUMNS
        for one in row["panels"]:
            made = panel(one, SOURCE, number)
            number += 1
            width, height = one.get("width", 12), one.get("height", _height(one["kind"]))
            made["gridPos"] = _place(bottoms, width, height)
            # the panels of a collapsed row are kept in it
            (head["panels"] if head["collapsed"] else panels).append(made)
        y = y if head["collapsed"] else max(bottoms)
    return {
        "uid": described["uid"],
        "title": f"Plancton: {described['title']}",
        "description": described["description"],
        "tags": ["plancton"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        # whole minutes, and all nodes have sent the last of them
        "time": {"from": "now-6h/m", "to": "now-1m/m"},
        "timezone": "browser",
        "links": [_menu()],
        "templating": {"list": [_variable(name) for name in described["variables"]]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _place(bottoms: list[int], width: int, height: int) -> dict[str, int]:
    """Take the highest place that is free, the leftmost of these."""
    tops = [max(bottoms[x : x + width]) for x in range(COLUMNS - width + 1)]
    y = min(tops)
    x = tops.index(y)
    bottoms[x : x + width] = [y + height] * width
    return {"x": x, "y": y, "w": width, "h": height}


def _row(row: Mapping[str, Any], number: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": row["title"],
        "collapsed": row.get("collapsed", False),
        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        "panels": [],
    }


def _height(kind: str) -> int:
    return 4 if kind in ("stat", "text_stat") else 7


def _menu() -> dict[str, Any]:
    """Return the links to the other dashboards, at the top of each."""
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


def _variable(described: str) -> dict[str, Any]:
    name, label, query, several = VARIABLES[described]
    made = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        # when the time range changes: nodes come and go
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "hide": 0,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }
    if several:
        # a site without a name has the tag ""
        made |= {"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
    return made
