"""The InfluxDB that a site reports to, as a victim, and its series compared with the truth."""

import os
from typing import Any

from tests.chaos.truth import JOBS
from tests.support.process_site import LiveSite
from tests.support.services.cuttable_connection import CuttableConnection
from tests.support.services.influx import InfluxServer
from tests.support.waiting import wait_until

DATABASE = "site"
#: Seconds in which points arrive: a sender that failed some times waits before it tries again.
PATIENCE = 120.0


class SiteSeries:
    """The site reports to ``server`` over ``line``."""

    def __init__(self, site: LiveSite, disk: int | None) -> None:
        """Prepare one below the site's root, to which schedd and plancton report each second.

        ``disk``: bytes of a file system for its data alone; None for no such.
        """
        place = site.root / "influxdb"
        place.mkdir()
        self.server = InfluxServer(place, disk=disk)
        self.line = CuttableConnection(self.server.port)
        url = f"http://127.0.0.1:{self.line.port}#{DATABASE}"
        site.schedd_options += [f"--influxdb-url={url}", "--metrics-interval=1"]
        site.configure(influxdb_url=url, metrics_interval=1)

    def restart(self) -> None:
        """Kill -9 it and start it again."""
        self.server.kill()
        self.server.up()

    def close(self) -> None:
        """End it."""
        self.line.close()
        self.server.clean()

    def ask(self, query: str) -> dict[str, Any]:
        """Return the one row that a query gives; empty where there is none."""
        rows = self.server.query(DATABASE, query)
        assert len(rows) <= 1, rows
        return rows[0] if rows else {}

    def wait_for_point(self, after: float) -> str:
        """Wait until the schedd has told of a time after ``after`` (seconds since 1970).

        Returns:
            The time of that point: what happens from now on is in later ones.
        """
        query = f"SELECT last(submitted) FROM thyme_rates WHERE time > {round(after * 1e9)}"
        row = wait_until(lambda: self.ask(query), "a point", PATIENCE, state=self.server.said)
        assert row is not None
        return str(row["time"])

    def check(self, since: str, jobs: int) -> None:
        """Compare with the truth: nothing runs any more.  Raises AssertionError.

        Args:
            since: a time of ``wait_for_point``; JOBS jobs were submitted later and have completed.
            jobs: how many there are in all.
        """
        asked = {
            "SELECT sum(submitted) AS a, sum(finished) AS b FROM thyme_rates": (JOBS, JOBS),
            "SELECT sum(count) AS a FROM thyme_exits WHERE class = 'ok'": (1,),
            "SELECT sum(count) AS a FROM thyme_exits WHERE class = 'error'": (JOBS - 1,),
            "SELECT sum(count) AS a FROM thyme_exits WHERE class !~ /ok|error/": (0,),
            "SELECT last(jobs) AS a FROM thyme_schedd": (jobs,),
            "SELECT last(queued) AS a, last(busy) AS b FROM thyme_slots": (0, 0),
            "SELECT last(ncpus) AS a FROM plancton_node": (os.cpu_count(),),
        }

        def answer() -> dict[str, tuple[Any, ...]]:
            answers = {}
            for query in asked:
                word = "AND" if "WHERE" in query else "WHERE"
                row = self.ask(f"{query} {word} time > '{since}'")
                answers[query] = tuple(row[name] for name in ("a", "b") if name in row)
            return answers

        wait_until(lambda: answer() == asked, "the series to tell of it", PATIENCE, state=answer)
        # a schedd that is killed cannot tell what happened in its last second: fewer, never more
        for name in ("submitted", "finished"):
            told = self.ask(f"SELECT sum({name}) AS a FROM thyme_rates")["a"]
            assert told <= jobs, (name, told, jobs)
