"""What sending figures costs a node."""

import tempfile
import time
from pathlib import Path

from tests.support.services.influx import InfluxServer

from .container_node import container_node
from .rest import PILOTS, cpu_seconds
from .result import Result

#: Some intervals, each with the node's own timer.
SECONDS, INTERVAL = 60.0, 5.0
GOAL = 0.01


def metrics_node() -> Result:
    """CPU of the whole daemon that sends six times as often as it would, by one core."""
    with tempfile.TemporaryDirectory(prefix="influx-") as directory, container_node() as node:
        server = InfluxServer(Path(directory))
        try:
            server.up()
            node.configure(
                max_docks=PILOTS,
                quick_death=0,
                main_sleep=INTERVAL,
                metrics_interval=INTERVAL,
                influxdb_url=f"http://127.0.0.1:{server.port}#bench",
            )
            node.up()
            node.wait_for(PILOTS)
            assert node.process is not None
            pid = node.process.pid
            begin, used = time.monotonic(), cpu_seconds(pid)
            time.sleep(SECONDS)  # what is measured is this very time
            share = (cpu_seconds(pid) - used) / (time.monotonic() - begin)
            rows = server.query("bench", 'SELECT count("uptime") AS n FROM daemon')
            assert rows[0]["n"] >= SECONDS / INTERVAL - 2, "it did not send"
        finally:
            server.clean()
    return Result(
        what=f"the daemon with {PILOTS} pilots, figures every {INTERVAL:g} s: CPU of all it does",
        value=share * 100,
        unit="% CPU",
        reference="one core",
        ratio=share,
        goal=f"<= {GOAL:.0%} of a core",
        met=share <= GOAL,
    )
