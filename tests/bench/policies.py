"""``policies``: one look at the periodic expressions of 100,000 job agents in the queue."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from thyme.protocol.events import Submit
from thyme.protocol.job import JobId, Task
from vobox.jobs.transitions import apply
from vobox.ledger.writer import Ledger
from vobox.schedd.policy_scan import PolicyScan

from .job_agents import BEGIN, POOL, SCHEDD, prepared
from .result import Result

JOBS = 100_000
#: Seconds: workers wait for their claims meanwhile.
GOAL = 0.1


def policies() -> Result:
    """Measure the longest time for which a scan keeps the schedd from all else."""
    with tempfile.TemporaryDirectory() as directory:
        ledger = Ledger(Path(directory) / "ledger.db")
        _fill(ledger)
        whole, longest = _scan(ledger)
        ledger.close()
    return Result(
        "policies",
        f"longest slice of a scan of 100,000 jobs' policies, which takes {whole:.3g} s of CPU",
        longest,
        "s",
        f"{GOAL:g} s",
        longest / GOAL,
        f"<= {GOAL:g} s",
        longest <= GOAL,
    )


def _jobs() -> Iterator[Submit]:
    ad = dict(prepared("alice").ad.pairs())
    for number in range(JOBS):
        job, now = JobId(number + 1, 0), BEGIN + number
        own = {
            "ClusterId": str(job.cluster),
            "QDate": str(now),
            "EnteredCurrentStatus": str(now),
            "GlobalJobId": f'"{SCHEDD}#{job}#{now}"',
        }
        yield Submit(SCHEDD, job, now, POOL, 1000, 1000, 0, {**ad, **own}, Task("/bin/sh"))


def _fill(ledger: Ledger) -> None:
    events = _jobs()
    for _ in range(0, JOBS, 5000):
        with ledger.transaction():
            for event, _number in zip(events, range(5000), strict=False):
                job = apply(None, event).job
                assert job is not None
                ledger.put(job)


def _scan(ledger: Ledger) -> tuple[float, float]:
    """Return the CPU seconds of the whole scan, and of its longest slice."""
    scan = PolicyScan(SCHEDD, ledger, lambda _job: {})
    slices, more = [], True
    while more:
        begin = time.process_time()
        events, leaving, more = scan.scan_slice(BEGIN + JOBS)
        slices.append(time.process_time() - begin)
        assert not events and not leaving
    return sum(slices), max(slices)
