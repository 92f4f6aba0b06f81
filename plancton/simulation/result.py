"""What a simulation gave, of one node or added up over several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Sample:
    """The CPUs of one moment, for the picture."""

    at: float  #: seconds since the trace's start
    owner: float
    pilots: float
    idle: float


@dataclass(frozen=True)
class SimulationResult:
    """CPU times in seconds of one CPU, other times in seconds."""

    nodes: int = 0
    duration: float = 0.0
    #: CPU time that the owner left
    idle_cpu: float = 0.0
    #: CPU time of jobs that ended by themselves
    finished_cpu: float = 0.0
    #: CPU time of jobs that still ran at the end
    running_cpu: float = 0.0
    #: CPU time of jobs that were ended before, by reason
    thrown_cpu: Mapping[str, float] = field(default_factory=dict)
    #: CPU time that the owner left and no pilot used
    unused_cpu: float = 0.0
    #: CPU time that the owner wanted, and used
    owner_cpu: float = 0.0
    #: CPU time that he wanted and pilots took
    owner_squeezed: float = 0.0
    #: time that pilots lived, added up
    pilot_time: float = 0.0
    started: int = 0
    finished: int = 0
    #: pilots that were ended, old age included
    evicted: int = 0
    #: pilots that found no job
    no_work: int = 0

    @property
    def thrown(self) -> float:
        """CPU time of jobs that were ended before their end."""
        return sum(self.thrown_cpu.values())

    def share(self, cpu_seconds: float) -> float:
        """Return a CPU time as a share of what the owner left."""
        return cpu_seconds / self.idle_cpu if self.idle_cpu else 0.0


def add_up(results: Iterable[SimulationResult]) -> SimulationResult:
    """Return the sum over several nodes."""
    found = list(results)
    sums: dict[str, object] = {
        one.name: sum(getattr(result, one.name) for result in found)
        for one in fields(SimulationResult)
        if one.name != "thrown_cpu"
    }
    thrown: Counter[str] = Counter()
    for result in found:
        thrown.update(result.thrown_cpu)
    return SimulationResult(thrown_cpu=dict(thrown), **sums)  # type: ignore[arg-type]
