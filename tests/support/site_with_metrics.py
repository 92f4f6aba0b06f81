"""A site that has run and has had every kind of fault, with its series in one database."""

import time
from pathlib import Path
from typing import Any

from plancton.model import ImageStatus, Prepared, Protection
from telemetry.influx import Influx
from telemetry.targets import parse
from tests.support.process_site import LiveSite
from tests.support.services.influx import InfluxServer
from tests.support.waiting import wait_until
from tests.unit.plancton.metrics.test_metrics import Node

DATABASE = "site"
JOBS = """\
executable = /bin/sh
log = {root}/log
output = /dev/null
arguments = "-c '{script}'"
queue {count}
"""


class MetricsSite:
    """``work``, ``fail`` and ``image`` produce the series, in that order."""

    def __init__(self, site: LiveSite, server: InfluxServer) -> None:
        self.site, self.server = site, server
        self.begin = time.time()
        self.client = server.client(DATABASE)
        self.client.create_database(DATABASE)
        self.url = f"http://127.0.0.1:{server.port}#{DATABASE}"

    def configure(self, **values: Any) -> None:
        fixed = {"metrics_interval": 1, "updateconfig": 0.2, "site": "here"}
        self.site.configure(influxdb_url=self.url, **fixed, **values)

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
            "--influxdb-url", self.url, "--metrics-interval", "1", "--site", "here"
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
        self.until("SELECT total_seconds FROM plancton_cpu", "CPU time")
        self.configure(max_ttl=0.5)
        self.until("SELECT count FROM plancton_evictions WHERE reason = 'max_ttl'", "an eviction")
        self.configure(max_ttl=3600)

    def fail(self) -> None:
        """Make a wrong configuration, pilots that fail, a broker that is gone."""
        good = self.site.config_file.read_text()
        self.site.config_file.write_text("max_dokcs: 1\n")
        self.until(
            "SELECT config_age FROM plancton_state WHERE config_rejected = true", "the rejection"
        )
        self.site.config_file.write_text(good)
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
        """Send what only nodes with containers send, by the node's own code."""
        node = Node(directory)
        status = ImageStatus("w:1", "w:1", "sha256:a", problem="refused", age=70.0)
        node.engine.prepared = Prepared(status, Protection("/plancton", cpu="idle"))
        node.clock.ahead = time.time() - node.clock.now() - 30.0
        node.look()
        node.interval()
        target = Influx(parse(self.url))
        target.write(node.points)
        target.close()

    @property
    def period(self) -> tuple[float, float]:
        """From its first moment until now, seconds since 1970."""
        return self.begin - 1.0, time.time() + 1.0
