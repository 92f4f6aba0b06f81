"""The alert rules, in the form in which Grafana is provisioned with them (file, version 1).

Grafana takes a rule's ``model`` and annotations as they stand in the file: a variable has one
``$`` there (``QueryV1.mapToModel`` of Grafana's provisioning marshals the raw text).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from grafana.dashboard import SOURCE

FOLDER = "Plancton"
#: The page of the repository with a section for each alert.
PAGE = "docs/howto-alerts.md"
#: Time between two evaluations of a rule.
INTERVAL = "1m"
#: Grafana's data source of expressions.
EXPRESSION = {"type": "__expr__", "uid": "__expr__"}


def build_group(
    described: Sequence[Mapping[str, Any]], dashboards: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Make the group of all rules.

    described   what ``source/alerts.yml.j2`` says
    dashboards  the built dashboards by name, for the links
    """
    return {
        "orgId": 1,
        "name": "plancton",
        "folder": FOLDER,
        "interval": INTERVAL,
        "rules": [_rule(one, dashboards) for one in described],
    }


def _rule(
    described: Mapping[str, Any], dashboards: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    uid, panel = _place(described["panel"], dashboards)
    # Such a query gives rows only where something is wrong, or a rule of its own tells silence.
    quiet = described.get("quiet_without_rows", False)
    return {
        "uid": described["uid"],
        "title": described["title"],
        "condition": "C",
        "data": _data(described),
        "for": described["for"],
        "noDataState": "OK" if quiet else "NoData",
        "execErrState": "Error",
        "dashboardUid": uid,
        "panelId": panel,
        "annotations": {
            "summary": _text(described["summary"]),
            "description": " ".join(described["todo"].split()),
            "page": f"{PAGE}#{described['title'].lower().replace(' ', '-')}",
            # the link of a notification
            "__dashboardUid__": uid,
            "__panelId__": str(panel),
        },
        "labels": {"severity": described["severity"], "software": "plancton"},
        "isPaused": False,
    }


def _text(summary: str) -> str:
    """Return the summary in Grafana's template language."""
    values = {
        "value": "humanize $values.B.Value",
        "percent": "humanizePercentage $values.B.Value",
        "idle": "humanizePercentage $values.idle.Value",
    }
    return re.sub(
        r"\{(\w+)\}",
        lambda found: f"{{{{ {values.get(found[1], '$labels.' + found[1])} }}}}",
        summary,
    )


def _data(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a rule's steps: A is the query, B its newest value, C whether that is bad.

    Of several queries, each under its name, ``when`` makes one value.
    """
    if "query" in described:
        ((how, limit),) = described["bad"].items()
        return [
            _query("A", described["query"], described["range"]),
            _expression("B", "reduce", expression="A", reducer="last"),
            _threshold("B", {"above": "gt", "below": "lt"}[how], limit),
        ]
    made = []
    for name, query in described["queries"].items():
        made += [
            _query(f"{name}_over_time", query, described["range"]),
            _expression(name, "reduce", expression=f"{name}_over_time", reducer="last"),
        ]
    return [*made, _expression("B", "math", expression=described["when"]), _threshold("B", "gt", 0)]


def _query(ref: str, query: str, seconds: int) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": SOURCE["uid"],
        "relativeTimeRange": {"from": seconds, "to": 0},
        "model": {
            "refId": ref,
            "datasource": SOURCE,
            "rawQuery": True,
            "query": " ".join(query.split()),
            "resultFormat": "time_series",
        },
    }


def _threshold(ref: str, how: str, limit: float) -> dict[str, Any]:
    conditions = [{"evaluator": {"type": how, "params": [limit]}}]
    return _expression("C", "threshold", expression=ref, conditions=conditions)


def _expression(ref: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": EXPRESSION["uid"],
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": ref, "type": kind, "datasource": EXPRESSION, **more},
    }


def _place(where: Sequence[str], dashboards: Mapping[str, Mapping[str, Any]]) -> tuple[str, int]:
    """Return the dashboard's uid and the panel's id."""
    name, title = where
    dashboard = dashboards[name]
    for one in dashboard["panels"]:
        for panel in (one, *one.get("panels", ())):
            if panel["title"] == title and panel["type"] != "row":
                return dashboard["uid"], panel["id"]
    raise ValueError(f"no panel {title!r} on dashboard {name!r}")
