"""A site whose 200 jobs count their own runs, to be compared with the ledger.

An outage shorter than the lease: every job runs exactly once. A longer one: at least once. None is
ever lost.
"""

import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.process_site import LiveSite, submit_text
from tests.support.waiting import wait_until
from thyme.broker import connect

JOBS = 200
PILOTS = 8
#: Jobs that have ended when the outage begins.
BEFORE = 30
#: Minutes become seconds: how soon a silent broker is given up.
SHORT = "?timeout=4&heartbeat=5"
#: Each line is one write to a file opened for appending, so lines never mix.
JOB = """#!/bin/sh
echo "start $1" >> {runs}
sleep {seconds}
echo "end $1" >> {runs}
exit $2
"""


class CountingSite(LiveSite):
    """Its schedd and its workers each have a URL of the broker."""

    def __init__(
        self, root: Path, lease: float, seconds: float, schedds_url: str, workers_url: str
    ) -> None:
        """Prepare a site; nothing is started yet.

        Args:
            root: its directory.
            lease: seconds.
            seconds: that a job takes.
            schedds_url: of the schedd and of the commands.
            workers_url: of the pilots' workers.
        """
        super().__init__(root, lease, PILOTS, schedds_url + SHORT, workers_url + SHORT)
        self.config["docker_cmd"] += ["--max-jobs=20", "--max-backoff=1"]
        self.configure()
        self.runs = root / "runs"
        self.runs.touch()
        self.script = root / "job.sh"
        self.script.write_text(JOB.format(runs=self.runs, seconds=seconds))
        self.script.chmod(0o755)
        self._observers_url = schedds_url

    def lines(self, word: str) -> Counter[str]:
        """How often each job wrote ``word``."""
        written = (line.split() for line in self.runs.read_text().splitlines())
        return Counter(job for said, job in written if said == word)

    def submit(self) -> str:
        """Submit all the jobs; the cluster."""
        answer = self.ask("condor_submit", "-terse", stdin=self.describe(JOBS))
        return answer.split(".")[0]

    def describe(self, count: int) -> str:
        """Return the description of so many jobs."""
        return submit_text(
            [
                f"executable = {self.script}",
                "code = $(Process) % 3",
                "arguments = $(Cluster).$(Process) $INT(code)",
                "log = jobs.log",
                f"queue {count}",
            ]
        )

    def ledger(self) -> dict[str, str]:
        """``JobStatus ExitCode`` of every job."""
        queued = self.command("condor_q", "-af:j", "JobStatus", "ExitCode")
        ended = self.command("condor_history", "-af:j", "JobStatus", "ExitCode")
        rows = (queued.stdout + ended.stdout).splitlines()
        return {job: state for job, _space, state in (row.partition(" ") for row in rows)}

    def recorded(self, key: str) -> int:
        """How many records of the stream have this key."""
        with closing(connect(self._observers_url)) as broker:
            return sum(record.key == key for record in broker.read(-1, 100_000))

    def state(self) -> str:
        tail = (self.root / "schedd.log").read_text()[-1500:]
        worker = (self.root / "plancton.log").read_text()[-500:]
        states = Counter(self.ledger().values())
        return f"{states} {sum(self.lines('end').values())} ends\n{tail}\n{worker}"

    def pass_time(self, seconds: float) -> None:
        """How long an outage lasts is the point here: nothing else is to be waited for."""
        with pytest.raises(subprocess.TimeoutExpired):
            self.running["schedd"].wait(seconds)

    def run(self, outage: Callable[[], None], ready: Callable[[], None], within: float) -> str:
        """Run all the jobs, with an outage in their midst.

        Args:
            outage: returns when it is over.
            ready: called when the broker's queues have been made.
            within: seconds in which all jobs complete after the outage.

        Returns:
            The cluster, when the ledger has all its jobs' ends.
        """
        self.start_schedd()
        ready()
        self.start_plancton()
        cluster = self.submit()
        some = lambda: sum(self.lines("end").values()) >= BEFORE  # noqa: E731
        wait_until(some, "jobs to run", timeout=60.0, state=self.state)
        assert len(self.lines("end")) < JOBS

        outage()

        expected = {f"{cluster}.{n}": f"4 {n % 3}" for n in range(JOBS)}
        wait_until(
            lambda: {job: state for job, state in self.ledger().items() if job in expected}
            == expected,
            "all to complete", timeout=within, state=self.state,
        )  # fmt: skip
        assert set(expected) <= set(self.lines("end"))
        return cluster
