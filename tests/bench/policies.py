"""``policies``: one look at the periodic expressions of 100,000 job agents in the queue."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import classad2

from thyme.protocol.events import Submit
from thyme.protocol.job import JobId, Task
from vobox.classad.ad import Ad
from vobox.jobs.transitions import apply
from vobox.ledger.writer import Ledger
from vobox.schedd.policy_scan import PolicyScan

from .job_agents import BEGIN, POOL, SCHEDD, prepared
from .result import Result

JOBS = 100_000
#: Jobs of the plain loop: enough to know what one costs.
SAMPLE = 5_000


def policies() -> Result:
    """CPU time of a round against a loop that parses each ad and evaluates its expressions."""
    with tempfile.TemporaryDirectory() as directory:
        ledger = Ledger(Path(directory) / "ledger.db")
        _fill(ledger)
        ours, worst = _round(ledger)
        plain = _plain(ledger) / SAMPLE * JOBS
        ledger.close()
    return Result(
        "policies",
        f"periodic expressions of 100,000 jobs, CPU (longest pause {worst * 1000:.0f} ms)",
        ours,
        "s",
        "a plain classad2 loop over the same ads",
        ours / plain,
        "≤ 0.75 of the plain loop, no pause over 1 s",
        ours / plain <= 0.75 and worst <= 1.0,
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


def _round(ledger: Ledger) -> tuple[float, float]:
    """CPU seconds of the whole round, and of its longest slice."""
    looks = PolicyScan(SCHEDD, ledger, lambda _job: {})
    slices, more = [], True
    while more:
        begin = time.process_time()
        events, leaving, more = looks.scan_slice(BEGIN + JOBS)
        slices.append(time.process_time() - begin)
        assert not events and not leaving
    return sum(slices), max(slices)


def _plain(ledger: Ledger) -> float:
    """CPU seconds for SAMPLE jobs."""
    begin = time.process_time()
    for row in ledger.with_policy(JobId(-1, -1), SAMPLE):
        job = ledger.get(row.id)
        assert job is not None
        scope = Ad({**job.ad, "CurrentTime": str(BEGIN + JOBS)}).classad()
        for name in ("PeriodicHold", "PeriodicRemove"):
            assert scope.lookup(name).eval(scope, classad2.ClassAd()) is False
    return time.process_time() - begin
