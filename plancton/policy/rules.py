"""What may forbid a start though the node has room: each rule's say, in one sentence."""

from __future__ import annotations

from plancton.config.model import Config
from plancton.model import History, ImageStatus, Mode, NodeState, Pilot, Reason, Trigger

from . import backoff, calendar_rule, capacity


def reasons(
    state: NodeState,
    config: Config,
    history: History,
    phase: calendar_rule.Phase,
    active: list[Pilot],
    ended: int,
    now: float,
) -> list[Reason]:
    missing = capacity.memory_shortage(config, state.load)
    searching = backoff.waiting(active, history.no_work, config)
    return [
        _mode_reason(state.mode),
        phase.reason(),
        capacity.describe_shortage(config, state.load, missing),
        _kill_reason(config, history, now),
        _spawn_reason(config, history, now),
        backoff.breaker_reason(history.breaker, active, now),
        backoff.no_work_reason(history.no_work, searching, now),
        _pace_reason(state.trigger, config, ended),
    ]


def _mode_reason(mode: Mode) -> Reason:
    text = {
        Mode.ACTIVE: "The node is in use: it neither drains nor stops.",
        Mode.DRAIN: "The node drains: `planctonctl resume` ends that.",
        Mode.DRAIN_STOP: "The node drains, and the daemon ends after the last pilot.",
        Mode.FORCE_STOP: "The daemon ends, and every pilot with it.",
    }
    return Reason("mode", None if mode is Mode.ACTIVE else 0, text[mode])


def _kill_reason(config: Config, history: History, now: float) -> Reason:
    if history.over_since is None:
        return Reason("grace_kill", None, "No more pilots run than the node can hold.")
    lasted = now - history.over_since
    return Reason(
        "grace_kill",
        0,
        f"More pilots run than the node can hold, for {lasted:.1f} s; "
        f"the youngest are evicted after {config.grace_kill:g} s.",
    )


def _spawn_reason(config: Config, history: History, now: float) -> Reason:
    if history.last_eviction is None:
        return Reason("grace_spawn", None, "No pilot was evicted.")
    left = history.last_eviction + config.grace_spawn - now
    if left > 0:
        return Reason("grace_spawn", 0, f"A pilot was evicted; the pause lasts {left:.1f} s more.")
    return Reason("grace_spawn", None, "The last eviction was long enough ago.")


def _pace_reason(trigger: Trigger, config: Config, ended: int) -> Reason:
    if config.docks_per_loop is None:
        return Reason("pace", None, "docks_per_loop is not set: any number may start at once.")
    if trigger is Trigger.TIMER:
        most = max(config.docks_per_loop, ended)
        return Reason("pace", most, f"docks_per_loop lets {most} pilots start in this pass.")
    return Reason(
        "pace", ended, f"Between two timer passes only pilots that ended are replaced: {ended}."
    )


def image(status: ImageStatus) -> Reason:
    pulling = f"it is being pulled ({status.pulling})" if status.pulling else ""
    failed = f"the last pull failed: {status.problem}" if status.problem else ""
    told = "; ".join(filter(None, (pulling, failed)))
    if not status.name:
        return Reason("image", 0, f"Image {status.wanted} is not there: {told or 'unknown why'}.")
    text = f"New pilots are made from {status.name} ({status.digest})"
    if status.name != status.wanted:
        text += f", as {status.wanted} is not there"
    return Reason("image", None, text + (f": {told}." if told else "."))
