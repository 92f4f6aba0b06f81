"""What condor_q costs with 100,000 jobs in the queue, as a user waits for it."""

import statistics
from collections.abc import Callable

from .crowd import JOBS, RUNNING, crowd
from .result import Result, compare_with_htcondor

ROUNDS = 7
#: Seconds that HTCondor 25.14 took on two idle cores.
TOTALS, SCAN = 0.050, 0.80
#: Constraints, and how many of the jobs they select: AliEn's own question, a comparison of
#: strings, a regexp, and one about what no column has.
CONSTRAINTS = (
    ("JobStatus == 1 || JobStatus == 2", JOBS),
    ('Cmd == "/home/alice/work/agent.startup.77"', 1),
    ('regexp("7$", Cmd)', JOBS // 10),
    ("RequestMemory > 100 && JobStatus != 2", JOBS - RUNNING),
)


def condor_q_totals() -> Result:
    return _against_htcondor(TOTALS, lambda said: f" {JOBS} jobs;" in said, "-totals")


def condor_q_table() -> Result:
    return _against_htcondor(SCAN, lambda said: said.count("\n") > JOBS)


def condor_q_af() -> Result:
    return _against_htcondor(
        SCAN,
        lambda said: said.count("\n") == JOBS,
        *("-af", "ClusterId", "ProcId", "JobStatus"),
    )


def condor_q_constraint() -> Result:
    """Measure the slowest of some constraints."""
    results = [
        _against_htcondor(
            SCAN,
            lambda said, selected=selected: said.count("\n") == selected,  # type: ignore[misc]
            *("-constraint", constraint, "-af", "ClusterId"),
        )
        for constraint, selected in CONSTRAINTS
    ]
    return max(results, key=lambda result: result.value)


def _against_htcondor(htcondor: float, is_right: Callable[[str], bool], *argv: str) -> Result:
    site = crowd()
    taken = []
    for _ in range(ROUNDS):
        seconds, said = site.seconds("condor_q", *argv)
        assert is_right(said), said[:1000]
        taken.append(seconds)
    what = f"condor_q {' '.join(argv)}, {JOBS:,} jobs, from start to end"
    return compare_with_htcondor(what, statistics.median(taken), htcondor)
