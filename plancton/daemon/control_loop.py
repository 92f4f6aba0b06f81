"""Run the loop: observe, decide, act; on a timer and whenever a pilot ends."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from plancton.config.model import Config
from plancton.config.reload import ConfigWatch
from plancton.engine import job_features, pilot_spec
from plancton.engine.base import Engine
from plancton.errors import EngineError, PlanctonError
from plancton.model import (
    Decision,
    EndedPilot,
    Expectation,
    History,
    HostLoad,
    LoopPass,
    Mode,
    NodeState,
    Pilot,
    PilotState,
    PilotUsage,
    Prepared,
    RemovePilot,
    StartPilots,
    StopPilot,
    ToldPilot,
    Trigger,
    Usage,
)
from plancton.node.sensors import Sensors
from plancton.policy import backoff, capacity, decide, told_pilots

from .admin_mode import AdminFlags
from .backoff_store import select_kept
from .problems import Problems
from .wakeup import Wakeup

_log = logging.getLogger("plancton")

#: Seconds between two checks of memory and the flags while the loop sleeps.
CHECK_INTERVAL = 1.0
#: Bytes a second that an owner's programs may take at most, and the shortest wait (s) for it.
FASTEST_GROWTH, SHORTEST_CHECK = 5e9, 0.1
#: No rule is looked at again sooner than this (s), however near its moment is.
SHORTEST_WAIT = 0.02
#: How many ended pilots the status document shows.
KEPT_ENDS = 100


@dataclass(frozen=True)
class Clock:
    """Two clocks: ``now`` never jumps and measures; ``wall`` (since 1970) is for people."""

    now: Callable[[], float]
    wall: Callable[[], float]


class ControlLoop:
    """The work of one daemon, without being a process (that is ``process``)."""

    def __init__(
        self,
        *,
        engine: Engine,
        sensors: Sensors,
        config: ConfigWatch,
        flags: AdminFlags,
        wakeup: Wakeup,
        clock: Clock,
        publish: Callable[[LoopPass], None],
        follow: Callable[[Config], str] = lambda _config: "",
        history: History | None = None,
        remember: Callable[[History], None] = lambda _history: None,
    ) -> None:
        """Prepare the loop; nothing is observed yet.

        ``publish`` shows each pass; ``follow`` opens what a new configuration needs, and returns
        why it could not ("" if it could); ``remember`` saves the history when something in it that
        is kept has changed; ``history`` is what was saved before.
        """
        self._engine, self._sensors, self._config = engine, sensors, config
        self._flags, self._wakeup, self._clock, self._publish = flags, wakeup, clock, publish
        self.facts = sensors.read_facts()
        self.ended: deque[EndedPilot] = deque(maxlen=KEPT_ENDS)
        self.counts = {"started": 0, "ended": 0, "asked_to_stop": 0, "start_failures": 0}
        self._problems = Problems()
        #: how often each kind of error came up
        self.errors = self._problems.counts
        self._follow, self._remember = follow, remember
        self._history = history or History()
        self._remembered = select_kept(self._history)
        self._usage: dict[str, PilotUsage] = {}
        self._summary = ""
        self._last_mode = Mode.ACTIVE
        self._any_active = False
        # counted: one that is asked for while a pass looks at the configuration must not be lost
        self._reloads_asked = self._reloads_done = 0
        self._end = False

    def request_end(self) -> None:
        """Make ``run`` return soon; pilots go on.  Safe in a signal handler."""
        self._end = True
        self._wakeup.wake()

    def request_reload(self) -> None:
        """Read the configuration in the next pass, which is now.  Safe in a signal handler."""
        self._reloads_asked += 1
        self._wakeup.wake()

    def run(self) -> None:
        """Run passes until ``request_end``, or until drain-stop or force-stop is done."""
        trigger, next_timer = Trigger.TIMER, self._clock.now()
        while not self._end:
            if trigger is Trigger.TIMER:
                next_timer = self._clock.now() + self._config.config.main_sleep
            loop_pass = self.run_pass(trigger)
            if self._finished(loop_pass):
                self._flags.finish_stop()
                return
            trigger = self._sleep(next_timer, loop_pass.decision.recheck_after)

    def run_pass(self, trigger: Trigger) -> LoopPass:
        """Observe the node once, decide, and act."""
        began = self._clock.now()
        wrong = self._config.problem
        asked = self._reloads_asked
        self._config.refresh(force=asked != self._reloads_done)
        self._reloads_done = asked
        self.errors["configuration"] += self._config.problem not in ("", wrong)
        self._problems.report("configuration", self._follow(self._config.config))
        state = self._observe(trigger)
        ends = self._note_ends(state.pilots)
        now = self._clock.now()
        decision = decide.decide(state, self._config.config, now)
        if decision.history.forgotten_at != self._history.forgotten_at:
            self._tell_that_failures_are_forgotten(state.retry)
        told_end = self._history.told_end
        self._history = decision.history
        if decision.summary != self._summary and decision.actions:
            _log.info("%s", decision.summary)
        self._summary = decision.summary
        started = False
        for action in decision.actions:
            if isinstance(action, RemovePilot):
                self._remove(action.pilot.id)
            elif isinstance(action, StopPilot):
                self._stop(action)
            else:
                started = self._start(action) > 0
        self._share_cpu(decision)
        if decision.history.told_end != told_end:
            self._tell_end(state.pilots or ())
        pilots = state.pilots
        if decision.actions:
            # The status shows the pilots after the actions, not before.
            pilots = self._list()[0]
        wait = decision.recheck_after
        if started or any(p.state is PilotState.STARTING for p in pilots or ()):
            often = self._engine.starting_interval
            wait = often if wait is None else min(wait, often)
        loop_pass = LoopPass(
            decision=replace(decision, history=self._history, recheck_after=wait),
            pilots=pilots,
            load=state.load,
            mode=state.mode,
            engine_problem=state.engine_problem,
            settings_problem=self._problems.find("configuration"),
            prepared=state.prepared,
            problems=self._problems.texts,
            ends=ends,
            took=self._clock.now() - began,
        )
        self._last_mode = state.mode
        self._any_active = any(p.state is not PilotState.EXITED for p in pilots or ())
        # First: what is published must not be lost with a daemon that is killed.
        if (now_kept := select_kept(self._history)) != self._remembered:
            self._remembered = now_kept
            self._remember(now_kept)
        self._publish(loop_pass)
        return loop_pass

    def _observe(self, trigger: Trigger) -> NodeState:
        prepared, pilots, problem = self._prepare_and_list()
        load = self._load()
        if pilots is not None:
            pilots = tuple(self._with_usage(pilot) for pilot in pilots)
        return NodeState(
            facts=self.facts,
            load=load,
            pilots=pilots,
            mode=self._flags.read_mode(),
            drain_deadline=self._flags.find_drain_deadline(),
            trigger=trigger,
            history=self._history,
            engine_problem=problem,
            wall=self._clock.wall(),
            prepared=prepared,
            retry=self._flags.wants_retry(),
        )

    def _tell_that_failures_are_forgotten(self, asked: bool) -> None:
        why = "as asked" if asked else "what a pilot is has changed"
        _log.info("%s: earlier failures are forgotten, and pilots are tried again", why)
        if asked:
            try:
                self._flags.finish_retry()
            except PlanctonError as error:
                _log.error("%s", error)

    def _prepare_and_list(self) -> tuple[Prepared, tuple[Pilot, ...] | None, str]:
        pilots, problem = self._list()
        if pilots is None:
            return Prepared(), None, problem
        try:
            return self._engine.prepare(self._config.config, self.facts), pilots, ""
        except EngineError as error:
            self._note_silence(error)
            return Prepared(), None, str(error)

    def _list(self) -> tuple[tuple[Pilot, ...] | None, str]:
        try:
            pilots = self._engine.list_pilots()
        except EngineError as error:
            self._note_silence(error)
            return None, str(error)
        self._problems.report("engine", "")
        return pilots, ""

    def _note_silence(self, error: EngineError) -> None:
        # An engine that answers with an error tells as little as one that is silent.
        self._problems.report("engine", f"the engine does not answer: {error}")

    def _load(self) -> HostLoad:
        usage: Usage | None = None
        if self._sensors.is_due(self._clock.now()):
            try:
                usage = self._engine.read_usage()
                self._usage = dict(usage.pilots)
            except EngineError:
                self._usage = {}
        return self._sensors.read_load(usage, self._clock.now())

    def _with_usage(self, pilot: Pilot) -> Pilot:
        used = self._usage.get(pilot.id)
        if used is None or pilot.state is PilotState.EXITED:
            return pilot
        return replace(
            pilot,
            cpu_seconds=used.cpu_seconds,
            memory_bytes=used.memory_bytes,
            disk=used.disk,
        )

    def _note_ends(self, pilots: tuple[Pilot, ...] | None) -> tuple[EndedPilot, ...]:
        fresh = [
            pilot
            for pilot in pilots or ()
            if pilot.state is PilotState.EXITED and pilot.id not in self._history.judged
        ]
        new = tuple(self._ended(pilot) for pilot in fresh)
        self.counts["ended"] += len(new)
        self.ended.extend(new)
        return new

    def _ended(self, pilot: Pilot) -> EndedPilot:
        _log.info("%s ended: %s", pilot.name, backoff.describe_end(pilot))
        told = told_pilots.find_told(self._history, pilot.id)
        return EndedPilot(
            pilot.name,
            pilot.exit_code,
            pilot.age,
            self._clock.wall(),
            pilot.asked_to_stop,
            pilot.detail,
            backoff.classify_end(pilot, self._config.config).value,
            ran=not pilot.never_ran,
            stop_reason="" if told is None else told.stop_reason,
        )

    def _start(self, action: StartPilots) -> int:
        """Start pilots until one fails; return how many were started."""
        config = self._config.config
        for done in range(action.count):
            name = pilot_spec.make_name()
            life = action.lives[done] if done < len(action.lives) else None
            wall = self._clock.wall()
            try:
                features = self._make_features(name, wall, life, action.closes)
                self._engine.start(pilot_spec.make_spec(config, self.facts, name, features))
            except EngineError as error:
                _log.error("not started: %s", error)
                self.counts["start_failures"] += 1
                self.errors["start"] += 1
                self._history = backoff.count_failed_start(
                    self._history, str(error), config, self._clock.now()
                )
                return done
            _log.info("%s started", name)
            self.counts["started"] += 1
            told = ToldPilot(name, life if features else None, wall)
            self._history = told_pilots.note_told(self._history, told)
        return action.count

    def _make_features(
        self, name: str, wall: float, life: Expectation | None, closes: float | None
    ) -> dict[str, str]:
        config = self._config.config
        if not config.machine_features:
            return {}
        seconds = None if life is None else life.seconds
        return job_features.make_features(
            config, self.facts, name, wall=wall, life=seconds, closes=closes
        )

    def _stop(self, action: StopPilot) -> None:
        if action.pilot.state is not PilotState.STOPPING:
            _log.info("%s is asked to end: %s", action.pilot.name, action.reason)
            self.counts["asked_to_stop"] += 1
        pilot = action.pilot.id
        self._history = told_pilots.note_stop(self._history, pilot, action.reason)
        self._problems.attempt(pilot, lambda: self._engine.stop(pilot, action.grace))

    def _share_cpu(self, decision: Decision) -> None:
        if not decision.weights:
            return
        try:
            self._engine.share_cpu(dict(decision.weights))
        except EngineError as error:
            self._note_silence(error)

    def _tell_end(self, pilots: tuple[Pilot, ...]) -> None:
        """Tell running pilots when the node closes now."""
        config = self._config.config
        if not config.machine_features:
            return
        for pilot in pilots:
            if pilot.state is PilotState.RUNNING:
                told = told_pilots.find_told(self._history, pilot.id)
                features = job_features.make_end_features(config, self._history.told_end, told)
                self._problems.attempt(pilot.id, partial(self._engine.tell, pilot.id, features))

    def _remove(self, pilot: str) -> None:
        self._problems.attempt(pilot, lambda: self._engine.remove(pilot))

    def _finished(self, loop_pass: LoopPass) -> bool:
        stopping = loop_pass.mode in (Mode.DRAIN_STOP, Mode.FORCE_STOP)
        return stopping and loop_pass.pilots is not None and not loop_pass.pilots

    def _sleep(self, next_timer: float, recheck_after: float | None) -> Trigger:
        """Sleep until there is a reason for a pass; return it."""
        at = next_timer
        if recheck_after is not None:
            at = min(at, self._clock.now() + max(SHORTEST_WAIT, recheck_after))
        while (left := at - self._clock.now()) > 0:
            if self._wakeup.wait(min(left, self._next_check())) or self._end:
                return Trigger.EVENT
            if self._flags.read_mode() is not self._last_mode or self._memory_is_short():
                return Trigger.EVENT
        return Trigger.TIMER if self._clock.now() >= next_timer else Trigger.EVENT

    def _next_check(self) -> float:
        """Return the seconds to the next check: fewer, the nearer memory is to its reserve."""
        available = self._sensors.read_available_memory() if self._any_active else None
        if available is None:
            return CHECK_INTERVAL
        left = available - self._config.config.mem_reserve
        return min(CHECK_INTERVAL, max(SHORTEST_CHECK, left / FASTEST_GROWTH))

    def _memory_is_short(self) -> bool:
        if not self._any_active:
            return False
        load = HostLoad(mem_available=self._sensors.read_available_memory())
        return bool(capacity.find_memory_shortage(self._config.config, load))
