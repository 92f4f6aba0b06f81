"""Dashboards and alert rules: made from one source, complete, with stable uids."""

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
    """All panels that ask something, those of collapsed rows too."""
    every = [one for panel in dashboard["panels"] for one in (panel, *panel.get("panels", ()))]
    return [one for one in every if "targets" in one]


def queries() -> list[tuple[str, str]]:
    found = [
        (f"{name}: {one['title']}", target["query"])
        for name, dashboard in DASHBOARDS.items()
        for one in panels(dashboard)
        for target in one["targets"]
        if "query" in target
    ]
    return found + [(uid, query) for uid, query in rule_queries()]


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def rule_queries() -> list[tuple[str, str]]:
    """As they stand in the file: Grafana takes a rule's model as it is."""
    return [
        (rule["uid"], one["model"]["query"])
        for rule in rules()
        for one in rule["data"]
        if "query" in one["model"]
    ]


def test_what_is_committed_is_what_the_source_makes() -> None:
    made = dict(generate.made())
    assert {path: path.read_text() for path in made} == made, "run: python -m grafana.generate"


def test_uids_are_stable_and_every_panel_has_a_place_of_its_own() -> None:
    assert [one["uid"] for one in DASHBOARDS.values()] == UIDS
    for name, dashboard in DASHBOARDS.items():
        ids = [one["id"] for one in dashboard["panels"]]
        assert len(set(ids)) == len(ids), name
        taken: set[tuple[int, int]] = set()
        for one in dashboard["panels"]:
            place = one["gridPos"]
            assert not one.get("collapsed") or one["panels"], "a row that hides nothing"
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
    # names that the query itself gives
    known |= set(re.findall(r'AS "([^"]+)"', query)) | {"v", "n", "w", "q", "b"}
    unknown = words - known - {one.name for one in asked}
    assert not unknown, f"{where}: {unknown} in {query}"


@pytest.mark.parametrize(("where", "query"), queries())
def test_a_node_is_known_by_site_and_name_and_a_queue_by_all_that_it_has(
    where: str, query: str
) -> None:
    for grouped in re.findall(r"GROUP BY ([^)]+)", query):
        for name in ("hostname", "schedd", "pool"):
            if f'"{name}"' in grouped:
                assert '"site"' in grouped, f"{where}: {grouped}"
    assert not {"daemon", "measurement", "container"} & set(re.findall(r'FROM "(\w+)"', query)), (
        "the series of 2017 have no site"
    )


@pytest.mark.parametrize(("uid", "query"), rule_queries())
def test_a_rule_goes_by_its_own_time_range(uid: str, query: str) -> None:
    assert "$timeFilter" in query
    assert not re.search(r"\$\$|\$(?!timeFilter)", query), "no other macro, and one dollar"
    assert "now()" not in query


def test_an_alert_names_what_it_is_about_and_leads_to_a_panel_that_is_there() -> None:
    ids = {
        one["uid"]: {panel["id"]: panel["title"] for panel in panels(one)}
        for one in DASHBOARDS.values()
    }
    for rule in rules():
        summary, uid = rule["annotations"]["summary"], rule["uid"]
        grouped = re.findall(r"GROUP BY ([^()]+)$", rule["data"][0]["model"]["query"])
        (last,) = grouped
        for label in re.findall(r'"(\w+)"', last):
            if label != "target":
                assert f"{{{{ $labels.{label} }}}}" in summary or label == "site", uid
        assert rule["panelId"] in ids[rule["dashboardUid"]], uid
        assert rule["annotations"]["__panelId__"] == str(rule["panelId"])
        assert "$" not in json.dumps(rule["labels"]), "Grafana reads labels for variables"


@pytest.mark.needs("grafana")
def test_the_dashboards_have_the_form_that_grafana_publishes() -> None:
    assert grafana_types.complaints(DASHBOARDS) == ""


@pytest.mark.needs("grafana")
def test_the_check_of_the_form_finds_what_is_wrong() -> None:
    wrong = copy.deepcopy(DASHBOARDS["site"])
    panels(wrong)[0]["options"]["colorMode"] = "rainbow"
    assert "rainbow" in grafana_types.complaints({"site": wrong})


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_means(name: str) -> None:
    every = [
        one
        for row in DASHBOARDS[name]["panels"]
        for one in (row, *row.get("panels", ()))
        if one["type"] != "row"
    ]
    assert every
    assert [one["title"] for one in every if len(one["description"]) < 15] == []


def test_every_alert_says_what_to_do_and_when_it_is_bad() -> None:
    uids = [rule["uid"] for rule in rules()]
    assert len(set(uids)) == len(uids) == 16
    for rule in rules():
        assert len(rule["annotations"]["description"]) > 80, rule["uid"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        refs = {one["refId"]: one["model"] for one in rule["data"]}
        assert rule["condition"] in refs
        for model in refs.values():
            named = re.findall(r"\$(\w+)", model.get("expression", "")) or [model.get("expression")]
            assert {one for one in named if one} <= set(refs), rule["uid"]
        assert len(rule["uid"]) <= 40, "Grafana takes no longer one"


def test_the_how_to_names_every_alert_and_nothing_is_guessed_about_who_is_told() -> None:
    text = (ROOT / "docs/howto-alerts.md").read_text()
    # an anchor as GitHub makes it of a heading
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings]
    for rule in rules():
        page, anchor = rule["annotations"]["page"].split("#")
        assert page == "docs/howto-alerts.md"
        assert anchor in anchors, rule["uid"]
    assert headings == [rule["title"] for rule in rules()], "and no section without a rule"
    provisioned = [path.name for path in (ROOT / "grafana/provisioning").rglob("*.yml")]
    assert sorted(provisioned) == ["influxdb.yml", "plancton.yml", "rules.yml"]
    example = yaml.safe_load((ROOT / "grafana/contact-points.example.yml").read_text())
    (policy,) = example["policies"]
    (template,) = example["templates"]
    for said in ("summary", "description", "page"):
        assert f".Annotations.{said}" in template["template"]
    for said in (".ValueString", ".StartsAt", ".PanelURL"):
        assert said in template["template"]
    assert policy["receiver"] in {one["name"] for one in example["contactPoints"]}


def test_provisioning_claims_no_default_and_no_second_folder() -> None:
    (source,) = yaml.safe_load(
        (ROOT / "grafana/provisioning/datasources/influxdb.yml").read_text()
    )["datasources"]
    assert "isDefault" not in source, "a Grafana with another default would not start"
    (provider,) = yaml.safe_load(
        (ROOT / "grafana/provisioning/dashboards/plancton.yml").read_text()
    )["providers"]
    assert "folderUid" not in provider, "alerting makes the folder first, with a uid of its own"
    assert provider["folder"] == RULES["groups"][0]["folder"]


def test_an_unknown_kind_of_panel_is_told() -> None:
    with pytest.raises(ValueError, match="panel 'x': unknown kind 'pie'"):
        panel({"title": "x", "kind": "pie", "queries": []}, {}, 1)


def test_the_password_of_the_data_source_comes_from_a_file() -> None:
    text = (ROOT / "grafana/provisioning/datasources/influxdb.yml").read_text()
    (source,) = yaml.safe_load(text)["datasources"]
    assert source["secureJsonData"] == {
        "password": "$__file{/run/secrets/influxdb-grafana-password}"
    }
    assert source["uid"] == panels(DASHBOARDS["site"])[0]["datasource"]["uid"]
