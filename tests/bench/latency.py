"""How soon a job runs when a pilot is waiting for it."""

import statistics
import subprocess
import time

from tests.support.process_site import submit_text
from tests.support.waiting import wait_until

from .amqp_site import AmqpSite, amqp_site
from .result import Result

TIMES = 30
GOAL = 0.05
#: The job: it writes down when it runs, and is as small as a program can be.
JOB = ["/bin/date", "+%s.%N"]


def latency() -> Result:
    """Seconds from condor_submit's start to the job's own clock, median."""
    ours, alone, submits = [], [], []
    with amqp_site() as site:
        site.start_pilots(1)
        for number in range(TIMES + 3):
            whole, submit = one_job(site, number)
            if number >= 3:  # everything imported, everybody connected
                ours.append(whole)
                submits.append(submit)
                alone.append(plain())
    value, reference = statistics.median(ours), statistics.median(alone)
    return Result(
        what=f"condor_submit to the job's first instruction, one pilot waits, median of {TIMES} "
        f"(condor_submit itself takes {statistics.median(submits) * 1000:.0f} ms)",
        value=value * 1000,
        unit="ms",
        reference=f"{reference * 1000:.3g} ms to start the same program by hand",
        ratio=value / reference,
        goal=f"<= {GOAL * 1000:g} ms",
        met=value <= GOAL,
    )


def one_job(site: AmqpSite, number: int) -> tuple[float, float]:
    """Seconds to its first instruction, and until condor_submit had ended."""
    wait_until(lambda: waits(site), "the pilot to wait", timeout=60.0)
    output = site.root / f"out.{number}"
    text = submit_text(
        [f"executable = {JOB[0]}", "transfer_executable = false", f"arguments = {JOB[1]}",
         f"output = {output}", "queue"]
    )  # fmt: skip
    begin = time.time()
    site.ask("condor_submit", stdin=text)
    submitted = time.time()
    said = wait_until(
        lambda: output.read_text() if output.exists() else "", "the job's output", timeout=60.0
    )
    return float(said) - begin, submitted - begin


def waits(site: AmqpSite) -> bool:
    """Whether nothing is in the queue any more; the pilot then waits."""
    return not site.ask("condor_q", "-af", "ProcId").split()


def plain() -> float:
    begin = time.time()
    said = subprocess.run(JOB, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(said) - begin
