"""What condor_q costs with 100,000 jobs in the queue, as a user waits for it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import classad2

from vobox.ledger.snapshot import LedgerView

from .crowd import JOBS, Crowd, crowd
from .result import Result

ROUNDS = 7
#: Seconds that HTCondor 25.14 took on two idle cores.
TOTALS, AUTOFORMAT = 0.050, 0.80
#: AliEn's own question (contract, section 7); one about what all these jobs have in common, and
#: one about what differs from job to job.
CONSTRAINTS = (
    "JobStatus == 1 || JobStatus == 2",
    "RequestMemory > 100 && JobStatus != 5",
    'regexp("7$", Cmd)',
)
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
    """The command, process and socket included, by a plain classad2 loop in one process.

    The loop begins where the schedd begins, with the ads as they lie in the ledger: it makes a
    ``ClassAd`` of each, asks ``ExprTree.eval`` and prints the ids. The same loop over ads that
    are prepared in memory is told as well: it is the least that evaluating can cost, and these
    ads take more than a gigabyte, which the schedd must not have (``schedd-rss``).
    """
    site = crowd()
    start = time.perf_counter()
    ads = _prepared(site)
    preparing = time.perf_counter() - start
    assert len(ads) == JOBS
    ratios, told = [], []
    for constraint in CONSTRAINTS:
        ours, loop = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            wanted = classad2.ExprTree(constraint)
            ids = [f"{ad['ClusterId']}\n" for ad in ads if wanted.eval(ad)]
            loop.append(time.perf_counter() - start)
            seconds, said = site.seconds("condor_q", "-constraint", constraint, "-af", "ClusterId")
            assert ids and said == "".join(ids), f"the loop selects other jobs: {said[:100]}"
            ours.append(seconds)
        value, alone = statistics.median(ours), statistics.median(loop)
        ratios.append(value / (preparing + alone))
        told.append(f"{constraint}: {value:.3g} s, {value / alone:.2g} of a loop of prepared ads")
    return Result(
        id="condor-q-constraint",
        what=f"condor_q -constraint … -af ClusterId, {JOBS:,} jobs, the slowest of {told}",
        value=max(ratios),
        unit="of the loop",
        reference=f"{preparing:.3g} s to read and prepare the ads, and the loop over them",
        ratio=max(ratios),
        goal=f"<= {GOAL} of the loop",
        met=max(ratios) <= GOAL,
    )


def _prepared(site: Crowd) -> list[classad2.ClassAd]:
    (ledger,) = site.spool.rglob("ledger.db")
    view = LedgerView(ledger, site.name, "", "")
    try:
        return [ad.classad() for ad in view.jobs()]
    finally:
        view.close()
