"""How fast one condor_submit queues many jobs, durably."""

import statistics
import time

from tests.support.process_site import submit_text

from .amqp_site import AmqpSite, amqp_site
from .result import Result

JOBS = 10_000
ROUNDS = 3
#: Jobs a second: what HTCondor 25.14 does on such a machine.
GOAL = 3500.0


def submit_bulk() -> Result:
    """Measure the jobs a second of one condor_submit, from its start to its answer."""
    with amqp_site() as site:
        submit(site, 10)  # everything imported, everybody connected
        rate = statistics.median(submit(site, JOBS) for _round in range(ROUNDS))
    return Result(
        what=f"one condor_submit of {JOBS} jobs, queued and recorded",
        value=rate,
        unit="jobs/s",
        reference=f"{GOAL:g} jobs/s",
        ratio=rate / GOAL,
        goal=f">= {GOAL:g} jobs/s",
        met=rate >= GOAL,
    )


def submit(site: AmqpSite, jobs: int) -> float:
    """Submit so many jobs and check that they are there; returns jobs a second."""
    text = submit_text(["executable = /bin/true", "transfer_executable = false", f"queue {jobs}"])
    begin = time.monotonic()
    said = site.ask("condor_submit", stdin=text)
    seconds = time.monotonic() - begin
    assert f"{jobs} job(s) submitted" in said, said
    cluster = said.rsplit("cluster ", 1)[1].split(".")[0]
    shown = site.ask("condor_q", cluster, "-totals")
    assert f"query: {jobs} jobs; 0 completed, 0 removed, {jobs} idle" in shown, shown
    return jobs / seconds
