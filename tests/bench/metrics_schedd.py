"""What one round of a schedd's figures takes."""

import logging
import statistics
import time
from itertools import count

from telemetry.reporter import Reporter
from tests.support.schedd_parts import Events
from thyme.protocol.job import JobId
from vobox.jobs.transitions import apply
from vobox.metrics.points import ScheddNow, Tally
from vobox.metrics.sender import Metrics
from vobox.workers.slots import Slot

from .crowd import JOBS, crowd
from .job_agents import POOL
from .result import Result

ROUNDS, WAITING, ENDED = 15, 8000, 2000
GOAL = 0.05


def metrics_schedd() -> Result:
    """Measure the metrics of 100,000 jobs, 8,000 workers, and 2,000 jobs that just ended."""
    site = crowd()
    tally, ids = Tally(), count(1)
    workers = [
        Slot(f"w{n}", f"slot1@n{n}", POOL, None, 0.0, 0, is_waiting=True, until=1e18)
        for n in range(WAITING)
    ]
    metrics = Metrics(
        site.name, "", site.spool / "ledger.db", tally,
        lambda: ScheddNow(True, False, 0, 0, {}, JOBS, POOL, workers),
        Reporter("thyme_schedd", (), logging.getLogger("bench")),
    )  # fmt: skip
    took, computed = [], []
    for _ in range(ROUNDS):
        for _ in range(ENDED):
            e, job = Events(JobId(next(ids), 0)), None
            for event in (e.submit(), e.started(), e.finished()):
                before, job = job, apply(job, event).job
                assert job is not None
                tally.see(before, event, job)
        begin, began = time.perf_counter(), time.thread_time()
        made = metrics.round()
        took.append(time.perf_counter() - begin)
        computed.append(time.thread_time() - began)
        running = [one for one in made if one.tags.get("state") == "idle"]
        assert sum(int(one.fields["count"]) for one in running) > 0
    value = statistics.median(took)
    return Result(
        what=f"one round of figures, {JOBS:,} jobs, {WAITING:,} workers; median of {ROUNDS} "
        f"({statistics.median(computed) * 1000:.2g} ms of CPU)",
        value=value * 1000,
        unit="ms",
        reference="50 ms",
        ratio=value / GOAL,
        goal="<= 50 ms",
        met=value <= GOAL,
    )
