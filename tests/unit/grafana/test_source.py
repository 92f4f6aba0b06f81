"""Dashboards and alert rules: made from one source, complete, with stable uids."""

from __future__ import annotations

import copy
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import generate
from grafana.panels import panel
from tests.support import grafana_types

ROOT = Path(__file__).parents[3]
DASHBOARDS = {
    path.stem: json.loads(text) for path, text in generate.made() if path.suffix == ".json"
}
RULES = yaml.safe_load((ROOT / "grafana/provisioning/alerting/rules.yml").read_text())
SERIES = {
    series.name: series
    for module in ("plancton.metrics.series", "vobox.metrics.series")
    for series in importlib.import_module(module).ALL
}
#: One that an admin has links to; changing one breaks them.
UIDS = ["plancton-site", "plancton-node", "plancton-jobs", "plancton-diagnostics"]


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in dashboard["panels"] if one["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    found = [
        (f"{name}: {one['title']}", target["query"])
        for name, dashboard in DASHBOARDS.items()
        for one in panels(dashboard)
        for target in one["targets"]
    ]
    return found + [(rule["uid"], query_of(rule)) for rule in rules()]


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def query_of(rule: dict[str, Any]) -> str:
    """As Grafana reads it: $$ is a $ in a provisioned file."""
    query: str = rule["data"][0]["model"]["query"]
    return query.replace("$$", "$")


def test_what_is_committed_is_what_the_source_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, (
        f"run: python -m grafana.generate\n{capsys.readouterr().out}"
    )


def test_an_old_file_is_named_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory in ("dashboards", "provisioning/alerting"):
        (tmp_path / directory).mkdir(parents=True)
    monkeypatch.setattr(generate, "HERE", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "dashboards/site.json: old" in capsys.readouterr().out
    assert not (tmp_path / "dashboards/site.json").exists()
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_uids_are_stable_and_every_panel_has_a_place_of_its_own() -> None:
    assert [one["uid"] for one in DASHBOARDS.values()] == UIDS
    for name, dashboard in DASHBOARDS.items():
        ids = [one["id"] for one in dashboard["panels"]]
        assert len(set(ids)) == len(ids), name
        taken: set[tuple[int, int]] = set()
        for one in dashboard["panels"]:
            place = one["gridPos"]
            assert place["x"] + place["w"] <= 24, one["title"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, f"{name}: {one['title']} lies over another"
            taken |= cells


@pytest.mark.parametrize(("where", "query"), queries())
def test_a_query_asks_for_series_and_fields_that_are_sent(where: str, query: str) -> None:
    words = set(re.findall(r'"([^"]+)"', query))
    asked = [SERIES[name] for name in words if name in SERIES]
    assert asked, f"{where}: no series of ours in {query}"
    known = {field.name for one in asked for field in one.fields}
    known |= {tag for one in asked for tag in one.tags}
    named = set(re.findall(r'AS "([^"]+)"', query))
    unknown = words - known - named - {one.name for one in asked}
    assert not unknown, f"{where}: {unknown} in {query}"
    assert "$timeFilter" in query, where


@pytest.mark.needs("grafana")
def test_the_dashboards_have_the_form_that_grafana_publishes() -> None:
    assert grafana_types.complaints(DASHBOARDS) == ""


@pytest.mark.needs("grafana")
def test_the_check_of_the_form_finds_what_is_wrong() -> None:
    wrong = copy.deepcopy(DASHBOARDS["site"])
    wrong["panels"][1]["options"]["colorMode"] = "rainbow"
    assert "rainbow" in grafana_types.complaints({"site": wrong})


def test_every_alert_says_what_to_do_and_when_it_is_bad() -> None:
    uids = [rule["uid"] for rule in rules()]
    assert len(set(uids)) == len(uids) == 10
    for rule in rules():
        assert len(rule["annotations"]["description"]) > 80, rule["uid"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        a, b, c = rule["data"]
        assert (a["refId"], b["model"]["expression"], c["model"]["expression"]) == ("A", "A", "B")
        (condition,) = c["model"]["conditions"]
        assert condition["evaluator"]["type"] in ("gt", "lt")
        assert len(rule["uid"]) <= 40, "Grafana takes no longer one"
        assert not re.search(r"(?<!\$)\$(?!\$)", a["model"]["query"]), "Grafana would expand it"


def test_an_unknown_kind_of_panel_is_told() -> None:
    with pytest.raises(ValueError, match="panel 'x': unknown kind 'pie'"):
        panel({"title": "x", "kind": "pie", "queries": []}, {}, 1)


def test_the_password_of_the_data_source_comes_from_a_file() -> None:
    text = (ROOT / "grafana/provisioning/datasources/influxdb.yml").read_text()
    (source,) = yaml.safe_load(text)["datasources"]
    assert source["secureJsonData"] == {
        "password": "$__file{/run/secrets/influxdb-grafana-password}"
    }
    assert source["uid"] == DASHBOARDS["site"]["panels"][1]["datasource"]["uid"]
