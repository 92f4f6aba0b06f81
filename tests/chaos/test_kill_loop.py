"""kill -9 of each process at random moments, fifty times: nothing lost, nothing doubled.

What "doubled" can mean: a worker that is killed after its job has ended and
before it could say so leaves a job that has to run again (no system can tell
the two apart). So a job may *run* more often than once only if its own worker
was killed, and then never at the same time; it *completes* once, always.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_site import PROGRAMS, LiveSite, submit_text
from tests.waiting import wait_until
from thyme import codec
from thyme.message import Started
from thyme.transport import connect

RUNS = 50
JOBS = 6
VICTIMS = ("schedd", "plancton", "worker", "pilot", "schedd and its disk", "condor_submit")

# Each line is one write to a file opened for appending, so lines never mix.
JOB = """#!/bin/sh
echo "start $1 $$ $(date +%s.%N)" >> {ledger}
sleep 0.2
echo "end $1 $$ $(date +%s.%N)" >> {ledger}
echo "hello from $1"
exit $2
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path)
    try:
        yield site
    finally:
        left = site.stop()
    assert left == []


@pytest.mark.kill
@pytest.mark.parametrize("run", range(RUNS))
def test_killing_a_process_at_a_random_moment_loses_and_doubles_nothing(
    site: LiveSite, run: int
) -> None:
    victim = VICTIMS[run % len(VICTIMS)]
    moment = random.Random(run).uniform(0.0, 1.0)
    script = site.root / "job.sh"
    script.write_text(JOB.format(ledger=site.root / "runs"))
    script.chmod(0o755)
    site.start_schedd()
    site.start_plancton()

    killed_after = moment if victim == "condor_submit" else None
    cluster = submit_jobs(site, script, killed_after)
    wait_some(moment, site)
    killed_workers = kill(site, victim)

    jobs = [f"{cluster}.{proc}" for proc in range(JOBS)]
    wait_until(
        lambda: (
            set(site.command("condor_history", "-af:j", "JobStatus").stdout.split("\n"))
            >= {f"{job} 4" for job in jobs}
        ),
        f"all jobs to complete after kill -9 of {victim} at {moment:.2f} s",
        timeout=60.0,
        state=lambda: (
            site.command("condor_q", "-nobatch").stdout
            + site.command("condor_history").stdout
            + (site.root / "schedd.log").read_text()
        ),
    )

    for proc, job in enumerate(jobs):
        check_job(site, job, proc)
    check_runs(site, jobs_of(site, killed_workers))


def submit_jobs(site: LiveSite, script: Path, killed_after: float | None) -> int:
    """Submit; returns the cluster. Killed in the middle, the client leaves all jobs or none."""
    description = submit_text(
        [
            f"executable = {script}",
            "arguments = $(Process) $(Process)",
            "output = out.$(Process)",
            "log = jobs.log",
            f"queue {JOBS}",
        ]
    )
    if killed_after is not None:
        client = subprocess.Popen(
            [PROGRAMS / "condor_submit"],
            env=site.env,
            cwd=site.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert client.stdin is not None
        client.stdin.write(description.encode())
        client.stdin.close()
        # a client lives for tens of milliseconds: kill it within them
        wait_at_most(client, killed_after / 20)
        client.kill()
        client.wait()
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdout.close()
        client.stderr.close()
        counts = {count_all(site) for _ in range(2)}
        assert counts <= {0, JOBS}, counts
        if counts == {JOBS}:
            return 1
    answer = site.ask("condor_submit", stdin=description)
    match = re.search(r"submitted to cluster (\d+)\.", answer)
    assert match is not None, answer
    return int(match[1])


def wait_at_most(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def count_all(site: LiveSite) -> int:
    queued = site.ask("condor_q", "-af", "ProcId").split()
    ended = site.ask("condor_history", "-af", "ProcId").split()
    return len(queued) + len(ended)


def wait_some(seconds: float, site: LiveSite) -> None:
    """A random moment is the point here: the schedd is watched meanwhile, not waited for."""
    wait_at_most(site.running["schedd"], seconds)


def kill(site: LiveSite, victim: str) -> set[int]:
    """kill -9 the victim and start it again; the pids of workers that were killed."""
    if victim in ("schedd", "schedd and its disk"):
        site.kill("schedd")
        if victim != "schedd":
            shutil.rmtree(site.spool)
        site.start_schedd()
    elif victim == "plancton":
        site.kill("plancton")
        site.start_plancton()
    elif victim in ("worker", "pilot"):
        workers = site.workers()
        if workers:
            pid = workers[0]
            below = processes_below(pid)
            for each in [pid, *(below if victim == "pilot" else [])]:
                try:
                    os.kill(each, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return {pid}
    return set()


def jobs_of(site: LiveSite, workers: set[int]) -> set[str]:
    """The procs that these workers had started: their jobs may have been cut off."""
    broker = connect(site.url)
    messages = [codec.decode(record.body) for record in broker.read(-1, 10_000)]
    broker.close()
    return {
        str(message.job.proc)
        for message in messages
        if isinstance(message, Started)
        and int(message.worker.split(".")[-1].split("-")[0]) in workers
    }


def processes_below(pid: int) -> list[int]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            children[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children[todo.pop()]
        found += below
        todo += below
    return found


def check_job(site: LiveSite, job: str, proc: int) -> None:
    """Exit code, output and user log are those of one complete run."""
    code = site.ask("condor_history", job, "-af", "ExitCode", "ExitBySignal").strip()
    assert code == f"{proc} false", job
    assert (site.root / f"out.{proc}").read_text() == f"hello from {proc}\n"
    cluster, _, number = job.partition(".")
    head = f"({int(cluster):03d}.{int(number):03d}.000)"
    log = (site.root / "jobs.log").read_text()
    events = [line[:3] for line in log.splitlines() if head in line]
    assert events.count("000") == 1, (job, events)
    assert events.count("005") == 1, (job, events)
    assert events[0] == "000", (job, events)
    assert events[-1] == "005", (job, events)


def pid_of(worker: str) -> int:
    """``thyme.worker.NODE.PID-RANDOM``"""
    return int(worker.rpartition(".")[2].partition("-")[0])


def check_runs(site: LiveSite, cut_off: set[str]) -> None:
    """What the jobs themselves wrote: who ran, how often, and never two at once."""
    runs: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for line in (site.root / "runs").read_text().splitlines():
        what, job, pid, when = line.split()
        runs[job][int(pid)][what] = float(when)
    assert sorted(runs) == [str(proc) for proc in range(JOBS)]
    for job, attempts in runs.items():
        assert len(attempts) == 1 or job in cut_off, (job, dict(attempts), cut_off)
        assert any("end" in attempt for attempt in attempts.values()), (job, dict(attempts))
        spans = sorted((a["start"], a.get("end", a["start"])) for a in attempts.values())
        for (_, earlier_end), (later_start, _) in zip(spans, spans[1:], strict=False):
            assert earlier_end <= later_start, (job, spans)
