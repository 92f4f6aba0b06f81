"""How fast jobs are queued, durably, by one condor_submit."""

from __future__ import annotations

import statistics
import time

from tests.support.process_site import submit_text
from thyme.broker import connect
from thyme.broker.amqp.topology import EXCHANGE, submit_key

from .amqp_site import POOL, AmqpSite, amqp_site
from .raw_publish import RawPublisher
from .result import Result

JOBS = 10_000
ROUNDS = 3
#: Of raw publishes, and of jobs a second.
GOAL, RATE = 0.5, 3500.0


def submit_bulk() -> Result:
    """Jobs a second through condor_submit, by raw publishes of the very same messages."""
    ours, raw = [], []
    with amqp_site() as site:
        submit(site, 10)  # everything imported, everybody connected
        for number in range(ROUNDS):
            ours.append(submit(site, JOBS))
            bodies = messages(site, 10 + number * JOBS, JOBS)
            publisher = RawPublisher(site.other_url, EXCHANGE, submit_key(POOL), bodies)
            raw.append(JOBS / publisher.run())
    ratio = statistics.median(a / b for a, b in zip(ours, raw, strict=True))
    rate, reference = statistics.median(ours), statistics.median(raw)
    return Result(
        id="submit-bulk",
        what=f"one condor_submit of {JOBS} jobs, queued and recorded, {len(bodies[0])} bytes each",
        value=rate,
        unit="jobs/s",
        reference=f"{reference:.4g} raw confirmed publishes/s",
        ratio=ratio,
        goal=f">= {GOAL} of it and >= {RATE:g}/s",
        met=ratio >= GOAL and rate >= RATE,
    )


def submit(site: AmqpSite, jobs: int) -> float:
    text = submit_text(["executable = /bin/true", "transfer_executable = false", f"queue {jobs}"])
    begin = time.monotonic()
    said = site.ask("condor_submit", stdin=text)
    seconds = time.monotonic() - begin
    assert f"{jobs} job(s) submitted" in said, said
    cluster = said.rsplit("cluster ", 1)[1].split(".")[0]
    shown = site.ask("condor_q", cluster, "-totals")
    assert f"query: {jobs} jobs; 0 completed, 0 removed, {jobs} idle" in shown, shown
    return jobs / seconds


def messages(site: AmqpSite, skip: int, count: int) -> list[bytes]:
    """What was queued after the first ``skip`` jobs, as the stream has it."""
    transport = connect(site.url)
    deadline = time.monotonic() + 120.0
    offset, bodies = -1, list[bytes]()
    try:
        while len(bodies) < skip + count:
            records = transport.read(offset, 1000)
            bodies += [each.body for each in records if each.key == submit_key(POOL)]
            offset = records[-1].offset if records else offset
            if not records:
                transport.wait(1.0)
            assert time.monotonic() < deadline, len(bodies)
        return bodies[skip:]
    finally:
        transport.close()
