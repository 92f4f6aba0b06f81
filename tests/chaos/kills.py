"""Kill processes of a site at random moments, many times, and compare it with its jobs' own truth.

``python -m tests.chaos.kills --kills 300 --seed 7`` (`make chaos N=300 SEED=7`) prints its seed
and what it did; with ``--broker rabbitmq`` that is a RabbitMQ, killed and cut off, too, and with
``--engine docker`` pilots are containers of a Docker engine that is killed.  A round is a new site
on which a hundred are killed while jobs run and are submitted; at its end each job has completed
once, with the output, the exit code and the user log of one run, InfluxDB tells of it, and no
container is left.  Only jobs whose condor_submit failed, as their schedd was killed, may be removed
instead.  The same seed and round kill the same processes after the same waits.
``build/chaos.svg`` shows the last round over time.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.chaos.docker_pilots import KillableDocker
from tests.chaos.picture import Event, draw
from tests.chaos.site_series import SiteSeries
from tests.chaos.truth import (
    JOBS,
    check_jobs,
    check_removals,
    check_runs,
    describe_jobs,
    kill,
    kill_condor_submit,
    list_jobs,
    list_jobs_of,
    name_worker,
    read_events,
    read_runs,
    wait_at_most,
    wait_some,
    write_job,
)
from tests.support.process_site import PROGRAMS, LiveSite
from tests.support.services.cuttable_connection import CuttableConnection
from tests.support.services.programs import stop_process
from tests.support.services.rabbitmq import RabbitServer
from tests.support.waiting import wait_until
from thyme.errors import ExitCode

#: Kills on one site, and the jobs that are there whenever one happens.
KILLS, BUSY = 100, 2 * JOBS
#: Seconds until the next kill, and of a pause, a full disk or a cut: shorter than the lease (4 s).
LONGEST_WAIT, LONGEST_PAUSE = 0.5, 1.2
PICTURE = Path("build/chaos.svg")
#: Size of the file systems of the schedd's spool, of the embedded broker, and of InfluxDB.
DISK = 32 << 20
#: Seconds in which all jobs complete after the last kill.
PATIENCE = 240.0
#: Seconds: longer than RabbitMQ takes to start again, and a worker then to find it and report.
LEASE_OVER_RABBITMQ = 30.0
#: How often each is chosen.
VICTIMS = {
    "schedd": 4,
    "schedd as it starts": 3,
    "schedd and its disk": 3,
    "schedd in a submission": 4,
    "schedd, paused": 3,
    "schedd, its disk full": 3,
    "plancton": 5,
    "worker": 8,
    "worker, paused": 4,
    "pilot": 6,
    "condor_submit": 6,
    "everything": 2,
    "broker": 1,
    "broker, cut off": 4,
    "broker, its disk full": 3,
    "InfluxDB": 1,
    "InfluxDB, paused": 1,
    "InfluxDB, cut off": 1,
    "InfluxDB, its disk full": 1,
    "Docker": 5,
    "Docker, paused": 3,
}
#: Only where the broker is a RabbitMQ; only where it is embedded; only where pilots are containers.
OF_RABBITMQ, OF_EMBEDDED = {"broker", "broker, cut off"}, {"broker, its disk full"}
OF_DOCKER = {"Docker", "Docker, paused"}
#: Only where a file system can be mounted.
OF_ROOT = {"schedd, its disk full", "broker, its disk full", "InfluxDB, its disk full"}


class Round:
    """One site, its kills, and what is known of its jobs."""

    def __init__(
        self, root: Path, seed: str, broker: RabbitServer | None, docker: KillableDocker | None
    ) -> None:
        """Prepare a site below ``root``; see ``run_round``."""
        self.random, self.broker, self.docker = random.Random(seed), broker, docker
        self.lines: list[CuttableConnection] = []
        self.disks = {name: root / f"disk of the {name}" for name in ("schedd", "broker")}
        for disk in self.disks.values():
            disk.mkdir()
        self.has_disks = os.geteuid() == 0 and all(map(mount_disk, self.disks.values()))
        if broker is None:
            self.site = LiveSite(root, url=f"sqlite://{self.disks['broker']}/broker.db")
        else:
            vhost = broker.vhost()
            self.lines = [CuttableConnection(broker.port) for _ in range(2)]
            schedds, workers = (vhost.url_at(line.port) for line in self.lines)
            self.site = LiveSite(root, LEASE_OVER_RABBITMQ, url=schedds, workers_url=workers)
        self.site.spool = self.disks["schedd"] / "spool"
        self.series = SiteSeries(self.site, DISK if self.has_disks else None)
        self.disks["InfluxDB"] = self.series.server.data
        if docker is not None:
            docker.serve(self.site)
        self.script = write_job(self.site)
        self.killed: Counter[str] = Counter()
        self.events: list[Event] = []
        #: clusters that condor_submit has said yes to
        self.promised: set[str] = set()
        #: workers that were killed, or stood still for longer than a lease
        self._cut_off: set[str] = set()

    def run(self, kills: int) -> None:
        """Start everything, kill as often as asked, and check.  Raises AssertionError."""
        self.series.server.up()
        self.site.start_schedd()
        if self.broker is not None:
            self.broker.settle()
        self.site.start_plancton()
        left_out = OF_EMBEDDED if self.broker else OF_RABBITMQ
        left_out = left_out | (set() if self.has_disks else OF_ROOT)
        left_out = left_out | (set() if self.docker else OF_DOCKER)
        victims = [name for name in VICTIMS if name not in left_out]
        weights = [VICTIMS[name] for name in victims]
        began = time.monotonic()
        for _ in range(kills):
            wait_until(self.keep_busy, "enough jobs to be taken", state=self.said)
            (victim,) = self.random.choices(victims, weights)
            wait_some(self.random.uniform(0.0, LONGEST_WAIT), self.site)
            self.events.append(Event(time.monotonic() - began, victim, *self.count()))
            self.kill(victim)
            self.killed[victim] += 1
        self.check()
        self.events.append(Event(time.monotonic() - began, "", *self.count()))

    def stop(self) -> list[tuple[int, str]]:
        """End everything; return what was still there a while later."""
        left = self.site.stop()
        if self.docker is not None:
            left += [(0, name) for name in self.docker.list_containers()]
            self.docker.remove_containers()
        self.series.close()
        for line in self.lines:
            line.close()
        for disk in (self.disks["schedd"], self.disks["broker"]) if self.has_disks else ():
            shutil.copytree(disk, disk.with_name(f"{disk.name}, at the end"))
            subprocess.run(["umount", "--lazy", disk], check=True)
        return left

    def count(self) -> tuple[int, int, int]:
        """Return how many jobs have ended, run and wait, by what they and condor_submit say."""
        runs = read_runs(self.site)
        ended = sum(any("end" in one for one in attempts.values()) for attempts in runs.values())
        there = {job.partition(".")[0] for job in runs} | self.promised
        return ended, len(runs) - ended, len(there) * JOBS - len(runs)

    def start_again(self) -> None:
        """Start the schedd again, as systemd does, if its disk was full when it started."""
        code = self.site.running["schedd"].poll()
        if code is not None:
            assert code == ExitCode.NODE_UNFIT, (code, self.said())
            self.site.begin_schedd()

    def keep_busy(self) -> bool:
        """Submit jobs if there are too few; return whether there are enough."""
        self.start_again()
        _ended, running, waiting = self.count()
        if running + waiting < BUSY:
            self.end_submission(self.begin_submission())
            return False
        return True

    def said(self) -> str:
        """Return the last words of the schedd."""
        return (self.site.root / "schedd.log").read_text()[-2000:]

    def begin_submission(self) -> subprocess.Popen[bytes]:
        """Start a condor_submit that has its whole description."""
        client = subprocess.Popen(
            [PROGRAMS / "condor_submit", "-terse"],
            env=self.site.env,
            cwd=self.site.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert client.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already
            client.stdin.write(describe_jobs(self.script).encode())
            client.stdin.close()
        client.stdin = None
        return client

    def end_submission(self, client: subprocess.Popen[bytes]) -> None:
        """Wait for its answer: what it says yes to must complete."""
        said, _ = client.communicate(timeout=60.0)
        if client.returncode == 0:
            self.promised.add(said.decode().split(".")[0])

    def kill(self, victim: str) -> None:
        """Kill or pause one, and start again what was killed."""
        moment = self.random.uniform(0.0, 1.0)
        if victim == "condor_submit":
            kill_condor_submit(self.site, self.script, moment)
        elif victim == "schedd in a submission":
            client = self.begin_submission()
            wait_at_most(client, moment / 10)
            kill(self.site, "schedd")
            self.end_submission(client)
        elif victim == "schedd as it starts":
            kill(self.site, "schedd")
            wait_some(moment / 2, self.site)
            kill(self.site, "schedd")
        elif victim == "schedd, paused":
            self.pause(self.site.running["schedd"].pid, moment * LONGEST_PAUSE)
        elif victim == "worker, paused":
            for pid in self.site.workers()[:1]:
                began, name = time.monotonic(), name_worker(pid)
                self.pause(pid, moment * LONGEST_PAUSE)
                if time.monotonic() - began > self.site.lease / 2:
                    self._cut_off.add(name)  # this process was kept from waking it again
        elif victim in OF_ROOT:
            self.fill_disk(self.disks[victim.partition(",")[0]], moment * LONGEST_PAUSE)
            if victim.startswith("InfluxDB"):
                self.series.restart()  # this release goes on refusing until then
        elif victim == "InfluxDB":
            self.series.restart()
        elif victim == "InfluxDB, paused":
            self.pause(self.series.server.pid, moment * LONGEST_PAUSE)
        elif victim == "Docker":
            assert self.docker is not None
            # containers that a Docker before made and could not start count for a while
            wait_until(self.site.workers, "a pilot", timeout=PATIENCE, state=self.said)
            self.docker.kill_daemon()
            # it ends its containers when it is back
            self._cut_off |= {name_worker(pid) for pid in self.site.workers()}
            self.docker.start_again()
        elif victim == "Docker, paused":
            assert self.docker is not None
            self.pause(self.docker.pid, moment * LONGEST_PAUSE)
        elif victim == "everything":
            self.site.kill("plancton")
            while cut_off := kill(self.site, "pilot"):
                self._cut_off |= cut_off
            kill(self.site, "schedd")
            self.site.start_plancton()
        elif victim == "broker":
            assert self.broker is not None
            self.broker.kill()
            self.broker.up()
        elif victim.endswith(", cut off"):
            cut = [self.series.line]
            if victim == "broker, cut off":
                cut = self.random.choice([self.lines[:1], self.lines[1:], self.lines])
            for line in cut:
                line.cut()
            wait_some(moment * LONGEST_PAUSE, self.site)
            for line in cut:
                line.mend()
        else:
            self._cut_off |= kill(self.site, victim)

    def pause(self, pid: int, seconds: float) -> None:
        """Stop a process for a while."""
        with suppress(ProcessLookupError, FileNotFoundError):
            stop_process(pid)
            time.sleep(seconds)  # how long it stands still is the point
            os.kill(pid, signal.SIGCONT)

    def fill_disk(self, disk: Path, seconds: float) -> None:
        """Leave no room on a disk for a while, in which somebody submits."""
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65536))
        client = self.begin_submission()
        wait_some(seconds, self.site)
        filler.unlink()
        self.end_submission(client)

    def check(self) -> None:
        """Wait until all jobs have completed, and compare.  Raises AssertionError."""
        self.start_again()
        self.wait_for_jobs()
        since = self.series.wait_for_point(time.time())
        self.end_submission(self.begin_submission())
        self.wait_for_jobs()
        states = dict(line.split() for line in list_jobs(self.site))
        clusters = Counter(job.partition(".")[0] for job in states)
        assert set(clusters.values()) == {JOBS}, clusters
        assert self.promised <= set(clusters), self.promised - set(clusters)
        jobs = {job for job, state in states.items() if state == "4"}
        check_removals(self.site, set(states) - jobs)
        assert jobs <= set(read_runs(self.site)) <= set(states)
        assert set(read_events(self.site)) == set(states)
        check_jobs(self.site, jobs)
        check_runs(self.site, jobs, list_jobs_of(self.site, self._cut_off))
        self.series.check(since, clusters.total())

    def wait_for_jobs(self) -> None:
        """Wait until all have completed, or are removed as those of a submit that failed."""

        def are_over() -> bool:
            lines = list_jobs(self.site)
            return all(line.endswith(" 4") or self._may_be_removed(line) for line in lines)

        wait_until(
            are_over,
            "all jobs to complete",
            timeout=PATIENCE,
            state=lambda: "\n".join(list_jobs(self.site)),
        )

    def _may_be_removed(self, line: str) -> bool:
        return line.endswith(" 3") and line.partition(".")[0] not in self.promised


def mount_disk(where: Path) -> bool:
    """Mount a small file system; return whether that may be done here."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(where)]
    return not subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def run_round(
    root: Path,
    seed: str,
    kills: int,
    broker: RabbitServer | None = None,
    docker: KillableDocker | None = None,
) -> Round:
    """Run one round below ``root``, which is there and empty.

    Args:
        root: kept for whoever looks for the cause.
        seed: of the random choices.
        kills: how many.
        broker: a RabbitMQ of its own, or None for the embedded broker.
        docker: the engine of the pilots, or None for pilots that are processes.

    Returns:
        What was killed, and when.

    Raises:
        AssertionError: a job was lost, doubled or is stuck, the series are wrong, or a process or
            container is left.
    """
    one = Round(root, seed, broker, docker)
    try:
        one.run(kills)
    finally:
        left = one.stop()
    assert left == [], left
    return one


