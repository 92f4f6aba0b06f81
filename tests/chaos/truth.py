"""Jobs that write down what happens to them, processes that are killed, and what must then hold.

What "doubled" can mean: a worker that is killed after its job has ended and
before it could say so leaves a job that has to run again (no system can tell
the two apart). So a job may *run* more often than once only if its own worker
was killed, and then never at the same time; it *completes* once, always.
"""

import os
import re
import shutil
import signal
import subprocess
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from tests.support.process_site import PROGRAMS, LiveSite, submit_text
from thyme.broker import connect
from thyme.protocol import codec
from thyme.protocol.events import Started
from vobox.schedd.failed_submits import REASON as FAILED_SUBMIT

#: Of each cluster; and more than the records that a test's jobs make.
JOBS, STREAM = 6, 100_000
# Each line is one write to a file opened for appending, so lines never mix.
JOB = """#!/bin/sh
read attempt < /proc/sys/kernel/random/uuid
echo "start $1 $attempt $(/usr/bin/date +%s.%N)" >> {ledger}
sleep 0.2
echo "end $1 $attempt $(/usr/bin/date +%s.%N)" >> {ledger}
echo "hello from $1"
exit $2
"""


def write_job(site: LiveSite) -> Path:
    """Write the jobs' program."""
    (site.root / "runs").touch()
    script = site.root / "job.sh"
    script.write_text(JOB.format(ledger=site.root / "runs"))
    script.chmod(0o755)
    return script


def describe_jobs(script: Path) -> str:
    return submit_text(
        [
            f"executable = {script}",
            "arguments = $(Cluster).$(Process) $(Process)",
            "output = out.$(Cluster).$(Process)",
            "log = jobs.log",
            f"queue {JOBS}",
        ]
    )


def kill_condor_submit(site: LiveSite, script: Path, moment: float) -> None:
    """Kill a condor_submit in the middle; the schedd may have its jobs, or not."""
    client = subprocess.Popen(
        [PROGRAMS / "condor_submit"],
        env=site.env,
        cwd=site.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert client.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already
        client.stdin.write(describe_jobs(script).encode())
        client.stdin.close()
    # a client lives for tens of milliseconds: kill it within them
    wait_at_most(client, moment / 20)
    client.kill()
    client.wait()


def list_jobs(site: LiveSite) -> list[str]:
    """Return ``cluster.proc status`` of every job, in the queue or out of it."""
    # in this order: at every moment a job is in one of the two
    queued = site.command("condor_q", "-af:j", "JobStatus")
    ended = site.command("condor_history", "-af:j", "JobStatus")
    # with a warning that the ledger is out of date, jobs may be in neither
    if ended.returncode or queued.returncode or ended.stderr or queued.stderr:
        return [f"? {ended.stderr} {queued.stderr}"]
    return sorted({*ended.stdout.splitlines(), *queued.stdout.splitlines()})


def wait_at_most(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def wait_some(seconds: float, site: LiveSite) -> None:
    """Watch the schedd for a while: a random moment is the point here, not a condition."""
    wait_at_most(site.running["schedd"], seconds)


def kill(site: LiveSite, victim: str) -> set[str]:
    """Kill -9 the victim and start it again; return the names of workers that were killed."""
    if victim in ("schedd", "schedd and its disk"):
        site.kill("schedd")
        if victim != "schedd" and site.spool.exists():
            shutil.rmtree(site.spool)
        site.begin_schedd()
    elif victim == "plancton":
        site.kill("plancton")
        site.start_plancton()
    elif victim in ("worker", "pilot"):
        workers = site.workers()
        if workers:
            pid, name = workers[0], name_worker(workers[0])
            below = find_processes_below(pid)
            for each in [pid, *(below if victim == "pilot" else [])]:
                try:
                    os.kill(each, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return {name}
    return set()


def name_worker(pid: int) -> str:
    """Return how a worker's name begins: ``thyme.worker.NODE.PID``, both its container's own."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return ""
    nodes = [one[9:].decode() for one in environment if one.startswith(b"HOSTNAME=")]
    (node,) = nodes or [os.uname().nodename]
    (inner,) = re.findall(r"^NSpid:.*\s(\d+)$", status, re.MULTILINE)
    return f"thyme.worker.{node}.{inner}"


def list_jobs_of(site: LiveSite, workers: set[str]) -> set[str]:
    """Return the jobs that these workers had started: they may have been cut off."""
    broker = connect(site.url)
    records = broker.read(-1, STREAM)
    broker.close()
    assert len(records) < STREAM
    messages = [codec.decode(record.body) for record in records]
    return {
        str(message.job)
        for message in messages
        if isinstance(message, Started) and message.worker.rpartition("-")[0] in workers
    }


def find_processes_below(pid: int) -> list[int]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            children[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children[todo.pop()]
        found += below
        todo += below
    return found


def check_removals(site: LiveSite, jobs: set[str]) -> None:
    """Check that these jobs were removed as what is left of a condor_submit that failed."""
    rows = site.ask("condor_history", "-af:j", "JobStatus", "RemoveReason").splitlines()
    removed = {job: rest for job, _space, rest in (row.partition(" ") for row in rows)}
    events = read_events(site)
    for job in jobs:
        assert removed[job] == f"3 {FAILED_SUBMIT}", (job, removed[job])
        assert (events[job][0], events[job][-1]) == ("000", "009"), (job, events[job])


def check_jobs(site: LiveSite, jobs: set[str]) -> None:
    """Compare exit codes, outputs and user log with those of one complete run of each job."""
    rows = site.ask("condor_history", "-af:j", "ExitCode", "ExitBySignal").splitlines()
    rows = [row for row in rows if row.split()[0] in jobs]
    expected = [f"{job} {job.partition('.')[2]} false" for job in jobs]
    assert sorted(rows) == sorted(expected), rows
    events = read_events(site)
    for job in jobs:
        assert (site.root / f"out.{job}").read_text() == f"hello from {job}\n"
        assert (events[job].count("000"), events[job].count("005")) == (1, 1), (job, events[job])
        assert (events[job][0], events[job][-1]) == ("000", "005"), (job, events[job])


def read_events(site: LiveSite) -> dict[str, list[str]]:
    """Return the numbers of each job's events in the user log, in their order."""
    events = defaultdict(list)
    for line in (site.root / "jobs.log").read_text().splitlines():
        if header := re.match(r"(\d{3}) \((\d+)\.(\d+)\.000\) ", line):
            events[f"{int(header[2])}.{int(header[3])}"].append(header[1])
    return events


def read_runs(site: LiveSite) -> dict[str, dict[str, dict[str, float]]]:
    """Return what the jobs themselves wrote: when each of their attempts started and ended."""
    runs: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for line in (site.root / "runs").read_text().splitlines():
        what, job, attempt, when = line.split()
        runs[job][attempt][what] = float(when)
    return runs


def check_runs(site: LiveSite, jobs: set[str], cut_off: set[str]) -> None:
    """Compare with what the jobs themselves wrote: who ran, how often, and never two at once."""
    runs = read_runs(site)
    for job in jobs:
        attempts = runs[job]
        assert len(attempts) == 1 or job in cut_off, (job, dict(attempts), cut_off)
        assert any("end" in attempt for attempt in attempts.values()), (job, dict(attempts))
        spans = sorted((a["start"], a.get("end", a["start"])) for a in attempts.values())
        for (_, earlier_end), (later_start, _) in zip(spans, spans[1:], strict=False):
            assert earlier_end <= later_start, (job, spans)
