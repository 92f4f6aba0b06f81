"""Replay a recorded load of a node through the real policy, on a virtual clock.

Pilots here use a whole slot whenever the owner leaves it to them, and run until the policy
ends them; they need ``max_dock_mem``, and the owner no memory at all (a recording of CPU
use does not tell).  So it tells how a configuration uses the idle CPU, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from plancton.config.model import Config
from plancton.model import (
    History,
    HostFacts,
    HostLoad,
    NodeState,
    Pilot,
    PilotState,
    Prepared,
    Protection,
    StartPilots,
    StopPilot,
)

from .decide import decide
from .rules import TOO_OLD

#: Virtual seconds since 1970 at the first value: a Monday, 00:00 UTC.  Windows go by it.
BEGIN = 345_600.0
#: A pilot more than this share of a CPU beyond what the owner leaves is a collision: the
#: recordings are in whole percent, which on a large node is most of a CPU.
TOLERANCE = 1.0


@dataclass(frozen=True)
class ReplayResult:
    """What a replay gave, of one node or added up over several; times in seconds."""

    nodes: int = 0
    duration: float = 0.0
    #: CPU time that the owner left idle
    idle_cpu: float = 0.0
    #: CPU time that pilots had of it
    pilot_cpu: float = 0.0
    #: time that pilots lived, added up
    pilot_time: float = 0.0
    started: int = 0
    evicted: int = 0
    #: times at which the owner came back to CPUs that were taken, and how long that lasted
    collisions: int = 0
    collision_time: float = 0.0


def replay(
    percents: Sequence[float],
    step: float,
    config: Config,
    facts: HostFacts,
    *,
    protected: bool = False,
) -> ReplayResult:
    """Return what the policy makes of one node's recorded load.

    ``percents`` are the shares of its CPUs that the owner uses, each for ``step`` seconds.
    With ``protected`` pilots get only what the owner leaves (``cpu.idle``), and are therefore
    not evicted for CPU; without it, eviction alone protects the owner.
    """
    node = _Node(config, facts, protected)
    for percent in percents:
        node.pass_time(min(1.0, max(0.0, percent / 100.0)) * facts.ncpus, step)
    return replace(node.result, nodes=1)


class _Node:
    """A simulated node: its pilots, its clock and the policy's history."""

    def __init__(self, config: Config, facts: HostFacts, protected: bool) -> None:
        self._config, self._facts = config, facts
        protection = Protection("simulated", cpu="idle") if protected else None
        self._prepared = Prepared(protection=protection)
        self._history = History()
        self._pilots: list[Pilot] = []
        self._now = 0.0
        self._colliding = False
        self.result = ReplayResult()

    def pass_time(self, owner: float, seconds: float) -> None:
        """Let ``seconds`` pass in which the owner uses ``owner`` CPUs."""
        end = self._now + seconds
        while self._now < end:
            wait = self._decide(owner)
            self._run(owner, min(wait, end - self._now))

    def _decide(self, owner: float) -> float:
        """Run one pass of the policy; return the seconds to the next one."""
        config, facts = self._config, self._facts
        using = len(self._pilots)
        taken = using * config.max_dock_mem
        load = HostLoad(
            busy_cpus=owner + self._used(owner),
            pilots_cpus=self._used(owner),
            mem_available=max(0, facts.ram_bytes - taken),
            pilots_mem=taken,
        )
        state = NodeState(
            facts=facts,
            load=load,
            pilots=tuple(self._pilots),
            history=self._history,
            wall=BEGIN + self._now,
            prepared=self._prepared,
        )
        decision = decide(state, config, self._now)
        self._history = decision.history
        started, gone = 0, set()
        for action in decision.actions:
            if isinstance(action, StartPilots):
                started += action.count
                first = self.result.started + 1
                self._pilots += [
                    Pilot(
                        f"{first + n}", f"{first + n}", PilotState.RUNNING, age=0.0, cpu_seconds=0.0
                    )
                    for n in range(action.count)
                ]
            elif isinstance(action, StopPilot):
                # It obeys: in steps of minutes its grace does not show.
                self._pilots = [p for p in self._pilots if p.id != action.pilot.id]
                if action.reason != TOO_OLD:
                    gone.add(action.pilot.id)
        self.result = replace(
            self.result,
            started=self.result.started + started,
            evicted=self.result.evicted + len(gone),
        )
        wait = config.main_sleep
        if decision.recheck_after is not None:
            wait = min(wait, max(1.0, decision.recheck_after))
        return wait

    def _run(self, owner: float, seconds: float) -> None:
        self._now += seconds
        each = self._used(owner) / len(self._pilots) * seconds if self._pilots else 0.0
        self._pilots = [
            replace(p, age=(p.age or 0.0) + seconds, cpu_seconds=(p.cpu_seconds or 0.0) + each)
            for p in self._pilots
        ]
        idle = self._facts.ncpus - owner
        wanted = len(self._pilots) * self._config.cpus_per_dock
        collides = wanted > idle + TOLERANCE and bool(self._pilots)
        result = self.result
        self.result = replace(
            result,
            duration=result.duration + seconds,
            idle_cpu=result.idle_cpu + idle * seconds,
            pilot_cpu=result.pilot_cpu + self._used(owner) * seconds,
            pilot_time=result.pilot_time + len(self._pilots) * seconds,
            collisions=result.collisions + (collides and not self._colliding),
            collision_time=result.collision_time + (seconds if collides else 0.0),
        )
        self._colliding = collides

    def _used(self, owner: float) -> float:
        """Return the CPUs that pilots get: what the owner leaves, as they yield to him."""
        wanted = len(self._pilots) * self._config.cpus_per_dock
        return min(wanted, self._facts.ncpus - owner)


def add_up(results: Iterable[ReplayResult]) -> ReplayResult:
    """Return the sum over several nodes."""
    found = [asdict(result) for result in results]
    keys = asdict(ReplayResult())
    return ReplayResult(**{key: sum(one[key] for one in found) for key in keys})
