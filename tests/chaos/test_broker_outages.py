"""RabbitMQ goes away in every way while 200 jobs run on a whole site of real processes.

What the jobs themselves wrote is compared with the ledger (``counting_site``).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.counting_site import JOBS, CountingSite
from tests.setup.needs import needs
from tests.support.services.cuttable_connection import CuttableConnection
from tests.support.services.fixtures import keep_up
from tests.support.services.rabbitmq import RabbitServer
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
@needs("rabbitmq")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    yield from keep_up(RabbitServer(tmp_path_factory.mktemp("rabbitmq")))


class Outage(CountingSite):
    """A site on a virtual host of its own; its lines to the broker can be cut."""

    def __init__(self, root: Path, server: RabbitServer, lease: float, seconds: float) -> None:
        self.vhost = server.vhost()
        self.line, self.schedds_line = (
            CuttableConnection(server.port),
            CuttableConnection(server.port),
        )
        schedds, workers = (self.vhost.url_at(line.port) for line in (self.schedds_line, self.line))
        super().__init__(root, lease, seconds, schedds, workers)

    def stop(self) -> list[tuple[int, str]]:
        try:
            return super().stop()
        finally:
            self.line.close()
            self.schedds_line.close()


@pytest.fixture
def make(tmp_path: Path, own: RabbitServer) -> Iterator[Callable[..., Outage]]:
    made: list[Outage] = []

    def site(lease: float, seconds: float = 0.3) -> Outage:
        made.append(Outage(tmp_path, own, lease, seconds))
        return made[-1]

    yield site
    left = [process for site in made for process in site.stop()]
    assert left == []


def run(site: Outage, outage: Callable[[], None]) -> str:
    """All the jobs, with ``outage`` in their midst; the cluster, when the ledger has all."""
    cluster = site.run(outage, site.vhost.server.settle, 90.0)
    assert set(site.lines("end")) == set(site.ledger()), "and no others"
    return cluster


def restart(server: RabbitServer) -> None:
    server.stop()
    server.up()


def kill(server: RabbitServer) -> None:
    server.kill()
    server.up()


def stay_away(server: RabbitServer, seconds: float, site: Outage) -> None:
    server.stop()
    site.pass_time(seconds)
    server.up()


def fill(server: RabbitServer, site: Outage) -> None:
    server.fill_memory()
    try:
        site.pass_time(6.0)  # longer than anybody waits for a confirm
    finally:
        server.free_memory()


@pytest.mark.parametrize("how", ["restarted", "killed", "stopped for a while", "full"])
def test_every_job_runs_once_although_the_broker_is(
    make: Callable[..., Outage], own: RabbitServer, how: str
) -> None:
    site = make(lease=25.0)
    outages: dict[str, Callable[[], None]] = {
        "restarted": lambda: restart(own),
        "killed": lambda: kill(own),
        "stopped for a while": lambda: stay_away(own, 6.0, site),
        "full": lambda: fill(own, site),
    }

    cluster = run(site, outages[how])

    assert site.lines("start") == {f"{cluster}.{n}": 1 for n in range(JOBS)}


def test_every_job_runs_once_although_all_are_cut_off_for_less_than_the_lease(
    make: Callable[..., Outage],
) -> None:
    site = make(lease=25.0)

    def outage() -> None:
        for line in (site.line, site.schedds_line):
            line.cut()
        site.pass_time(8.0)  # their heartbeats are missed, and the broker gives them up
        for line in (site.line, site.schedds_line):
            line.mend()

    cluster = run(site, outage)

    assert site.lines("start") == {f"{cluster}.{n}": 1 for n in range(JOBS)}


def test_no_job_is_lost_when_workers_are_cut_off_for_longer_than_the_lease(
    make: Callable[..., Outage],
) -> None:
    site = make(lease=3.0, seconds=0.5)

    def outage() -> None:
        site.line.cut()
        wait_until(
            lambda: site.recorded("event.lost"),
            "the schedd to give the cut workers' jobs up",
            timeout=60.0,
            state=site.state,
        )
        site.line.mend()

    run(site, outage)

    assert sum(site.lines("start").values()) >= JOBS


def test_no_job_is_lost_when_the_broker_is_away_for_longer_than_the_lease(
    make: Callable[..., Outage], own: RabbitServer
) -> None:
    site = make(lease=3.0)

    run(site, lambda: stay_away(own, 7.0, site))

    assert sum(site.lines("start").values()) >= JOBS
