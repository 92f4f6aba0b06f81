"""How fast the embedded site gets short jobs through."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.process_site import LiveSite, submit_text
from tests.support.waiting import wait_until

from .result import Result

JOBS = 500
ROUNDS = 3
COMMAND = "/bin/true"
PILOTS = 4
#: Of the plain loop's rate. The loop forks and waits; a job is queued, claimed, recorded three
#: times on the disk, run in a scratch directory of its own, and delivered: about ten forks' worth.
GOAL = 0.08


def demo_dispatch() -> Result:
    """Jobs a second through schedd, broker and pilots, by a plain loop that forks the same."""
    ours, plain = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        site = LiveSite(Path(root), lease=60.0, pilots=PILOTS)
        try:
            site.start_schedd()
            for number in range(PILOTS):
                site.start_worker(f"worker{number}", "--max-jobs=0", "--timeout=60")
            through_the_site(site, 20, done=0)  # everything imported, everybody connected
            done = 20
            for _ in range(ROUNDS):
                plain.append(plain_loop(JOBS))
                ours.append(through_the_site(site, JOBS, done))
                done += JOBS
        finally:
            site.stop()
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    rate, loop = statistics.median(ours), statistics.median(plain)
    return Result(
        id="demo-dispatch",
        what=f"{JOBS} x {COMMAND} through the embedded site, {PILOTS} pilots, --max-jobs 0",
        value=rate,
        unit="jobs/s",
        reference=f"{loop:.4g} forks/s in a plain loop",
        ratio=ratio,
        goal=f">= {GOAL} of the loop",
        met=ratio >= GOAL,
    )


def through_the_site(site: LiveSite, jobs: int, done: int) -> float:
    """Jobs a second from condor_submit to the last one in the history."""
    text = submit_text([f"executable = {COMMAND}", "transfer_executable = false", f"queue {jobs}"])
    start = time.monotonic()
    site.ask("condor_submit", stdin=text)
    wait_until(
        lambda: not site.ask("condor_q", "-limit", "1", "-af", "ProcId").split(),
        f"{jobs} jobs to end",
        timeout=300.0,
        state=lambda: site.ask("condor_q", "-totals"),
    )
    seconds = time.monotonic() - start
    ended = site.ask("condor_history", "-af", "ExitCode").split()
    assert ended == ["0"] * (done + jobs), f"{len(ended)} ended, with {set(ended)}"
    return jobs / seconds


def plain_loop(jobs: int) -> float:
    """Forks a second of a loop that starts the command and waits for it."""
    start = time.monotonic()
    for _ in range(jobs):
        subprocess.run([COMMAND], check=True)
    return jobs / (time.monotonic() - start)
