"""What condor_q costs with 100,000 jobs in the queue, as a user waits for it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import classad2

from .crowd import JOBS, crowd
from .result import Result

ROUNDS = 7
#: Seconds that HTCondor 25.14 took on two idle cores.
TOTALS, AUTOFORMAT = 0.050, 0.80
#: AliEn's own question (contract, section 7), and one about an attribute that is no column.
CONSTRAINT = "JobStatus == 1 || JobStatus == 2"
GOAL = 1.2


def condor_q_totals() -> Result:
    return _against_htcondor(
        "condor-q-totals", TOTALS, lambda said: f" {JOBS} jobs;" in said, "-totals"
    )


def condor_q_af() -> Result:
    return _against_htcondor(
        "condor-q-af",
        AUTOFORMAT,
        lambda said: said.count("\n") == JOBS,
        *("-af", "ClusterId", "ProcId", "JobStatus"),
    )


def _against_htcondor(
    name: str, htcondor: float, is_right: Callable[[str], bool], *argv: str
) -> Result:
    site = crowd()
    taken = []
    for _ in range(ROUNDS):
        seconds, said = site.seconds("condor_q", *argv)
        assert is_right(said), said[:1000]
        taken.append(seconds)
    value = statistics.median(taken)
    return Result(
        id=name,
        what=f"condor_q {' '.join(argv)}, {JOBS:,} jobs, from start to end",
        value=value,
        unit="s",
        reference=f"{htcondor:g} s, HTCondor 25.14 on two idle cores",
        ratio=value / htcondor,
        goal=f"<= {htcondor:g} s",
        met=value <= htcondor,
    )


def condor_q_constraint() -> Result:
    """The command, process and socket included, by a loop in one process.

    The loop gets every advantage: it reads the whole ads of the same jobs from
    ``condor_q -long`` and parses them before the clock starts; what counts is
    ``ExprTree.eval`` and the list of the ids.
    """
    site = crowd()
    text = site.ask("condor_q", "-long")
    ads = list(classad2.parseAds(text))
    del text
    assert len(ads) == JOBS
    ours, plain = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        wanted = classad2.ExprTree(CONSTRAINT)
        ids = [f"{ad['ClusterId']}\n" for ad in ads if wanted.eval(ad)]
        plain.append(time.perf_counter() - start)
        seconds, said = site.seconds("condor_q", "-constraint", CONSTRAINT, "-af", "ClusterId")
        assert said == "".join(ids), "the loop selects other jobs"
        ours.append(seconds)
    value, loop = statistics.median(ours), statistics.median(plain)
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    return Result(
        id="condor-q-constraint",
        what=f"condor_q -constraint '{CONSTRAINT}' -af ClusterId, {JOBS:,} jobs",
        value=value,
        unit="s",
        reference=f"{loop:.3g} s, classad2 over ads that are parsed already",
        ratio=ratio,
        goal=f"<= {GOAL} of the loop",
        met=ratio <= GOAL,
    )
