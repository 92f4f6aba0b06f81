"""A node on a virtual clock: an owner's trace, pilots with jobs, and the real policy.

As on a real node, the policy looks every ``main_sleep`` seconds, when a rule asks for it, when a
pilot ends and when memory gets short; CPU use is read as the mean since the look before.  What a
real node needs besides (a start, a stop) takes no time here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    Trigger,
)
from plancton.policy import capacity
from plancton.policy.decide import decide
from plancton.policy.rules import CAUSES

from .owner import Span
from .queue import JobQueue
from .result import Sample, SimulationResult

#: Virtual seconds since 1970 at the beginning: a Monday, 00:00 UTC.  Windows go by it.
BEGIN = 345_600.0
#: Exit codes of a pilot that ran a job to its end, and of one that found none.
_DONE, _NO_WORK = 0, 3
#: Seconds that a pilot looks for a job.
_LOOKS_FOR = 1.0
#: As the control loop and the sensors have it (s).
_SHORTEST_WAIT, _SHORTEST_READING = 0.02, 0.5
#: CPUs by which the smoothed load of the owner may differ from the real one when it is settled.
_SETTLED = 0.01


@dataclass(frozen=True)
class NodeSetup:
    """What is simulated beside the owner's trace."""

    config: Config
    facts: HostFacts
    queue: JobQueue
    #: pilots get only the CPU that the owner leaves (``cpu.idle``)
    protected: bool
    #: bytes that a pilot with its job uses
    job_memory: int


@dataclass(eq=False, slots=True)
class _VirtualPilot:
    """A pilot and its job."""

    id: str
    began: float
    #: CPU seconds that are left of its job; None: it found none
    left: float | None
    cpu: float = 0.0
    rate: float = 0.0
    code: int | None = None
    lived: float = 0.0

    def seconds_to_end(self, now: float) -> float:
        if self.left is None:
            return max(0.0, self.began + _LOOKS_FOR - now)
        return self.left / self.rate if self.rate > 0 else math.inf

    def describe(self, now: float, memory: int) -> Pilot:
        if self.code is not None:
            return Pilot(self.id, self.id, PilotState.EXITED, age=self.lived, exit_code=self.code)
        return Pilot(
            self.id,
            self.id,
            PilotState.RUNNING,
            age=now - self.began,
            cpu_seconds=self.cpu,
            memory_bytes=memory,
        )


def simulate(
    spans: Sequence[Span],
    setup: NodeSetup,
    show: Callable[[Sample, float], None] | None = None,
) -> SimulationResult:
    """Return what one node gave; ``show`` is told each time (s) in which nothing changed."""
    return _VirtualNode(spans, setup, show).run()


