"""Kill processes of a site at random moments, many times, and compare it with its jobs' own truth.

``python -m tests.chaos.kills --kills 300 --seed 7`` (`make chaos N=300 SEED=7`) prints its seed
and what it did; with ``--rabbitmq`` the broker is a RabbitMQ, which is killed, too.  A round is a
new site on which twenty are killed while jobs run and are submitted; at its end each job has
completed once, with the output, the exit code and the user log of one run.  The same seed and
round kill the same processes after the same waits.
"""

from __future__ import annotations

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

from tests.chaos.truth import (
    JOBS,
    check_job,
    check_runs,
    describe_jobs,
    kill,
    kill_condor_submit,
    list_jobs,
    list_jobs_of,
    wait_at_most,
    wait_some,
    write_job,
)
from tests.support.process_site import PROGRAMS, LiveSite
from tests.support.services.programs import stop_process
from tests.support.services.rabbitmq import RabbitServer
from tests.support.waiting import wait_until

#: Kills on one site, and the jobs that are there whenever one happens.
KILLS, BUSY = 20, 2 * JOBS
#: Seconds until the next kill, and of a pause (SIGSTOP): shorter than the lease (4 s).
LONGEST_WAIT, LONGEST_PAUSE = 0.8, 1.5
#: Seconds in which all jobs complete after the last kill.
PATIENCE = 240.0
#: Seconds: longer than RabbitMQ takes to start again, and a worker then to find it and report.
LEASE_OVER_RABBITMQ = 30.0
#: How often each is chosen.
VICTIMS = {
    "schedd": 4,
    "schedd and its disk": 2,
    "schedd in a submission": 3,
    "schedd, paused": 2,
    "plancton": 3,
    "worker": 4,
    "worker, paused": 2,
    "pilot": 3,
    "condor_submit": 3,
    "broker": 1,
}


class Round:
    """One site, its kills, and what is known of its jobs."""

    def __init__(self, root: Path, seed: str, broker: RabbitServer | None) -> None:
        """Prepare a site below ``root``, on a RabbitMQ or on the embedded broker."""
        self.random, self.broker = random.Random(seed), broker
        self.site = (
            LiveSite(root)
            if broker is None
            else LiveSite(root, LEASE_OVER_RABBITMQ, url=broker.vhost().url)
        )
        self.script = write_job(self.site)
        self.killed: Counter[str] = Counter()
        #: clusters that condor_submit has said yes to
        self.promised: set[str] = set()
        #: workers that were killed, or stood still for longer than a lease
        self._cut_off: set[int] = set()

    def run(self, kills: int) -> None:
        """Start everything, kill as often as asked, and check.  Raises AssertionError."""
        self.site.start_schedd()
        if self.broker is not None:
            self.broker.settle()
        self.site.start_plancton()
        victims = [name for name in VICTIMS if self.broker is not None or name != "broker"]
        weights = [VICTIMS[name] for name in victims]
        for _ in range(kills):
            while sum(not line.endswith(" 4") for line in list_jobs(self.site)) < BUSY:
                self.end_submission(self.begin_submission())
            (victim,) = self.random.choices(victims, weights)
            wait_some(self.random.uniform(0.0, LONGEST_WAIT), self.site)
            self.kill(victim)
            self.killed[victim] += 1
        self.check()

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
        elif victim == "schedd, paused":
            self.pause(self.site.running["schedd"].pid, moment * LONGEST_PAUSE)
        elif victim == "worker, paused":
            for pid in self.site.workers()[:1]:
                began = time.monotonic()
                self.pause(pid, moment * LONGEST_PAUSE)
                if time.monotonic() - began > self.site.lease / 2:
                    self._cut_off.add(pid)  # this process was kept from waking it again
        elif victim == "broker":
            assert self.broker is not None
            self.broker.kill()
            self.broker.up()
        else:
            self._cut_off |= kill(self.site, victim)

    def pause(self, pid: int, seconds: float) -> None:
        """Stop a process for a while."""
        with suppress(ProcessLookupError, FileNotFoundError):
            stop_process(pid)
            time.sleep(seconds)  # how long it stands still is the point
            os.kill(pid, signal.SIGCONT)

    def check(self) -> None:
        """Wait until all jobs have completed, and compare.  Raises AssertionError."""
        wait_until(
            lambda: all(line.endswith(" 4") for line in list_jobs(self.site)),
            "all jobs to complete",
            timeout=PATIENCE,
            state=lambda: "\n".join(list_jobs(self.site)),
        )
        clusters = Counter(line.partition(".")[0] for line in list_jobs(self.site))
        assert set(clusters.values()) == {JOBS}, clusters
        assert self.promised <= set(clusters), self.promised - set(clusters)
        for each in clusters:
            for proc in range(JOBS):
                check_job(self.site, int(each), proc)
        check_runs(self.site, set(clusters), list_jobs_of(self.site, self._cut_off))


def run_round(root: Path, seed: str, kills: int, broker: RabbitServer | None) -> Counter[str]:
    """Run one round below ``root``, which is there and empty.

    Args:
        root: kept for whoever looks for the cause.
        seed: of the random choices.
        kills: how many.
        broker: a RabbitMQ of its own, or None for the embedded broker.

    Returns:
        How often what was killed.

    Raises:
        AssertionError: a job was lost, doubled or is stuck, or a process is left.
    """
    one = Round(root, seed, broker)
    try:
        one.run(kills)
    finally:
        left = one.site.stop()
    assert left == [], left
    return one.killed


def main() -> int:
    """Run rounds until there were enough kills; return how many failed, at most 100."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="in all (100)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="a number (random)")
    parser.add_argument("--round", type=int, help="only this round, to see a failure again")
    parser.add_argument("--rabbitmq", action="store_true", help="over RabbitMQ (embedded broker)")
    options = parser.parse_args()
    rounds = range(-(-options.kills // KILLS))
    if options.round is not None:
        rounds = range(options.round, options.round + 1)
    print(f"chaos: seed {options.seed}, {len(rounds)} rounds of {KILLS} kills", flush=True)
    total: Counter[str] = Counter()
    failed = 0
    with ExitStack() as stack:
        broker = None
        if options.rabbitmq:
            broker = RabbitServer(Path(tempfile.mkdtemp(prefix="chaos-broker-")))
            stack.callback(broker.clean)
            broker.up()
        for number in rounds:
            root, began = Path(tempfile.mkdtemp(prefix="chaos-")), time.monotonic()
            try:
                total += run_round(root, f"{options.seed}:{number}", KILLS, broker)
            except Exception as error:
                failed += 1
                print(f"round {number} FAILED, its files are in {root}: {error!r}", flush=True)
                print(f"again: --seed {options.seed} --round {number}", flush=True)
                continue
            shutil.rmtree(root)
            print(f"round {number}: all well after {time.monotonic() - began:.0f} s", flush=True)
    for victim, count in total.most_common():
        print(f"{count:6} {victim}")
    print(f"{sum(total.values()):6} kills, {failed} rounds of {len(rounds)} failed")
    return min(failed, 100)


if __name__ == "__main__":
    sys.exit(main())