def main() -> int:
    """Run rounds until there were enough kills; return how many failed, at most 100."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="in all, N of `make chaos` (100)")
    parser.add_argument("--kills-per-round", type=int, default=KILLS, help=f"on a site ({KILLS})")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="a number (random)")
    parser.add_argument("--round", type=int, help="only this round, to see a failure again")
    parser.add_argument(
        "--broker",
        choices=("embedded", "rabbitmq"),
        default="embedded",
        help="BROKER of `make chaos` (embedded)",
    )
    parser.add_argument(
        "--engine",
        choices=("process", "docker"),
        default="process",
        help="ENGINE of `make chaos`: what runs the pilots (process)",
    )
    options = parser.parse_args()
    each: int = options.kills_per_round
    if options.kills < 1:
        parser.error(f"argument --kills (N of `make chaos`): at least 1, not {options.kills}")
    if each < 1:
        parser.error(f"argument --kills-per-round: at least 1, not {each}")
    rounds = range(-(-options.kills // each))
    if options.round is not None:
        rounds = range(options.round, options.round + 1)
    print(f"chaos: seed {options.seed}, {len(rounds)} rounds of {each} kills", flush=True)
    total: Counter[str] = Counter()
    failed = 0
    with ExitStack() as stack:
        broker = docker = None
        if options.engine == "docker":
            docker = KillableDocker(Path(tempfile.mkdtemp(prefix="chaos-docker-")))
            stack.callback(docker.clean)
            docker.up()
        if options.broker == "rabbitmq":
            broker = RabbitServer(Path(tempfile.mkdtemp(prefix="chaos-broker-")))
            stack.callback(broker.clean)
            broker.up()
        for number in rounds:
            root, began = Path(tempfile.mkdtemp(prefix="chaos-")), time.monotonic()
            try:
                one = run_round(root, f"{options.seed}:{number}", each, broker, docker)
            except Exception as error:
                failed += 1
                print(f"round {number} FAILED, its files are in {root}: {error!r}", flush=True)
                again = f"again: --seed {options.seed} --round {number} --kills-per-round {each}"
                print(f"{again} --broker {options.broker} --engine {options.engine}", flush=True)
                continue
            shutil.rmtree(root)
            total += one.killed
            took, jobs = time.monotonic() - began, one.events[-1].ended
            print(f"round {number}: all well, {jobs} jobs in {took:.0f} s", flush=True)
            PICTURE.parent.mkdir(exist_ok=True)
            PICTURE.write_text(draw(f"Kills of seed {options.seed}, round {number}", one.events))
    for victim, count in total.most_common():
        print(f"{count:6} {victim}")
    print(f"{sum(total.values()):6} kills, {failed} rounds of {len(rounds)} failed")
    return min(failed, 100)


if __name__ == "__main__":
    sys.exit(main())
