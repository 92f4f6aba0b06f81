"""Decide what to start, stop and remove, and say why.

Pure: it reads no clock, no file and no engine, so every rule is tested with
values alone.  The rules are in ``rules``; here their results are put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plancton.config.model import Config
from plancton.model import (
    Action,
    Capacity,
    Decision,
    Expectation,
    History,
    NodeState,
    PilotState,
    Reason,
    RemovePilot,
    StartPilots,
    StopPilot,
)

from . import backoff, calendar_rule, capacity, cpu_weights, lifetime, told_pilots
from .rules import RULES, RuleResult, View, is_protected


def decide(state: NodeState, config: Config, now: float) -> Decision:
    """Return what to do, why, and what to remember for the next pass.

    ``now`` is in seconds of the monotonic clock that ``state`` is measured with.
    """
    if state.pilots is None:
        return _decide_blind(state)
    view = _make_view(state, config, now)
    total = capacity.combine_limits(view.limits.values())
    results: dict[str, RuleResult] = {}
    for name, rule in RULES.items():
        if (result := rule(view)) is not None:
            results[name] = result
            view = view.after(result)

    stops = [stop for result in results.values() for stop in result.stops]
    rooms = [result.room for result in results.values() if result.room is not None]
    waits = [result.wait for result in results.values() if result.wait is not None]
    starts = 0 if stops else min(rooms)
    reasons = tuple(Reason(name, one.room, one.sentence) for name, one in results.items())
    exited = [pilot for pilot in state.pilots if pilot.state is PilotState.EXITED]
    actions: list[Action] = [RemovePilot(pilot) for pilot in exited]
    actions += stops
    if starts:
        actions.append(StartPilots(starts, _expect_lives(view, starts), view.history.told_end))
    return Decision(
        actions=tuple(actions),
        reasons=reasons,
        capacity=total,
        history=replace(view.history, acted=bool(actions)),
        summary=_summarize(starts, stops, reasons),
        recheck_after=min((wait for wait in waits if wait > 0), default=None),
        weights=cpu_weights.weigh_by_age(view.remaining) if is_protected(state) else (),
    )


def find_main_reason(reasons: Sequence[Reason]) -> Reason | None:
    """Return the rule that best explains why nothing starts; None when something may."""
    return next((reason for reason in reasons if reason.room == 0), None)


def _expect_lives(view: View, starts: int) -> tuple[Expectation | None, ...]:
    """Return how long each pilot that starts now may live; () where that is not known."""
    lives = tuple(view.expect_life(view.in_use + number) for number in range(starts))
    return lives if any(lives) else ()


def _make_view(state: NodeState, config: Config, now: float) -> View:
    pilots = state.pilots or ()
    active = tuple(p for p in pilots if p.state in (PilotState.STARTING, PilotState.RUNNING))
    stopping = tuple(p for p in pilots if p.state is PilotState.STOPPING)
    history = _observe(state, config, now)
    limits = {
        "max_docks": capacity.limit_by_max_docks(config, state.facts),
        "memory": capacity.limit_by_memory(config, state.load, len(active) + len(stopping)),
        "cpu": capacity.limit_by_cpu(
            config, state.facts, state.load, history, keep_running=is_protected(state)
        ),
    }
    total = capacity.combine_limits(limits.values())
    history = lifetime.follow_idle(
        history,
        total,
        capacity.find_memory_shortage(config, state.load),
        config,
        now,
        state.wall,
    )
    phase = calendar_rule.find_phase(config, state.facts, state.wall)
    ends = [end for end in (phase.end, state.drain_deadline) if end is not None]
    is_open = phase.name in (calendar_rule.OPEN, calendar_rule.ENDING)
    history = told_pilots.forget_gone(history, pilots)
    history = told_pilots.follow_end(history, min(ends, default=None), is_open, state.wall)
    return View(
        state=state,
        config=config,
        now=now,
        history=capacity.track_excess(history, total, len(active), now),
        limits=limits,
        phase=phase,
        active=active,
        remaining=active,
        stopping=stopping,
        new_ends=sum(
            pilot.state is PilotState.EXITED and pilot.id not in state.history.judged
            for pilot in pilots
        ),
    )


def _observe(state: NodeState, config: Config, now: float) -> History:
    """Return the history with what this pass sees of ends, memory, churn and the owner."""
    pilots = state.pilots or ()
    starting = any(pilot.state is PilotState.STARTING for pilot in pilots)
    image = state.prepared.image.digest if state.prepared.image is not None else ""
    history = backoff.forget_if_changed(state.history, config, image, state.retry, now)
    history = backoff.count_ends(history, pilots, config, now)
    history = capacity.track_memory_growth(history, state.load, now)
    history = capacity.track_churn(history, starting, now)
    history = capacity.track_shares(history, pilots, config, state.facts, state.load, now)
    return capacity.smooth_owner(history, state.load, now, keep_running=is_protected(state))


def _decide_blind(state: NodeState) -> Decision:
    """Do nothing: how many pilots run is unknown while the engine does not answer."""
    text = f"The engine does not answer: nothing is started or stopped ({state.engine_problem})."
    return Decision(
        actions=(),
        reasons=(Reason("engine", 0, text),),
        capacity=Capacity(None, None),
        # The time over capacity must be seen, not assumed.
        history=replace(state.history, over_since=None),
        summary=text,
        recheck_after=None,
    )


def _summarize(starts: int, stops: Sequence[StopPilot], reasons: Sequence[Reason]) -> str:
    if stops:
        why = sorted({stop.reason for stop in stops})
        return f"Stopping {capacity.format_pilots(len(stops))}: {'; '.join(why)}."
    if starts:
        return f"Starting {capacity.format_pilots(starts)}."
    first = find_main_reason(reasons)
    return f"Starting none. {first.text}" if first is not None else "Starting none."
