"""A node in memory: a clock that a test moves, an engine, and sensors with values of the test's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plancton.config.model import Config
from plancton.config.reload import ConfigWatch
from plancton.daemon import status_document
from plancton.daemon.admin_mode import AdminFlags
from plancton.daemon.control_loop import Clock, ControlLoop
from plancton.engine.job_features import Features
from plancton.engine.pilot_spec import PilotSpec
from plancton.errors import EngineError, EngineUnavailable, StartFailed
from plancton.model import (
    HostFacts,
    HostLoad,
    LoopPass,
    Pilot,
    PilotState,
    PilotUsage,
    Prepared,
    Usage,
)

GB = 1_000_000_000
FACTS = HostFacts(hostname="node1", ncpus=8, ram_bytes=64 * GB, swap_bytes=0)
#: An idle node that was read twice.
IDLE = HostLoad(busy_cpus=0.0, pilots_cpus=0.0, mem_available=60 * GB, pilots_mem=0)


class FakeClock:
    """A monotonic clock that moves only when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.time = now
        #: what people's clock is ahead; a test lets it jump
        self.ahead = 1.7e9

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.ahead + self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


class FakeWakeup:
    """``wait`` moves the fake clock; ``during`` is called in that time."""

    def __init__(self, clock: FakeClock, during: Callable[[float], None]) -> None:
        self._clock, self._during = clock, during
        self.woken = False
        self.waits: list[float] = []

    def wake(self) -> None:
        self.woken = True

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if not self.woken:
            self._during(seconds)
        if not self.woken:
            self._clock.advance(seconds)
        rung, self.woken = self.woken, False
        return rung


class FakeSensors:
    def __init__(self, facts: HostFacts = FACTS, load: HostLoad = IDLE) -> None:
        self.the_facts, self.the_load = facts, load

    def read_facts(self) -> HostFacts:
        return self.the_facts

    def read_load(self, usage: Usage | None, now: float) -> HostLoad:
        return self.the_load

    def is_due(self, now: float) -> bool:
        return True

    def read_available_memory(self) -> int | None:
        return self.the_load.mem_available


@dataclass
class FakePilot:
    spec: PilotSpec
    began: float
    asked: bool = False
    kill_at: float | None = None
    ended: float | None = None
    code: int | None = None
    detail: str = ""
    #: was told something when it started
    has_features: bool = False
    #: does not end when asked to, only when killed
    stubborn: bool = False


@dataclass
class FakePilotStore:
    """The pilots, which outlive an engine object."""

    clock: FakeClock
    pilots: dict[str, FakePilot] = field(default_factory=dict)


