"""The metrics of the real daemon: a target that hangs delays nothing, and the day is kept."""

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node_daemon import Node
from tests.support.services.influx import InfluxServer
from tests.support.services.rabbitmq import free_port
from tests.support.waiting import wait_until


@pytest.fixture
def hole() -> Iterator[int]:
    """Open a port where connections are accepted and nothing is ever answered."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


def test_a_target_that_never_answers_delays_neither_the_loop_nor_the_end(
    node: Node, hole: int
) -> None:
    pilots = node.fill(
        influxdb_url=f"http://127.0.0.1:{hole}#db", metrics_interval=1, main_sleep=0.2
    )
    first = node.published()["looked"]
    wait_until(lambda: node.published()["looked"] > first + 3.0, "the loop to go on", 60.0)
    # a pilot that ends is replaced although a request hangs
    victim = min(pilots)
    os.kill(pilots[victim], signal.SIGKILL)
    node.wait_for_others(victim)
    node.terminate()


def test_two_targets_get_the_same_and_the_page_and_the_day_as_well(
    node: Node, influxdb: InfluxServer, tmp_path: Path
) -> None:
    here, page = f"http://127.0.0.1:{influxdb.port}", f"127.0.0.1:{free_port()}"
    node.fill(
        influxdb_url=[f"{here}#one_{tmp_path.name}", f"{here}#other_{tmp_path.name}"],
        metrics_interval=1,
        main_sleep=0.2,
        site="here",
        prometheus=page,
    )
    for database in ("one", "other"):
        name = f"{database}_{tmp_path.name}"
        wait_until(lambda name=name: name in influxdb.databases(), "the database", 60.0)
        wait_until(
            lambda name=name: influxdb.query(
                name, "SELECT running FROM plancton_pilots WHERE site = 'here' AND running = 3"
            ),
            "the figures",
            60.0,
            state=node.log,
        )
    with urllib.request.urlopen(f"http://{page}/metrics", timeout=20) as answer:
        assert b"plancton_pilots_running" in answer.read()
    node.terminate()
    done = node.ctl("report", "--output", str(tmp_path / "day.html"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b[1-9] of 1440 minutes", (tmp_path / "day.html").read_text())


def test_a_page_that_cannot_be_shown_is_a_problem_of_the_configuration(node: Node) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "{}:{}".format(*taken.getsockname())
        node.configure(prometheus=address)
        node.nodaemon()
        node.wait_for(3)
        told = node.ctl("explain").stdout
        assert f"prometheus: cannot listen at {address}: Address already in use" in told
