"""One panel, from its short description to Grafana's JSON.

title, text     its heading and what it means
kind            stat, text_stat, shares, lines, area, bars, points, table or alerts
queries         InfluxQL; of shares: {name, query} each
of, as          of shares: what they are shares of; stat or bargauge
alias           of the lines, e.g. ``$tag_state``
interval        the least time between two steps; 2m, in which each node sends some points
unit, decimals, min, max
steps           thresholds: [[from, colour], ...], the first from null
map             texts for values: {value: [text, colour]}
no_value        what is shown without any value
colours         of the lines, by name
total           of an area: the sum is drawn over it as a line, "total"
field           of a text_stat: the column that is shown
columns         of a table: {column: {name, unit, map, link: node, colour: true}}
keep_time       of a table: the query whose time is shown
merge           of a table: the rows of all queries about the same thing become one
where           of a table: {any: [[column, greater than], ...]}
group           of a table: {by: column, count: column, name: of the number}
sort            of a table: columns, the greatest first
optional        why it may be empty on a site that works
"""

from collections.abc import Mapping
from typing import Any

_LINES: Mapping[str, Mapping[str, Any]] = {
    "lines": {"drawStyle": "line", "fillOpacity": 0},
    "area": {"drawStyle": "line", "fillOpacity": 70, "stacking": {"mode": "normal", "group": "A"}},
    "bars": {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal", "group": "A"}},
    "points": {"drawStyle": "points", "pointSize": 4},
}
INTERVAL = "2m"
_SHOWN = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_EXPRESSION = {"type": "__expr__", "uid": "__expr__"}
_MIXED = {"type": "datasource", "uid": "-- Mixed --"}
#: Where a cell with a node's name leads.
_NODE_LINK = (
    "/d/plancton-node?var-site=${__data.fields.site}&var-node=${__value.raw}&${__url_time_range}"
)


def panel(described: Mapping[str, Any], source: Mapping[str, str], number: int) -> dict[str, Any]:
    """Make the panel, without its place in the grid.

    described  what a file in ``source/`` says of it
    source     Grafana's reference to the data source
    number     its id on the dashboard

    Raises ValueError for a kind that does not exist.
    """
    kind = described["kind"]
    made: dict[str, Any] = {
        "id": number,
        "title": described["title"],
        "description": described.get("text", ""),
    }
    if kind == "alerts":
        return {**made, **_alerts()}
    made |= {
        "datasource": dict(source),
        "targets": [
            _target(query, chr(ord("A") + place), described, source)
            for place, query in enumerate(described["queries"])
            if kind != "shares"
        ],
        "interval": described.get("interval", INTERVAL),
    }
    if kind in _LINES:
        made |= _time_series(described, _LINES[kind])
    elif kind == "table":
        made |= _table(described)
    elif kind == "shares":
        made |= _shares(described, source)
    elif kind in ("stat", "text_stat"):
        made |= _stat(described)
    else:
        raise ValueError(f"panel {described['title']!r}: unknown kind {kind!r}")
    return made


def _target(
    query: str, ref: str, described: Mapping[str, Any], source: Mapping[str, str]
) -> dict[str, Any]:
    as_table = described["kind"] in ("table", "text_stat")
    target = {
        "refId": ref,
        "datasource": dict(source),
        "rawQuery": True,
        "query": " ".join(query.split()),
        "resultFormat": "table" if as_table else "time_series",
    }
    # a lone line is told by its column, which InfluxDB's answer calls "$col"
    return target if as_table else {**target, "alias": described.get("alias", "$col")}


def _mappings(mapped: Mapping[Any, tuple[str, str]]) -> list[dict[str, Any]]:
    options = {
        str(value): {"text": text, "color": colour, "index": place}
        for place, (value, (text, colour)) in enumerate(mapped.items())
    }
    return [{"type": "value", "options": options}] if options else []


def _fields(described: Mapping[str, Any], custom: Mapping[str, Any]) -> dict[str, Any]:
    steps = described.get("steps", [[None, "text"]])
    if "steps" in described and described["kind"] in ("stat", "shares"):
        # no figure is neither good nor bad
        steps = [[None, "transparent"], [0, steps[0][1]], *steps[1:]]
    by_value = "steps" in described or described["kind"] in ("stat", "text_stat", "shares", "table")
    defaults: dict[str, Any] = {
        # numbers of jobs and nodes to the last one: 1200, not 1.20 K
        "unit": described.get("unit", "none" if described["kind"] == "stat" else "short"),
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
        "color": {"mode": "thresholds" if by_value else "palette-classic"},
        "mappings": _mappings(described.get("map", {})),
    }
    for name in ("decimals", "min", "max"):
        if name in described:
            defaults[name] = described[name]
    if "no_value" in described:
        defaults["noValue"] = described["no_value"]
    if custom:
        defaults["custom"] = dict(custom)
    overrides = [
        _override("byName", name, color={"mode": "fixed", "fixedColor": colour})
        for name, colour in described.get("colours", {}).items()
    ]
    if described.get("total"):
        overrides.append(
            _override(
                "byName",
                "total",
                **{
                    "custom.stacking": {"mode": "none", "group": "A"},
                    "custom.fillOpacity": 0,
                    "custom.lineWidth": 2,
                },
            )
        )
    return {"defaults": defaults, "overrides": overrides}


def _override(how: str, name: str, **properties: Any) -> dict[str, Any]:
    return {
        "matcher": {"id": how, "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def _time_series(described: Mapping[str, Any], style: Mapping[str, Any]) -> dict[str, Any]:
    custom = {"lineWidth": 1, "showPoints": "never", "spanNulls": False, **style}
    if style["drawStyle"] == "points":
        custom["showPoints"] = "always"
    if "min" not in described:
        described = {**described, "min": 0}
    total = {"mode": "reduceRow", "reduce": {"reducer": "sum"}, "alias": "total"}
    return {
        "type": "timeseries",
        "transformations": [{"id": "calculateField", "options": total}]
        if described.get("total")
        else [],
        "fieldConfig": _fields(described, custom),
        "options": {
            "legend": {
                "showLegend": True,
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _stat(described: Mapping[str, Any]) -> dict[str, Any]:
    fields = f"/^{described['field']}$/" if "field" in described else ""
    coloured = "steps" in described or "map" in described
    return {
        "type": "stat",
        "fieldConfig": _fields(described, {}),
        "options": {
            "reduceOptions": {**_SHOWN, "fields": fields},
            "colorMode": "background" if coloured else "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "value" if len(described["queries"]) == 1 else "value_and_name",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
    }


def _shares(described: Mapping[str, Any], source: Mapping[str, str]) -> dict[str, Any]:
    """Return a panel of each query's number divided by that of ``of``, by Grafana's expressions."""
    targets, overrides = [], []

    def ask(ref: str, query: str) -> None:
        target = _target(query, f"{ref}Q", described, source)
        reduce = {"refId": ref, "datasource": _EXPRESSION, "type": "reduce", "hide": True}
        targets.extend([{**target, "hide": True}, {**reduce, "expression": f"{ref}Q"}])
        targets[-1]["reducer"] = "last"

    ask("ALL", described["of"])
    for place, one in enumerate(described["queries"]):
        ref = chr(ord("A") + place)
        ask(ref, one["query"])
        math = {"refId": f"{ref}S", "datasource": _EXPRESSION, "type": "math"}
        targets.append({**math, "expression": f"${ref} / $ALL"})
        overrides.append(_override("byFrameRefID", f"{ref}S", displayName=one["name"]))
    described = {"unit": "percentunit", "decimals": 1, "min": 0, "max": 1, **described}
    fields = _fields(described, {})
    fields["overrides"] += overrides
    made = {"datasource": _MIXED, "targets": targets, "fieldConfig": fields}
    if described["as"] == "stat":
        return {**_stat(described), **made}
    return {
        **made,
        "type": "bargauge",
        "options": {
            "reduceOptions": _SHOWN,
            "orientation": "horizontal",
            "displayMode": "basic",
            "valueMode": "color",
            "namePlacement": "auto",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 300,
        },
    }


def _table(described: Mapping[str, Any]) -> dict[str, Any]:
    fields = _fields(
        described, {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    )
    fields["overrides"] += [
        # a name that looks like a number is none: no "1.00 K", and not 12 for 0012
        _override("byType", "string", unit="string"),
        # of a table without rows; an empty cell is empty
        _override("byRegexp", "/.*/", noValue=""),
    ]
    fields["overrides"] += [
        _column(name, one) for name, one in described.get("columns", {}).items()
    ]
    return {
        "type": "table",
        "fieldConfig": fields,
        "options": {
            "showHeader": True,
            "cellHeight": "sm",
            "sortBy": [{"displayName": name, "desc": True} for name in described.get("sort", ())],
        },
        "transformations": _transformations(described),
    }


def _column(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if "name" in one:
        properties["displayName"] = one["name"]
    if "unit" in one:
        properties["unit"] = one["unit"]
    if "map" in one:
        properties["mappings"] = _mappings(one["map"])
    if "map" in one or one.get("colour"):
        properties["custom.cellOptions"] = {"type": "color-background", "mode": "basic"}
    if one.get("link") == "node":
        properties["links"] = [{"title": "Open this node", "url": _NODE_LINK}]
    return _override("byName", name, **properties)


def _transformations(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    refs = [chr(ord("A") + place) for place in range(len(described["queries"]))]
    # the time of a last() over several fields is the start of the period: it says nothing
    for ref in refs:
        if ref != described.get("keep_time"):
            made.append(
                {
                    "id": "organize",
                    "filter": {"id": "byRefId", "options": ref},
                    "options": {"excludeByName": {"Time": True}},
                }
            )
    if described.get("merge"):
        made.append({"id": "merge", "options": {}})
    if "where" in described:
        filters = [
            {"fieldName": name, "config": {"id": "greater", "options": {"value": value}}}
            for name, value in described["where"]["any"]
        ]
        options = {"type": "include", "match": "any", "filters": filters}
        made.append({"id": "filterByValue", "options": options})
    if "group" in described:
        group = described["group"]
        fields = {
            group["by"]: {"operation": "groupby", "aggregations": []},
            group["count"]: {"operation": "aggregate", "aggregations": ["count"]},
        }
        renamed = {f"{group['count']} (count)": group["name"]}
        made.append({"id": "groupBy", "options": {"fields": fields}})
        made.append({"id": "organize", "options": {"renameByName": renamed}})
    return made


def _alerts() -> dict[str, Any]:
    return {
        "type": "alertlist",
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {
            "viewMode": "list",
            "groupMode": "default",
            "groupBy": [],
            "maxItems": 50,
            "sortOrder": 3,
            "dashboardAlerts": False,
            "alertName": "",
            "alertInstanceLabelFilter": '{software="plancton"}',
            "showInstances": True,
            "stateFilter": {
                "firing": True, "pending": False, "recovering": False, "noData": True,
                "normal": False, "error": True,
            },
        },
    }  # fmt: skip
