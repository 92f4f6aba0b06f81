"""What one would gain who knows when the owner comes back: what a rule may be compared with.

He starts a job at the moment at which a CPU becomes idle, the longest of those that wait and end
before the owner comes back; and the next one when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from plancton.model import HostFacts

from .owner import Span
from .queue import JobQueue
from .result import SimulationResult


def simulate_foresight(
    spans: Sequence[Span],
    facts: HostFacts,
    cpus_per_pilot: float,
    queue: JobQueue,
    paused: bool,
    most: int | None = None,
) -> SimulationResult:
    """Return what one node would give.

    Args:
        spans: what its owner uses.
        facts: its CPUs.
        cpus_per_pilot: CPUs that each job uses.
        queue: the jobs that wait.
        paused: jobs wait while the owner uses their CPU (``cpu.idle``); else they end with it.
        most: jobs that fit into the memory at once; None: any number.
    """
    finished = idle_cpu = 0.0
    started = 0
    pilots = int(facts.ncpus / cpus_per_pilot + 1e-9)
    if most is not None:
        pilots = min(pilots, most)
    for pilot in range(pilots):
        for length in _idle_times(spans, facts.ncpus, cpus_per_pilot * (pilot + 1), paused):
            left = length
            while (job := _longest_fitting(queue, left)) is not None:
                left -= job
                finished += job * cpus_per_pilot
                started += 1
    begin = 0.0
    for span in spans:
        idle_cpu += (facts.ncpus - span.cpus) * (span.end - begin)
        begin = span.end
    return SimulationResult(
        nodes=1,
        duration=begin,
        idle_cpu=idle_cpu,
        finished_cpu=finished,
        unused_cpu=idle_cpu - finished,
        started=started,
        finished=started,
    )


def _longest_fitting(queue: JobQueue, left: float) -> float | None:
    return max((length for length in queue.draw() if length <= left), default=None)


def _idle_times(spans: Sequence[Span], ncpus: float, needed: float, paused: bool) -> list[float]:
    """Return the times (s) in which ``needed`` CPUs are idle, as one if jobs are ``paused``."""
    found = [0.0]
    begin = 0.0
    for span in spans:
        if ncpus - span.cpus >= needed - 1e-9:
            found[-1] += span.end - begin
        elif found[-1] and (span.memory or not paused):
            found.append(0.0)
        begin = span.end
    return [length for length in found if length]