class FakeEngine:
    """The engine's contract in memory.

    A pilot's command says what it does: ``exit N``, ``sleep`` (ends when asked to), ``stubborn``
    (ends only when killed), ``say TEXT`` (prints it, and ends when asked to),
    ``reads FILE VALUE`` (ends with 0 if it was told so) or ``awaits FILE VALUE`` (ends with 0 when
    it is told so; without VALUE, when there is no such file any more).
    ``calls`` records every change that was asked for.
    """

    name = "fake"
    place = "memory"
    isolation = ""
    starting_interval = 0.1

    def __init__(self, place: FakePilotStore) -> None:
        self._place = place
        self._wake: Callable[[], None] = lambda: None
        self.calls: list[tuple[str, str]] = []
        self.unavailable = ""
        self.start_problem = ""
        self.remove_problem = ""
        self.used: dict[str, PilotUsage] = {}
        self.prepared = Prepared()
        self.weights: dict[str, int] = {}

    # What the interface asks for

    def prepare(self, config: Config, facts: HostFacts) -> Prepared:
        self._answer()
        return self.prepared

    def list_pilots(self) -> tuple[Pilot, ...]:
        self._answer()
        self._kill_overdue()
        return tuple(self._pilot(name, one) for name, one in self._place.pilots.items())

    def start(self, spec: PilotSpec) -> None:
        self._answer()
        if self.start_problem:
            raise StartFailed(f"{spec.name}: {self.start_problem}")
        self.calls.append(("start", spec.name))
        pilot = FakePilot(
            spec,
            self._place.clock.now(),
            has_features=bool(spec.features),
            stubborn=spec.command[0] == "stubborn",
        )
        self._place.pilots[spec.name] = pilot
        if spec.command[0] == "exit":
            self.end(spec.name, int(spec.command[1]))
        elif spec.command[0] == "reads":
            _, path, value = spec.command
            self.end(spec.name, 0 if spec.features.get(path, "").strip() == value else 1)
        elif spec.command[0] not in ("sleep", "stubborn", "say", "awaits"):
            self.end(spec.name, 127, f"cannot run {spec.command[0]!r}: No such file or directory")

    def read_output(self, pilot_id: str) -> bytes | None:
        self._answer()
        pilot = self._place.pilots.get(pilot_id)
        if pilot is None:
            return None
        return pilot.spec.command[1].encode() if pilot.spec.command[0] == "say" else b""

    def stop(self, pilot_id: str, grace: float) -> None:
        self._answer()
        self.calls.append(("stop", pilot_id))
        pilot = self._place.pilots.get(pilot_id)
        if pilot is None or pilot.ended is not None:
            return
        pilot.asked = True
        kill_at = self._place.clock.now() + grace
        pilot.kill_at = kill_at if pilot.kill_at is None else min(pilot.kill_at, kill_at)
        if grace > 0 and not pilot.stubborn:
            self.end(pilot_id, 143)
        self._kill_overdue()

    def share_cpu(self, weights: Mapping[str, int]) -> None:
        self._answer()
        self.weights = dict(weights)

    def tell(self, pilot_id: str, features: Features) -> None:
        self._answer()
        pilot = self._place.pilots.get(pilot_id)
        if pilot is None or pilot.ended is not None or not pilot.has_features:
            return
        self.calls.append(("tell", pilot_id))
        left = {**pilot.spec.features, **features}
        known = {path: text for path, text in left.items() if text is not None}
        pilot.spec = replace(pilot.spec, features=known)
        if pilot.spec.command[0] == "awaits":
            _, path, value = pilot.spec.command
            if pilot.spec.features.get(path, "").strip() == value:
                self.end(pilot_id, 0)

    def remove(self, pilot_id: str) -> None:
        self._answer()
        pilot = self._place.pilots.get(pilot_id)
        if pilot is None:
            return
        if pilot.ended is None:
            raise EngineError(f"{pilot_id}: is running; stop it first")
        if self.remove_problem:
            raise EngineError(f"{pilot_id}: {self.remove_problem}")
        self.calls.append(("remove", pilot_id))
        del self._place.pilots[pilot_id]

    def read_usage(self) -> Usage:
        self._answer()
        cpu = sum(used.cpu_seconds for used in self.used.values())
        return Usage(cpu, sum(used.memory_bytes for used in self.used.values()), self.used)

    def watch(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def close(self) -> None:
        self._wake = lambda: None

    # What a test does to it

    def end(self, name: str, code: int | None, detail: str = "") -> None:
        """End the pilot as if by itself."""
        pilot = self._place.pilots[name]
        pilot.ended, pilot.code, pilot.detail = self._place.clock.now(), code, detail
        self._wake()

    def list_features(self) -> list[Mapping[str, str]]:
        """Return what the files about the node say, of each pilot that runs."""
        return [one.spec.features for one in self._place.pilots.values() if one.ended is None]

    def running(self) -> list[str]:
        return [name for name, one in self._place.pilots.items() if one.ended is None]

    def changes(self) -> list[str]:
        """Return what was asked for since the last time, by kind, e.g. ``["start", "start"]``."""
        kinds = [kind for kind, _ in self.calls]
        self.calls.clear()
        return kinds

    def _answer(self) -> None:
        if self.unavailable:
            raise EngineUnavailable(self.unavailable)

    def _kill_overdue(self) -> None:
        for name, pilot in self._place.pilots.items():
            overdue = pilot.kill_at is not None and self._place.clock.now() >= pilot.kill_at
            if pilot.ended is None and overdue:
                self.end(name, 137)

    def _pilot(self, name: str, one: FakePilot) -> Pilot:
        until = self._place.clock.now() if one.ended is None else one.ended
        pilot = Pilot(
            id=name,
            name=name,
            state=PilotState.RUNNING,
            age=until - one.began,
            asked_to_stop=one.asked,
        )
        if one.ended is not None:
            return replace(
                pilot,
                state=PilotState.EXITED,
                exit_code=one.code,
                detail=one.detail,
                never_ran=one.code == 127 and bool(one.detail),
            )
        return (
            replace(pilot, state=PilotState.STOPPING, pid=1) if one.asked else replace(pilot, pid=1)
        )


class FakeNode:
    """A control loop with fakes around it."""

    def __init__(self, rundir: Path, **config: object) -> None:
        values: dict[str, object] = {"max_docks": 4, "docker_cmd": ("sleep",)}
        self.clock = FakeClock()
        self.engine = FakeEngine(FakePilotStore(self.clock))
        self.sensors = FakeSensors()
        self.wakeup = FakeWakeup(self.clock, self._during)
        self.during: Callable[[float], None] = lambda _seconds: None
        self.config = Config.model_validate(values | config)
        self.watch = ConfigWatch(lambda: self.config, self.clock.now, self.clock.wall)
        self.flags = AdminFlags(rundir)
        self.passes: list[LoopPass] = []
        self.loop = ControlLoop(
            engine=self.engine,
            sensors=self.sensors,
            config=self.watch,
            flags=self.flags,
            wakeup=self.wakeup,
            clock=Clock(self.clock.now, self.clock.wall),
            publish=self.passes.append,
        )
        self.engine.watch(self.wakeup.wake)

    def _during(self, seconds: float) -> None:
        self.during(seconds)

    def build_document(self, done: LoopPass, ahead: float = 0.0) -> dict[str, Any]:
        """Build the status document of pid 7, the wall clock being so many seconds ahead."""
        return status_document.build_document(
            status_document.DaemonInfo(pid=7, began=0.0), done,
            engine=self.engine, facts=self.loop.facts, watch=self.watch, config_path="/c.yaml",
            ended=self.loop.ended, counts=self.loop.counts,
            now=self.clock.now(), wall=self.clock.wall() + ahead,
        )  # fmt: skip
