"""RabbitMQ goes away in every way while 200 jobs run on a whole site of real processes.

What the jobs themselves wrote is compared with the ledger. An outage shorter than the lease:
every job runs exactly once. A longer one: at least once. None is ever lost.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.setup.needs import needs
from tests.support.process_site import LiveSite, submit_text
from tests.support.services.cuttable_connection import CuttableConnection
from tests.support.services.fixtures import keep_up
from tests.support.services.rabbitmq import RabbitServer
from tests.support.waiting import wait_until
from thyme.broker import connect

JOBS = 200
PILOTS = 8
#: Jobs that have ended when the outage begins.
BEFORE = 30
#: Each line is one write to a file opened for appending, so lines never mix.
JOB = """#!/bin/sh
echo "start $1" >> {runs}
sleep {seconds}
echo "end $1" >> {runs}
exit $2
"""


@pytest.fixture(scope="module")
@needs("rabbitmq")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    yield from keep_up(RabbitServer(tmp_path_factory.mktemp("rabbitmq")))


class Outage(LiveSite):
    """A site on a virtual host of its own; its lines to the broker can be cut."""

    def __init__(self, root: Path, server: RabbitServer, lease: float, seconds: float) -> None:
        self.vhost = server.vhost()
        self.line, self.schedds_line = (
            CuttableConnection(server.port),
            CuttableConnection(server.port),
        )
        # minutes become seconds: how soon a silent broker is given up
        short = "?timeout=4&heartbeat=5"
        super().__init__(root, lease, PILOTS, self.vhost.url_at(self.schedds_line.port) + short)
        path = root / "plancton/conf/config.yaml"
        config = yaml.safe_load(path.read_text())
        config["docker_cmd"] += ["--max-jobs=20", "--max-backoff=1"]
        config["environment"]["THYME_URL"] = self.vhost.url_at(self.line.port) + short
        path.write_text(yaml.safe_dump(config))
        self.runs = root / "runs"
        self.runs.touch()
        self.script = root / "job.sh"
        self.script.write_text(JOB.format(runs=self.runs, seconds=seconds))
        self.script.chmod(0o755)

    def lines(self, word: str) -> Counter[str]:
        """How often each job wrote ``word``."""
        written = (line.split() for line in self.runs.read_text().splitlines())
        return Counter(job for said, job in written if said == word)

    def submit(self) -> str:
        """Submit all the jobs; the cluster."""
        text = [
            f"executable = {self.script}",
            "code = $(Process) % 3",
            "arguments = $(Cluster).$(Process) $INT(code)",
            "log = jobs.log",
            f"queue {JOBS}",
        ]
        answer = self.ask("condor_submit", "-terse", stdin=submit_text(text))
        return answer.split(".")[0]

    def ledger(self) -> dict[str, str]:
        """``JobStatus ExitCode`` of every job."""
        queued = self.command("condor_q", "-af:j", "JobStatus", "ExitCode")
        ended = self.command("condor_history", "-af:j", "JobStatus", "ExitCode")
        rows = (queued.stdout + ended.stdout).splitlines()
        return {job: state for job, _space, state in (row.partition(" ") for row in rows)}

    def recorded(self, key: str) -> int:
        """How many records of the stream have this key."""
        with closing(connect(self.vhost.url)) as broker:
            return sum(record.key == key for record in broker.read(-1, 100_000))

    def state(self) -> str:
        tail = (self.root / "schedd.log").read_text()[-1500:]
        worker = (self.root / "plancton.log").read_text()[-500:]
        states = Counter(self.ledger().values())
        return f"{states} {sum(self.lines('end').values())} ends\n{tail}\n{worker}"

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
    site.start_schedd()
    site.vhost.server.settle()
    site.start_plancton()
    cluster = site.submit()
    some = lambda: sum(site.lines("end").values()) >= BEFORE  # noqa: E731
    wait_until(some, "jobs to run", timeout=60.0, state=site.state)
    assert len(site.lines("end")) < JOBS

    outage()

    expected = {f"{cluster}.{n}": f"4 {n % 3}" for n in range(JOBS)}
    wait_until(lambda: site.ledger() == expected, "all to complete", timeout=90.0, state=site.state)
    assert set(site.lines("end")) == set(expected)
    return cluster


def restart(server: RabbitServer) -> None:
    server.stop()
    server.up()


def kill(server: RabbitServer) -> None:
    server.kill()
    server.up()


def stay_away(server: RabbitServer, seconds: float, site: Outage) -> None:
    server.stop()
    pass_time(site, seconds)
    server.up()


def fill(server: RabbitServer, site: Outage) -> None:
    server.fill_memory()
    try:
        pass_time(site, 6.0)  # longer than anybody waits for a confirm
    finally:
        server.free_memory()


def pass_time(site: Outage, seconds: float) -> None:
    """How long an outage lasts is the point here: nothing else is to be waited for."""
    with pytest.raises(subprocess.TimeoutExpired):
        site.running["schedd"].wait(seconds)


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
        pass_time(site, 8.0)  # their heartbeats are missed, and the broker gives them up
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
