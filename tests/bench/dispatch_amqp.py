"""How fast short jobs get through the site on RabbitMQ."""

from __future__ import annotations

import statistics

from .amqp_site import amqp_site
from .dispatch import COMMAND, through_the_site
from .result import Result

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
        for jobs in (100, *[JOBS] * ROUNDS):
            rates.append(through_the_site(site, jobs, done))
            done += jobs
    rate = statistics.median(rates[1:])
    return Result(
        id="dispatch",
        what=f"{JOBS} x {COMMAND} over RabbitMQ, {PILOTS} pilots, --max-jobs 0",
        value=rate,
        unit="jobs/s",
        reference=f"{HTCONDOR:g} jobs/s, HTCondor 25.14 on 8 slots",
        ratio=rate / HTCONDOR,
        goal=f">= {GOAL:g} jobs/s",
        met=rate >= GOAL,
    )
