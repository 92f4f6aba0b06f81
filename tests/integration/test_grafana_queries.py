"""Every query of every panel and alert, on a real InfluxDB that a real site has filled."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import generate, preview
from grafana.ask import Period, ask, expand, table
from plancton.cgroup import Protection
from plancton.model import ImageStatus, Prepared
from telemetry.influx import Influx
from telemetry.targets import parse
from tests.live_site import LiveSite
from tests.services.influx import InfluxServer
from tests.unit.test_grafana_source import DASHBOARDS, panels, query_of, rules
from tests.unit.test_plancton_metrics import Node
from tests.waiting import wait_until

DATABASE = "site"
JOBS = """\
executable = /bin/sh
log = {root}/log
output = /dev/null
arguments = "-c '{script}'"
queue {count}
"""


class Filled:
    """A site that worked, and had every kind of trouble, in one database."""

    def __init__(self, site: LiveSite, server: InfluxServer) -> None:
        self.site, self.server = site, server
        self.begin = time.time()
        self.client = server.client(DATABASE)
        self.client.create_database(DATABASE)
        self.config_file = site.root / "plancton/conf/config.yaml"

    def configure(self, **values: Any) -> None:
        config = yaml.safe_load(self.config_file.read_text())
        config.update(
            influxdb_url=f"http://127.0.0.1:{self.server.port}#{DATABASE}",
            metrics_interval=1,
            updateconfig=0.2,
            site="here",
        )
        config.update(values)
        self.config_file.write_text(yaml.safe_dump(config))

    def submit(self, script: str, count: int) -> None:
        text = JOBS.format(root=self.site.root, script=script, count=count)
        self.site.ask("condor_submit", stdin=text)

    def until(self, query: str, what: str) -> None:
        """Until the query gives a row."""
        wait_until(
            lambda: self.rows(query), what, timeout=60.0, state=lambda: self.server.query(
                DATABASE, "SHOW SERIES"
            ) and (self.site.root / "plancton.log").read_text()[-2000:],
        )  # fmt: skip

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.server.query(DATABASE, query)

    def work(self) -> None:
        """Jobs that end in each way, pilots that are asked to go."""
        self.configure(max_ttl=3600)
        self.site.start_schedd(
            "--influxdb-url", f"http://127.0.0.1:{self.server.port}#{DATABASE}",
            "--metrics-interval", "1", "--site", "here",
        )  # fmt: skip
        self.submit("true", 6)
        self.submit("exit 3", 2)
        self.submit("kill -9 $$", 1)
        # nobody is there to take them
        self.until("SELECT queued FROM thyme_slots WHERE queued > 0 AND busy = 0", "a queue")
        self.site.start_plancton()
        self.until("SELECT count FROM thyme_exits WHERE class = 'signal' AND count > 0", "an end")
        self.until("SELECT ended_normal FROM plancton_pilots WHERE ended_normal > 0", "an end")
        self.submit("sleep 600", 2)
        self.until("SELECT running FROM plancton_pilots WHERE running > 1", "running pilots")
        self.configure(max_ttl=0.5)
        self.until("SELECT count FROM plancton_evictions WHERE reason = 'max_ttl'", "an eviction")
        self.configure(max_ttl=3600)

    def fail(self) -> None:
        """A wrong configuration, pilots that fail, a broker that is gone."""
        good = self.config_file.read_text()
        self.config_file.write_text("max_dokcs: 1\n")
        self.until(
            "SELECT config_age FROM plancton_state WHERE config_rejected = true", "the rejection"
        )
        self.config_file.write_text(good)
        self.configure(docker_cmd=["/bin/sh", "-c", "exit 5"], breaker_backoff=600)
        self.site.ask("condor_rm", "-all")
        self.until(
            "SELECT breaker_failures FROM plancton_state WHERE breaker_open = true", "the breaker"
        )
        broker = self.site.root / "broker.db"
        broker.rename(broker.with_name("away"))
        self.until("SELECT jobs FROM thyme_schedd WHERE broker_ok = false", "the loss to be told")
        broker.with_name("away").rename(broker)

    def image(self, directory: Path) -> None:
        """What only nodes with containers send, from the node's own code."""
        node = Node(directory)
        status = ImageStatus("w:1", "w:1", "sha256:a", problem="refused", age=70.0)
        node.engine.prepared = Prepared(status, Protection("/plancton", cpu="idle"))
        node.clock.ahead = time.time() - node.clock.now() - 30.0
        node.look()
        node.interval()
        target = Influx(parse(f"http://127.0.0.1:{self.server.port}#{DATABASE}"))
        target.write(node.points)
        target.close()

    @property
    def period(self) -> Period:
        return Period(self.begin - 60.0, time.time() + 60.0)


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
