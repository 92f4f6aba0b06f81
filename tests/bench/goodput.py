"""What nodes give: CPU time of jobs that end by themselves, by the time that the owners left.

Simulated with the real policy on owners' traces, which are not in this repository: they are read
from ``../shared/traces``, or from the directory that ``TRACES`` names.  Other traces of the same
kinds may be there: ``planetlab-*``, ``*-nodes`` and ``*-runtimes``.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from plancton.config.model import Config
from plancton.model import HostFacts
from plancton.simulation import owner, queue
from plancton.simulation.foresight import simulate_foresight
from plancton.simulation.node import NodeSetup, simulate
from plancton.simulation.owner import Span
from plancton.simulation.result import SimulationResult, add_up

from .result import Result

TRACES = Path(os.environ.get("TRACES", "../shared/traces"))
GB = 1_000_000_000
SHARED = HostFacts("shared", ncpus=48, ram_bytes=256 * GB, swap_bytes=0)
WHOLE = HostFacts("whole", ncpus=1, ram_bytes=8 * GB, swap_bytes=0)
CONFIG = Config(max_docks="ncpus")
#: Node-days of each trace of CPU shares; and every which node of a trace of whole nodes, so that
#: a run takes minutes.
DAYS, EVERY = 8, 8
WAITING = 50


def goodput_shared() -> Result:
    """Owners who use some of the CPUs, and jobs that any pilot takes."""
    spans = [
        node
        for path in _find("planetlab-*")
        for node in islice(owner.read_trace(path, owner.parse_shares(300.0, SHARED)), DAYS)
    ]
    found = _simulate(spans, SHARED, "any")
    kept = found.share(found.finished_cpu + found.running_cpu)
    thrown = found.share(found.thrown)
    return Result(
        f"finished {found.share(found.finished_cpu):.3f}, under way "
        f"{found.share(found.running_cpu):.3f}, thrown away {thrown:.3f} of {len(spans)} node-days",
        kept,
        "of the idle CPU",
        "1 (all of it)",
        kept,
        ">= 0.97, thrown away <= 0.01",
        kept >= 0.97 and thrown <= 0.01,
    )


def goodput_whole() -> Result:
    """Owners who use whole nodes, and jobs that say how long they are: lanes."""
    return _whole("lanes", 0.94, 0.05)


def goodput_agents() -> Result:
    """Measure the same with a central service that gives each agent any job that fits."""
    return _whole("fitting", 0.92, 1.0)


def _whole(claim: str, goal: float, most_thrown: float) -> Result:
    spans = [
        node
        for path in _find("*-nodes*")
        for node in islice(owner.read_trace(path, owner.parse_intervals(WHOLE)), 0, None, EVERY)
    ]
    found = _simulate(spans, WHOLE, claim)
    best = add_up(
        simulate_foresight(node, WHOLE, 1.0, _queue("any", number), False)
        for number, node in enumerate(spans)
    )
    finished, thrown = found.share(found.finished_cpu), found.share(found.thrown)
    return Result(
        f"finished by {len(spans)} nodes; thrown away {thrown:.3f}, idle "
        f"{found.share(found.unused_cpu):.3f}",
        finished,
        "of the idle time",
        f"{best.share(best.finished_cpu):.3f} knowing the future",
        finished / best.share(best.finished_cpu),
        f">= {goal} of the idle time"
        + (f", thrown away <= {most_thrown}" if most_thrown < 1 else ""),
        finished >= goal and thrown <= most_thrown,
    )


def _simulate(spans: Sequence[Sequence[Span]], facts: HostFacts, claim: str) -> SimulationResult:
    return add_up(
        simulate(node, NodeSetup(CONFIG, facts, _queue(claim, number), True, CONFIG.max_dock_mem))
        for number, node in enumerate(spans)
    )


def _queue(claim: str, seed: int) -> queue.JobQueue:
    (lengths,) = _find("*-runtimes*")
    return queue.JobQueue(queue.read_lengths(str(lengths)), WAITING, queue.CLAIMS[claim], seed)


def _find(pattern: str) -> Iterator[Path]:
    found = sorted(TRACES.glob(pattern))
    if not found:
        raise SystemExit(f"bench: {TRACES}/{pattern}: no such trace; name the directory: TRACES=…")
    yield from found
