"""The alert rules, in the form in which Grafana is provisioned with them (file, version 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana.dashboard import SOURCE

FOLDER = "Plancton"
#: How often the rules are looked at.
INTERVAL = "1m"
#: Grafana's name for calculations of its own.
_EXPRESSION = "__expr__"


def build(described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": "plancton",
                "folder": FOLDER,
                "interval": INTERVAL,
                "rules": [_rule(one) for one in described],
            }
        ],
    }


def _rule(described: Mapping[str, Any]) -> dict[str, Any]:
    ((how, limit),) = described["bad"].items()
    evaluator = {"type": {"above": "gt", "below": "lt"}[how], "params": [limit]}
    # Rows only where something is wrong: none is the good case. Elsewhere no rows means that
    # nothing is sent at all.
    quiet = described.get("quiet_without_rows", False)
    return {
        "uid": described["uid"],
        "title": described["title"],
        "condition": "C",
        "data": [
            {
                "refId": "A",
                "datasourceUid": SOURCE["uid"],
                "relativeTimeRange": {"from": described["range"], "to": 0},
                "model": {
                    "refId": "A",
                    "datasource": SOURCE,
                    "rawQuery": True,
                    # in a provisioned file a lone $ would be a variable of the environment
                    "query": " ".join(described["query"].split()).replace("$", "$$"),
                    "resultFormat": "time_series",
                },
            },
            _expression("B", "reduce", expression="A", reducer=described["reduce"]),
            _expression("C", "threshold", expression="B", conditions=[{"evaluator": evaluator}]),
        ],
        "for": described["for"],
        "noDataState": "OK" if quiet else "NoData",
        "execErrState": "Error",
        "annotations": {
            "summary": described["title"],
            "description": " ".join(described["todo"].split()),
        },
        "labels": {"severity": described["severity"], "software": "plancton"},
        "isPaused": False,
    }


def _expression(ref: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": _EXPRESSION,
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {
            "refId": ref,
            "type": kind,
            "datasource": {"type": _EXPRESSION, "uid": _EXPRESSION},
            **more,
        },
    }
