"""decide(state, config, now): what to start, stop and remove, and each rule's reason.

Pure: it reads no clock, no file and no engine, so every rule is tested with
values alone.  The rules, in the order in which ``explain`` tells them:

    engine       no answer: how many pilots run is unknown, so nothing is done
    protection   how the owner is protected from the pilots (never forbids)
    image        there is none to make pilots from
    mode         the admin's drain or force-stop
    window       the weekly windows and the dated stops (``opening``)
    cpu, memory, max_docks   how many pilots the node can hold (``limits``)
    pressure     memory is short: evict at once
    grace_kill   more pilots than fit: evict after that time
    grace_spawn  a pause after an eviction, and only after an eviction
    breaker      pilots fail (``outcomes``)
    no-work      pilots find nothing to do (``outcomes``)
    pace         docks_per_loop
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plancton.config.model import Config
from plancton.model import (
    Action,
    Capacity,
    Decision,
    History,
    Mode,
    NodeState,
    Pilot,
    PilotState,
    Reason,
    RemovePilot,
    StartPilots,
    StopPilot,
)

from . import backoff as outcomes
from . import calendar_rule, rules
from . import capacity as limits

#: Seconds that force-stop leaves a pilot to tell others that it ends.
FORCE_GRACE = 2.0
#: Seconds at most for a pilot to end while memory is short: the owner waits for it.
SHORT_GRACE = 1.0
#: Seconds to the next look while memory is short, a reading is missing, or all must end.
SOON = 0.5

_SHORT = "memory is short"
_OVER = "the owner needs the node"
OLD = "it is older than max_ttl"
_WINDOW = "its window is over"
_FORCED = "force-stop"
#: Each of them in one word, for series and tables.
CAUSES = {
    _SHORT: "memory", _OVER: "owner", OLD: "max_ttl", _WINDOW: "window", _FORCED: "force-stop"
}  # fmt: skip
#: Only these start the pause of ``grace_spawn``: a normal end, or old age, must not leave
#: the node empty.
_EVICTIONS = frozenset({_SHORT, _OVER})

#: Whose word explains best that nothing starts, when several rules forbid it.
_MOST_TELLING = (
    "engine",
    "image",
    "mode",
    "window",
    "pressure",
    "grace_kill",
    "grace_spawn",
    "breaker",
    "no-work",
    "max_docks",
    "memory",
    "cpu",
    "pace",
)


def decide(state: NodeState, config: Config, now: float) -> Decision:
    """What to do at ``now`` (monotonic seconds), why, and what to remember."""
    if state.pilots is None:
        return _blind(state)
    active = [p for p in state.pilots if p.state in (PilotState.STARTING, PilotState.RUNNING)]
    stopping = [p for p in state.pilots if p.state is PilotState.STOPPING]
    exited = [p for p in state.pilots if p.state is PilotState.EXITED]
    ended = sum(pilot.id not in state.history.judged for pilot in exited)

    phase = calendar_rule.phase(config, state.facts, state.wall)
    history = outcomes.fold(state.history, state.pilots, config, now)
    history = limits.note_room(history, state.load, now)
    starting = any(pilot.state is PilotState.STARTING for pilot in active)
    history = limits.note_churn(history, starting, now)
    history = limits.smooth_owner(history, state.load, now)
    capacity, reasons = _capacity(state, config, history, len(active), len(stopping))
    history = _watch_capacity(history, capacity, len(active), now)

    stops = _stops(state, config, history, capacity, phase, active, stopping, now)
    evicted = any(stop.reason in _EVICTIONS for stop in stops)
    if evicted:
        history = replace(history, last_eviction=now)
    reasons += rules.reasons(state, config, history, phase, active, ended, now)
    starts = 0 if stops else min(reason.room for reason in reasons if reason.room is not None)

    actions: list[Action] = [RemovePilot(pilot) for pilot in exited]
    actions += stops
    if starts:
        actions.append(StartPilots(starts))
    history = replace(history, acted=bool(actions))
    return Decision(
        actions=tuple(actions),
        reasons=tuple(reasons),
        capacity=capacity,
        history=history,
        summary=_summary(starts, stops, reasons),
        look_again=_look_again(state, config, history, capacity, phase, active, now),
    )


def _blind(state: NodeState) -> Decision:
    text = f"The engine does not answer: nothing is started or stopped ({state.engine_problem})."
    return Decision(
        actions=(),
        reasons=(Reason("engine", 0, text),),
        capacity=Capacity(None, None),
        # The time over capacity must be seen, not assumed.
        history=replace(state.history, over_since=None),
        summary=text,
        look_again=None,
    )


def _capacity(
    state: NodeState, config: Config, history: History, active: int, stopping: int
) -> tuple[Capacity, list[Reason]]:
    committed = active + stopping
    parts = {
        "cpu": limits.by_cpu(config, state.facts, state.load, history),
        "memory": limits.by_memory(config, state.load, committed),
        "max_docks": limits.by_admin(config, state.facts),
    }
    ending = f", {stopping} more still ending" if stopping else ""
    reasons = [
        Reason("engine", None, f"The engine answers: {limits.count(active)} in use{ending}.")
    ]
    if state.prepared.protection is not None:
        reasons.append(Reason("protection", None, state.prepared.protection.sentence))
    if state.prepared.image is not None:
        reasons.append(rules.image(state.prepared.image))
    for rule, (part, text) in parts.items():
        room = 0 if part.start is None else max(0, part.start - committed)
        reasons.append(Reason(rule, room, text))
    return limits.combined([part for part, _ in parts.values()]), reasons


def _watch_capacity(history: History, capacity: Capacity, active: int, now: float) -> History:
    if capacity.keep is None or active <= capacity.keep:
        return replace(history, over_since=None)
    return history if history.over_since is not None else replace(history, over_since=now)


def _stops(
    state: NodeState,
    config: Config,
    history: History,
    capacity: Capacity,
    phase: calendar_rule.Phase,
    active: list[Pilot],
    stopping: list[Pilot],
    now: float,
) -> list[StopPilot]:
    if state.mode is Mode.FORCE_STOP:
        return [StopPilot(pilot, FORCE_GRACE, _FORCED) for pilot in active + stopping]
    old = [pilot for pilot in active if pilot.age is not None and pilot.age > config.max_ttl]
    stops = {pilot.id: StopPilot(pilot, config.stop_grace, OLD) for pilot in old}
    youngest = sorted(
        (pilot for pilot in active if pilot.id not in stops),
        key=lambda pilot: pilot.age if pilot.age is not None else 0.0,
    )
    for pilot in _for_memory(state, config, history, youngest, stopping):
        grace = min(config.stop_grace, SHORT_GRACE)
        stops[pilot.id] = StopPilot(pilot, grace, _SHORT)
    if phase.evicts:
        for pilot in active:
            stops.setdefault(pilot.id, StopPilot(pilot, config.stop_grace, _WINDOW))
    over = history.over_since is not None and now - history.over_since >= config.grace_kill
    if over and capacity.start is not None:
        for pilot in youngest[: max(0, len(active) - len(old) - capacity.start)]:
            stops.setdefault(pilot.id, StopPilot(pilot, config.stop_grace, _OVER))
    return list(stops.values())


def _for_memory(
    state: NodeState,
    config: Config,
    history: History,
    youngest: Sequence[Pilot],
    stopping: Sequence[Pilot],
) -> list[Pilot]:
    """The youngest pilots whose end gives back what is missing, and what will be by then."""
    missing = limits.memory_shortage(config, state.load)
    if missing:
        missing += round(history.room_loss * limits.ROOM_AHEAD)
        missing -= sum(pilot.memory_bytes or 0 for pilot in stopping)
        chosen = []
        for pilot in youngest:
            if missing <= 0:
                break
            chosen.append(pilot)
            # Unknown counts as a whole pilot's share; the next look is soon and corrects it.
            known = pilot.memory_bytes
            missing -= config.max_dock_mem if known is None else known
        return chosen
    if limits.stalled(config, state.load) and not stopping:
        # The figure is an average over 10 s: evicting by it alone would empty the node.
        return list(youngest[:1])
    return []


def _summary(starts: int, stops: Sequence[StopPilot], reasons: Sequence[Reason]) -> str:
    if stops:
        why = sorted({stop.reason for stop in stops})
        return f"Stopping {limits.count(len(stops))}: {'; '.join(why)}."
    if starts:
        return f"Starting {limits.count(starts)}."
    first = most_telling(reasons)
    return f"Starting none. {first.text}" if first is not None else "Starting none."


def most_telling(reasons: Sequence[Reason]) -> Reason | None:
    """The rule whose word explains best that nothing starts; None when something may."""
    shut = [reason for reason in reasons if reason.room == 0]
    return min(shut, key=lambda reason: _MOST_TELLING.index(reason.rule), default=None)


def _look_again(
    state: NodeState,
    config: Config,
    history: History,
    capacity: Capacity,
    phase: calendar_rule.Phase,
    active: list[Pilot],
    now: float,
) -> float | None:
    """Seconds until the passing of time alone changes an answer; None: the timer will do."""
    waits = [config.max_ttl - pilot.age for pilot in active if pilot.age is not None]
    if history.last_eviction is not None:
        waits.append(history.last_eviction + config.grace_spawn - now)
    if history.over_since is not None:
        waits.append(history.over_since + config.grace_kill - now)
    if phase.change is not None:
        waits.append(phase.change - state.wall)
    for backoff in (history.no_work, history.breaker):
        if backoff.level:
            waits.append(backoff.next_probe - now)
    ahead = [wait for wait in waits if wait > 0]
    short = limits.memory_shortage(config, state.load) or limits.stalled(config, state.load)
    if capacity.start is None or (short and active) or state.mode is Mode.FORCE_STOP:
        ahead.append(SOON)
    return min(ahead, default=None)
