"""What the schedd's memory holds with 100,000 jobs, also while it is asked by many at once.

In a process of its own: what other benches asked before must not be in the figures.
"""

from concurrent.futures import ThreadPoolExecutor

from .crowd import JOBS, Crowd, end, new_crowd
from .result import Result

#: Bytes: the goal, and what HTCondor 25.14's schedd had.
GOAL, HTCONDOR = 300e6, 389e6
CLIENTS = 20
QUESTIONS = (
    ("condor_q", "-totals"),
    ("condor_q",),
    ("condor_q", "-nobatch"),
    ("condor_q", "-af", "ClusterId", "ProcId", "JobStatus"),
    ("condor_q", "-constraint", "RequestMemory > 100", "-af", "Cmd"),
)


def schedd_rss() -> Result:
    """Measure the most memory it ever had: at the rebuild, and asked one by one and all at once."""
    site = new_crowd()
    try:
        return _measured(site)
    finally:
        end(site)


def _measured(site: Crowd) -> Result:
    rebuilt = site.memory("VmHWM")  # it was asked for its totals by then
    for question in QUESTIONS:
        site.ask(*question)
    with ThreadPoolExecutor(CLIENTS) as clients:
        for said in clients.map(
            lambda number: site.ask(
                "condor_q", "-nobatch", "-constraint", f"ProcId < {number + 1}"
            ),
            range(CLIENTS),
        ):
            assert said.count("\n") > JOBS
    value = site.memory("VmHWM")
    return Result(
        what=f"{JOBS:,} jobs: the most that a schedd had that rebuilt its ledger "
        f"({rebuilt / 1e6:.0f} MB until then) and was asked ({site.memory() / 1e6:.0f} MB "
        "in the end)",
        value=value / 1e6,
        unit="MB",
        reference=f"{HTCONDOR / 1e6:.0f} MB, HTCondor 25.14",
        ratio=value / HTCONDOR,
        goal=f"<= {GOAL / 1e6:.0f} MB",
        met=value <= GOAL,
    )