class _VirtualNode:
    def __init__(
        self,
        spans: Sequence[Span],
        setup: NodeSetup,
        show: Callable[[Sample, float], None] | None,
    ) -> None:
        self._spans, self._setup, self._show = spans, setup, show
        self._config, self._facts = setup.config, setup.facts
        protection = Protection("simulated", cpu="idle") if setup.protected else None
        self._prepared = Prepared(protection=protection)
        self._history = History()
        self._pilots: list[_VirtualPilot] = []
        self._exited: list[_VirtualPilot] = []
        self._now = 0.0
        self._at = 0  # number of the present span
        self._reading: tuple[float, float] | None = None  # busy CPUs, those of pilots
        self._read_at: float | None = None
        self._owner_since = self._pilots_since = 0.0  # CPU seconds since the last reading
        self._owner_changed = 0.0
        self._taken = False  #: the owner leaves room for no pilot
        self._weights: dict[str, int] = {}
        self._made = 0
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._thrown: defaultdict[str, float] = defaultdict(float)

    def run(self) -> SimulationResult:
        """Let the whole trace pass."""
        end = self._spans[-1].end
        trigger, next_timer = Trigger.TIMER, 0.0
        while self._now < end:
            if trigger is Trigger.TIMER:
                next_timer = self._now + self._config.main_sleep
            wait, acted = self._pass(trigger)
            at = next_timer if wait is None else min(next_timer, self._now + wait)
            step = at - self._now
            if not acted and self._is_settled():
                # Looks at a node on which nothing changes decide nothing.
                quiet = self._spans[self._at].end - self._now
                if self._pilots or not self._taken:
                    quiet = quiet if wait is None else min(quiet, wait)
                at = self._now + max(1, math.floor(quiet / step)) * step
            trigger = self._advance(min(at, end))
            if trigger is Trigger.TIMER and at < next_timer:
                trigger = Trigger.EVENT
        for pilot in self._pilots:
            self._totals["running"] += pilot.cpu
        total = self._totals
        return SimulationResult(
            nodes=1,
            duration=end,
            idle_cpu=total["idle"],
            finished_cpu=total["finished"],
            running_cpu=total["running"],
            thrown_cpu=dict(self._thrown),
            unused_cpu=total["unused"],
            owner_cpu=total["owner"],
            owner_squeezed=total["squeezed"],
            pilot_time=total["pilot_time"],
            started=self._made,
            finished=int(total["jobs"]),
            evicted=int(total["evicted"]),
            no_work=int(total["no_work"]),
        )

    # What the daemon does

    def _pass(self, trigger: Trigger) -> tuple[float | None, bool]:
        """Run one pass of the policy; return when it asks for the next, and if it acted."""
        pilots = [one.describe(self._now, self._setup.job_memory) for one in self._pilots]
        exited = [one.describe(self._now, 0) for one in self._exited]
        state = NodeState(
            facts=self._facts,
            load=self._read_load(),
            pilots=(*pilots, *exited),
            trigger=trigger,
            history=self._history,
            wall=BEGIN + self._now,
            prepared=self._prepared,
        )
        decision = decide(state, self._config, self._now)
        self._history = decision.history
        self._taken = decision.capacity.start == 0
        self._weights = dict(decision.weights)
        self._exited = []  # removed, as every decision asks for
        stopped: dict[str, str] = {}
        for action in decision.actions:
            if isinstance(action, StartPilots):
                self._start(action)
            elif isinstance(action, StopPilot):
                stopped[action.pilot.id] = action.reason
        if stopped:
            self._stop(stopped)
        self._share_cpu()
        wait = decision.recheck_after
        return None if wait is None else max(_SHORTEST_WAIT, wait), bool(decision.actions)

    def _read_load(self) -> HostLoad:
        if self._read_at is None:
            self._read_at = self._now
        elif self._now - self._read_at >= _SHORTEST_READING:
            passed = self._now - self._read_at
            pilots = self._pilots_since / passed
            self._reading = (self._owner_since / passed + pilots, pilots)
            self._owner_since = self._pilots_since = 0.0
            self._read_at = self._now
        busy, used = (None, None) if self._reading is None else self._reading
        memory = len(self._pilots) * self._setup.job_memory
        return HostLoad(
            busy_cpus=busy,
            pilots_cpus=used,
            mem_available=self._available(),
            pilots_mem=memory,
        )

    def _available(self) -> int:
        used = self._spans[self._at].memory + len(self._pilots) * self._setup.job_memory
        return max(0, self._facts.ram_bytes - used)

    def _start(self, action: StartPilots) -> None:
        for number in range(action.count):
            life = action.lives[number] if number < len(action.lives) else None
            length = self._setup.queue.take(None if life is None else life.seconds)
            self._made += 1
            job = None if length is None else length * self._config.cpus_per_dock
            self._pilots.append(_VirtualPilot(f"{self._made}", self._now, job))

    def _stop(self, reasons: dict[str, str]) -> None:
        """End pilots; they obey at once."""
        for pilot in self._pilots:
            if pilot.id in reasons:
                self._totals["evicted"] += 1
                self._thrown[CAUSES[reasons[pilot.id]]] += pilot.cpu
        self._pilots = [pilot for pilot in self._pilots if pilot.id not in reasons]

    def _is_settled(self) -> bool:
        history = self._history
        return (
            self._read_at is not None
            and self._now - self._owner_changed > 2 * self._config.main_sleep
            and history.owner_cpus is not None
            and abs(history.owner_cpus - self._spans[self._at].cpus) < _SETTLED
            and history.over_since is None
            and not self._exited
        )

    # What the node does

    def _share_cpu(self) -> None:
        """Give each pilot its share of the CPUs."""
        if not self._pilots:
            return
        most, left = self._config.cpus_per_dock, self._usable()
        # Those that were not weighed yet started last.
        ordered = [(pilot, self._weights.get(pilot.id, 100)) for pilot in self._pilots]
        ordered.sort(key=lambda one: -one[1])
        total = sum(weight for _, weight in ordered)
        for pilot, weight in ordered:
            pilot.rate = min(most, left * weight / total)
            left -= pilot.rate
            total -= weight

    def _usable(self) -> float:
        """Return the CPUs that pilots get, if they use as many as they may."""
        owner, ncpus = self._spans[self._at].cpus, self._facts.ncpus
        wanted = len(self._pilots) * self._config.cpus_per_dock
        if self._setup.protected or owner + wanted <= ncpus:
            return min(wanted, ncpus - owner)
        # The kernel gives each runnable thread the same.
        return wanted * ncpus / (owner + wanted)

    def _advance(self, until: float) -> Trigger:
        """Let time pass until ``until`` or until something ends; return what for."""
        while self._now < until:
            ends = min(
                (pilot.seconds_to_end(self._now) for pilot in self._pilots), default=math.inf
            )
            step = min(until, self._now + ends, self._spans[self._at].end) - self._now
            self._let_pass(step)
            ended = [pilot for pilot in self._pilots if pilot.seconds_to_end(self._now) <= 1e-6]
            for pilot in ended:
                self._end(pilot)
            if self._now >= self._spans[self._at].end - 1e-9 and self._at + 1 < len(self._spans):
                self._at += 1
                self._owner_changed = self._now
                self._share_cpu()
                load = HostLoad(mem_available=self._available())
                if self._pilots and capacity.find_memory_shortage(self._config, load):
                    return Trigger.EVENT
            if ended:
                return Trigger.EVENT
        return Trigger.TIMER

    def _let_pass(self, seconds: float) -> None:
        owner, ncpus = self._spans[self._at].cpus, self._facts.ncpus
        used = 0.0
        for pilot in self._pilots:
            if pilot.left is None:
                continue
            pilot.cpu += pilot.rate * seconds
            used += pilot.rate
            pilot.left = max(0.0, pilot.left - pilot.rate * seconds)
        idle = ncpus - owner
        got = min(owner, ncpus - used)
        total = self._totals
        total["idle"] += idle * seconds
        total["owner"] += owner * seconds
        total["squeezed"] += (owner - got) * seconds
        total["unused"] += max(0.0, idle - used) * seconds
        total["pilot_time"] += len(self._pilots) * seconds
        self._owner_since += got * seconds
        self._pilots_since += used * seconds
        if self._show is not None:
            self._show(Sample(self._now, got, used, ncpus - got - used), seconds)
        self._now += seconds

    def _end(self, pilot: _VirtualPilot) -> None:
        self._pilots.remove(pilot)
        self._exited.append(pilot)
        pilot.lived = self._now - pilot.began
        if pilot.left is None:
            pilot.code = _NO_WORK
            self._totals["no_work"] += 1
            return
        pilot.code = _DONE
        self._totals["finished"] += pilot.cpu
        self._totals["jobs"] += 1
