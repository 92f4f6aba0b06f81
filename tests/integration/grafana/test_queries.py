"""Every panel and rule, on a real InfluxDB that a real site has filled."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from grafana import generate
from tests.support.grafana_rules import Ask, NoSuchVariable, Rule, expand, shown
from tests.support.process_site import LiveSite
from tests.support.services.influx import InfluxServer
from tests.support.site_with_metrics import MetricsSite
from tests.unit.grafana.test_source import DASHBOARDS, panels, rules

pytestmark = pytest.mark.needs("grafana")


@pytest.fixture(scope="module")
def filled(
    influxdb: InfluxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MetricsSite]:
    root = tmp_path_factory.mktemp("site")
    site = LiveSite(root)
    made = MetricsSite(site, influxdb)
    try:
        made.work()
        made.fail()
        made.image(tmp_path_factory.mktemp("node"))
        yield made
    finally:
        made.client.close()
        site.stop()


def optional(title: str) -> bool:
    """Whether the source says why the panel may be empty on a site that works."""
    return any(
        one["title"] == title and "optional" in one
        for name in generate.DASHBOARDS
        for row in generate.source(name)["rows"]
        for one in row["panels"]
    )


def is_empty(answer: list[dict[str, Any]]) -> bool:
    return all(one.get("text") in ("", "No data") for one in answer)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_shows_something(filled: MetricsSite, name: str) -> None:
    every = panels(DASHBOARDS[name])
    found = shown(every, Ask(filled.client), filled.period)
    empty = [one["title"] for one, answer in zip(every, found, strict=True) if is_empty(answer)]
    assert [title for title in empty if not optional(title)] == []


@pytest.mark.parametrize("uid", [rule["uid"] for rule in rules()])
def test_every_rule_can_be_evaluated_and_its_queries_find_something(
    filled: MetricsSite, uid: str
) -> None:
    (rule,) = [one for one in rules() if one["uid"] == uid]
    # an error of the database would be raised
    values = Rule(rule).evaluate(Ask(filled.client), time.time())
    if rule["noDataState"] == "NoData":
        assert values["A"], uid


def test_variables_are_replaced_as_grafana_does() -> None:
    query = '"pool" =~ /^$pool$/ AND "site" =~ /^$site$/ AND $timeFilter GROUP BY time($__interval)'
    chosen = {"pool": ["a.b", "c/d"], "site": ["x"]}
    assert expand(query, 1.0, 2.0, 60_000, chosen) == (
        r'"pool" =~ /^(a\.b|c\/d)$/ AND "site" =~ /^x$/ AND time >= 1000ms and time <= 2000ms '
        "GROUP BY time(60000ms)"
    )
    with pytest.raises(NoSuchVariable):
        expand("SELECT $$timeFilter", 0.0, 1.0, 60_000, {})
