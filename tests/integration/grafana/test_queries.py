"""Every query of every panel and alert, on a real InfluxDB that a real site has filled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from grafana import generate, preview
from grafana.ask import Period, ask, expand, table
from tests.support.process_site import LiveSite
from tests.support.services.influx import InfluxServer
from tests.support.site_with_metrics import Filled
from tests.unit.grafana.test_source import DASHBOARDS, panels, query_of, rules


@pytest.fixture(scope="module")
def filled(influxdb: InfluxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    root = tmp_path_factory.mktemp("site")
    site = LiveSite(root)
    made = Filled(site, influxdb)
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
    for name in generate.DASHBOARDS:
        for row in generate.source(name)["rows"]:
            for one in row["panels"]:
                if one["title"] == title and "optional" in one:
                    return True
    return False


@pytest.mark.parametrize(
    ("name", "title"),
    [(name, one["title"]) for name, dashboard in DASHBOARDS.items() for one in panels(dashboard)],
)
def test_every_query_of_a_panel_gives_rows(filled: Filled, name: str, title: str) -> None:
    (panel,) = [one for one in panels(DASHBOARDS[name]) if one["title"] == title]
    for target in panel["targets"]:
        query = expand(target["query"], filled.period)
        as_table = target["resultFormat"] == "table"
        lines = table(filled.client, query) if as_table else ask(filled.client, query)
        values = [row[-1] for line in lines for row in line.rows if row[-1] is not None]
        if not values and optional(title):
            pytest.skip(f"{title}: the source says why it may be empty")
        assert values, f"{title}: no rows for {query}"


@pytest.mark.parametrize("uid", [rule["uid"] for rule in rules()])
def test_every_query_of_an_alert_gives_rows(filled: Filled, uid: str) -> None:
    (rule,) = [one for one in rules() if one["uid"] == uid]
    query = expand(query_of(rule), filled.period)
    lines = ask(filled.client, query)
    assert [row for line in lines for row in line.rows if row[-1] is not None], query


def test_variables_choose_sites_nodes_and_pools(filled: Filled) -> None:
    query = 'SELECT last("count") FROM "thyme_jobs" WHERE "pool" =~ /^$pool$/ AND $timeFilter'
    chosen = {"pool": ["alien_jobs", "o'ther.pool"]}
    assert ask(filled.client, expand(query, filled.period, chosen))
    assert not ask(filled.client, expand(query, filled.period, {"pool": ["alien"]}))


def test_a_variable_that_is_not_known_is_told() -> None:
    with pytest.raises(ValueError, match=r"not known here: SELECT \$x"):
        expand("SELECT $x", Period(0, 1))


def test_the_preview_draws_every_panel(filled: Filled, tmp_path: Path) -> None:
    paths = preview.write(filled.client, tmp_path, filled.period)
    assert [path.name for path in paths] == [f"{name}.html" for name in DASHBOARDS]
    for path in paths:
        text = path.read_text()
        dashboard = json.loads(
            (generate.HERE / "dashboards" / f"{path.stem}.json").read_text(encoding="utf-8")
        )
        for one in panels(dashboard):
            assert f"<h2>{one['title'].replace('&', '&amp;')}" in text
        assert not re.search(r"(?:src)=|url\(|@import", text)
        empty = text.count("No data")
        assert empty <= sum(optional(one["title"]) for one in panels(dashboard)), path.name


def test_the_preview_says_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert preview.main(["http://127.0.0.1:1"]) == 1
    assert "names no database" in capsys.readouterr().err
    assert preview.main(["http://127.0.0.1:1#db", "--output", "/dev/null/x"]) == 1
    assert capsys.readouterr().err.startswith("grafana.preview: ")
