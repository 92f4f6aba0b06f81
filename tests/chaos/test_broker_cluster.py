"""A broker of three loses a node, a link, its majority or disk while jobs run and are submitted.

Each job runs once and completes, and so does each that condor_submit has said yes to meanwhile.
Minutes: `make test-cluster` runs it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.counting_site import CountingSite
from tests.setup.needs import needs
from tests.support.services.fixtures import keep_up
from tests.support.services.rabbitmq import RabbitServer
from tests.support.services.rabbitmq_cluster import RabbitCluster
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

JOBS_QUEUE, EVENTS = "thyme.jobs.alien_jobs", "thyme.events"
#: Seconds: of a lease, and of outages; the nodes give a silent one up after 8.
LEASE, SHORT, LONG, MINUTES = 120.0, 8.0, 25.0, 70.0
#: Seconds in which all jobs complete. Once six jobs were idle for longer than a lease: perhaps
#: RabbitMQ kept their messages for consumers that it never sent them to (its issue 15473). The
#: schedd queues a job again within two leases.
PATIENCE = 2 * LEASE + 120.0
#: Jobs of each submission during the outage.
EXTRA = 3


@pytest.fixture(scope="module")
@needs("rabbitmq", "routing")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    yield from keep_up(RabbitCluster(tmp_path_factory.mktemp("cluster")))


class Outage:
    """How the node that leads goes away, and comes back."""

    def __init__(self, cluster: RabbitCluster, leader: RabbitServer) -> None:
        self.cluster, self.leader = cluster, leader
        self.others = [server for server in cluster.servers if server is not leader]

    def kill(self) -> None:
        self.leader.kill()

    def stop(self) -> None:
        self.leader.stop()

    def start(self) -> None:
        self.leader.up()

    def pause(self) -> None:
        self.leader.hang()

    def go_on(self) -> None:
        """Let it run again, and restart it: docs/howto-broker.md says that this is needed."""
        self.leader.go_on()
        self.leader.stop()
        self.leader.up()

    def cut_off(self) -> None:
        """Cut its links to both others; clients reach all three."""
        for other in self.others:
            self.cluster.cut(self.leader, other)

    def join(self) -> None:
        for other in self.others:
            self.cluster.mend(self.leader, other)

    def cut_one_link(self) -> None:
        self.cluster.cut(self.leader, self.others[0])

    def scatter(self) -> None:
        """Cut all links: no node has a majority."""
        self.cut_off()
        self.cluster.cut(*self.others)

    def gather(self) -> None:
        self.join()
        self.cluster.mend(*self.others)

    def fill_disk(self) -> None:
        """Let it find less free space than it needs: no node takes messages then."""
        self.leader.fill_disk()

    def free_disk(self) -> None:
        self.leader.free_disk()

    def roll(self) -> None:
        """Restart all nodes, one after the other, as an upgrade does."""
        for server in (self.leader, *self.others):
            server.stop()
            server.up()
            self.cluster.wait_until_whole(server)

    def wait(self) -> None:
        """Do nothing: all of them are back."""


Step = Callable[[Outage], None]
#: How it begins and ends, seconds in between, and whether two nodes take jobs meanwhile.
OUTAGES: dict[str, tuple[Step, Step, float, bool]] = {
    "is killed": (Outage.kill, Outage.start, SHORT, True),
    "is stopped": (Outage.stop, Outage.start, SHORT, True),
    "stands still": (Outage.pause, Outage.go_on, LONG, True),
    "is cut off for seconds": (Outage.cut_off, Outage.join, 3.0, False),
    "is cut off for a minute": (Outage.cut_off, Outage.join, MINUTES, True),
    "loses one link": (Outage.cut_one_link, Outage.join, LONG, False),
    "loses all and the others each other": (Outage.scatter, Outage.gather, LONG, False),
    "has a full disk": (Outage.fill_disk, Outage.free_disk, LONG, False),
    "is upgraded with the others": (Outage.roll, Outage.wait, 0.1, True),
}


@pytest.mark.parametrize("queue", [JOBS_QUEUE, EVENTS])
@pytest.mark.parametrize("how", OUTAGES)
def test_each_job_runs_once_although_the_node_that_leads(
    cluster: RabbitCluster, tmp_path: Path, how: str, queue: str
) -> None:
    vhost = cluster.servers[0].vhost()
    url = cluster.url(vhost)
    site = CountingSite(tmp_path, LEASE, 0.3, url, url)
    promised: list[str] = []

    def submit() -> bool:
        done = site.command("condor_submit", "-terse", stdin=site.describe(EXTRA), timeout=120.0)
        if done.returncode == 0:
            promised.append(done.stdout.split(".")[0])
        return done.returncode == 0

    def outage() -> None:
        outage = Outage(cluster, cluster.find_leader(vhost, queue))
        begin, end, seconds, takes = OUTAGES[how]
        begin(outage)
        try:
            submit()
            site.pass_time(seconds)
            submit()
        finally:
            end(outage)
        assert promised or not takes, "two nodes of three take jobs"
        cluster.wait_until_whole(outage.leader)
        wait_until(submit, "a submit that is taken", state=site.state)

    try:
        main = site.run(outage, cluster.wait_for_streams, PATIENCE)
        extra = {f"{each}.{n}": f"4 {n % 3}" for each in promised for n in range(EXTRA)}
        wait_until(
            lambda: extra.items() <= site.ledger().items(), "the others", PATIENCE, site.state
        )
        assert all(count == 1 for count in site.lines("start").values()), site.lines("start")
        assert sum(job.startswith(f"{main}.") for job in site.lines("start")) == 200
        # what condor_submit has not said yes to is not there, or was removed again
        others = {job: state for job, state in site.ledger().items() if not state.startswith("4 ")}
        assert {state.split()[0] for state in others.values()} <= {"3"}, others
        assert set(site.lines("end")) == set(site.ledger()) - set(others)
    finally:
        left = site.stop()
    assert left == []
