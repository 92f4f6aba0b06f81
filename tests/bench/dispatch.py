"""How fast short jobs get through the site on RabbitMQ."""

import statistics
import time

from tests.support.process_site import submit_text
from tests.support.waiting import wait_until
from thyme.broker import Transport, connect

from .amqp_site import POOL, AmqpSite, amqp_site
from .result import Result

COMMAND = "/bin/true"
JOBS = 2000
PILOTS = 8
ROUNDS = 3
#: Jobs a second of HTCondor 25.14: the same job, 8 slots, 2 cores.
HTCONDOR = 38.0
GOAL = 300.0


def dispatch() -> Result:
    """Jobs a second, from condor_submit's start to the last job in the history."""
    rates, done = [], 0
    with amqp_site() as site:
        site.start_pilots(PILOTS)
        line = connect(site.url)
        try:
            for jobs in (100, *[JOBS] * ROUNDS):
                rates.append(through_rabbitmq(site, line, jobs, done))
                done += jobs
        finally:
            line.close()
    rate = statistics.median(rates[1:])
    return Result(
        what=f"{JOBS} x {COMMAND} over RabbitMQ, {PILOTS} pilots in pid namespaces, --max-jobs 0",
        value=rate,
        unit="jobs/s",
        reference=f"{HTCONDOR:g} jobs/s, HTCondor 25.14 on 8 slots",
        ratio=rate / HTCONDOR,
        goal=f">= {GOAL:g} jobs/s",
        met=rate >= GOAL,
    )


def through_rabbitmq(site: AmqpSite, line: Transport, jobs: int, done: int) -> float:
    """Jobs a second. ``line`` asks the broker, which costs it next to nothing, not condor_q."""
    text = submit_text([f"executable = {COMMAND}", "transfer_executable = false", f"queue {jobs}"])
    begin = time.monotonic()
    site.ask("condor_submit", stdin=text)
    state = lambda: site.ask("condor_q", "-totals")  # noqa: E731
    wait_until(
        lambda: line.get_queue_state(POOL).ready == 0, f"{jobs} jobs to start", 300.0, state=state
    )
    wait_until(
        lambda: not site.ask("condor_q", "-limit", "1", "-af", "ProcId").split(),
        f"{jobs} jobs to end", 300.0, state=state,
    )  # fmt: skip
    seconds = time.monotonic() - begin
    ended = site.ask("condor_history", "-af", "ExitCode").split()
    assert ended == ["0"] * (done + jobs), f"{len(ended)} ended, with {set(ended)}"
    return jobs / seconds
