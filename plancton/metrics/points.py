"""The points of a node, computed from passes of the control loop.  Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plancton import __version__
from plancton.config.model import Config
from plancton.model import EndedPilot, HostFacts, LoopPass, Mode, Pilot, PilotState, StopPilot
from plancton.policy import calendar_rule, decide, rules
from plancton.policy.backoff import PilotOutcome
from telemetry.points import Point, Value, point
from telemetry.sender import TargetState

from .series import (
    CONTAINER,
    CPU,
    DAEMON,
    ERRORS,
    EVICTIONS,
    MEASUREMENT,
    NODE,
    PILOTS,
    SENDING,
    STATE,
)

#: A node with less than this share of its CPUs free is full: who waits for CPU, waits then.
FULL = 0.95


@dataclass
class Tally:
    """The events since the last points."""

    ends: list[EndedPilot] = field(default_factory=list)
    evictions: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    #: pilot name: when (``now``) it was first seen starting
    starting: dict[str, float] = field(default_factory=dict)
    #: CPU seconds of pilots that ended, asked to, with their job unfinished, by reason
    evicted_cpu: dict[str, float] = field(default_factory=dict)
    #: CPU seconds of pilots that ended with success
    finished_cpu: float = 0.0
    #: pilot name: CPU seconds that it has used, at the last look
    used: dict[str, float] = field(default_factory=dict)

    def see(self, look: LoopPass, now: float) -> None:
        """Count what one loop pass did: its time, starts, ends, evictions and CPU time."""
        self.took.append(look.took)
        self.ends.extend(look.ends)
        for action in look.decision.actions:
            if isinstance(action, StopPilot) and action.pilot.state is not PilotState.STOPPING:
                self.evictions[rules.CAUSES[action.reason]] += 1
        for one in look.ends:
            used, reason = self.used.pop(one.name, 0.0), rules.CAUSES.get(one.stop_reason, "other")
            if one.asked_to_stop and reason == "other":
                self.evictions[reason] += 1  # by a command, not by a pass of the loop
            if one.asked_to_stop and one.outcome != PilotOutcome.NORMAL.value:
                self.evicted_cpu[reason] = self.evicted_cpu.get(reason, 0.0) + used
            elif one.outcome == PilotOutcome.NORMAL.value:
                self.finished_cpu += used
        if look.pilots is not None:
            self._see_starts(look.pilots, now)
            self._see_usage(look.pilots)

    def _see_usage(self, pilots: Sequence[Pilot]) -> None:
        for pilot in pilots:
            if pilot.cpu_seconds is not None:
                self.used[pilot.name] = pilot.cpu_seconds
        names = {pilot.name for pilot in pilots}
        for gone in self.used.keys() - names:
            del self.used[gone]

    def _see_starts(self, pilots: Sequence[Pilot], now: float) -> None:
        names = set()
        for pilot in pilots:
            names.add(pilot.name)
            if pilot.state is PilotState.STARTING:
                self.starting.setdefault(pilot.name, now)
            elif pilot.name in self.starting and pilot.age is not None:
                asked = self.starting.pop(pilot.name)
                self.latencies.append(max(0.0, now - pilot.age - asked))
        for gone in [name for name in self.starting if name not in names]:
            del self.starting[gone]

    def clear(self) -> None:
        """Start again; what is known of pilots that are there is kept."""
        self.ends.clear()
        self.evictions.clear()
        self.evicted_cpu.clear()
        self.finished_cpu = 0.0
        self.latencies.clear()
        self.took.clear()


@dataclass(frozen=True)
class Totals:
    """The loop's counters, which only grow."""

    started: int = 0
    start_failures: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)


def ends(tally: Tally, hostname: str) -> list[Point]:
    """Make a point of 2017's ``container`` for each pilot that ended, at its end."""
    made = []
    for one in tally.ends:
        tags = {
            "hostname": hostname,
            "started": str(one.ran),
            "killed": str(one.asked_to_stop),
        }
        made.append(point(CONTAINER, tags, {"uptime": one.lived}, one.ended))
    return [one for one in made if one is not None]


def cpu(seconds: Mapping[str, float] | None, hostname: str, site: str, wall: float) -> list[Point]:
    """Return the point of the CPU time since the last one; none where nothing is known.

    seconds         by field of the series; None where nothing is known
    hostname, site  the node
    wall            the time of the point, seconds since 1970
    """
    made = point(CPU, {"hostname": hostname, "site": site}, seconds or {}, wall)
    return [] if made is None else [made]


def points(
    look: LoopPass,
    tally: Tally,
    config: Config,
    facts: HostFacts,
    *,
    since: Totals,
    totals: Totals,
    uptime: float,
    config_age: float,
    config_rejected: bool,
    sending: Sequence[TargetState],
    wall: float,
) -> list[Point]:
    """Make the points of how things stand, and of what happened since the last ones.

    look             the newest pass of the loop
    tally            what happened in all passes since the last points
    config, facts    as they are now
    since, totals    the loop's counters at the last points, and now
    uptime           seconds since the daemon began
    config_age       seconds since the configuration in force was read
    config_rejected  a newer configuration is not used
    sending          how sending goes, by target
    wall             the time of the points, seconds since 1970
    """
    host = {"hostname": facts.hostname}
    tags = {**host, "site": config.site}
    made: list[Point | None] = [
        point(DAEMON, host, _daemon(look, uptime), wall),
        point(MEASUREMENT, host, {"cpu_eff": _percent(look, facts)}, wall),
        point(NODE, tags, _node(look, config, facts), wall),
        point(PILOTS, tags, _pilots(look, tally, since, totals), wall),
        point(
            STATE,
            tags,
            {
                "uptime": uptime,
                **_state(look, config, facts, wall),
                **_working(tally, config_age, config_rejected),
                **_trouble(look, config_rejected),
            },
            wall,
        ),
    ]
    for reason in sorted(tally.evictions.keys() | tally.evicted_cpu.keys()):
        values: dict[str, Value | None] = {
            "count": tally.evictions[reason],
            "cpu_seconds": tally.evicted_cpu.get(reason, 0.0),
        }
        made.append(point(EVICTIONS, {**tags, "reason": reason}, values, wall))
    for kind, total in sorted(totals.errors.items()):
        count = total - since.errors.get(kind, 0)
        if count:
            made.append(point(ERRORS, {**tags, "kind": kind}, {"count": count}, wall))
    for state in sending:
        sent: dict[str, Value | None] = {
            "waiting": state.waiting,
            "sent": state.sent,
            "dropped": state.dropped,
            "failures": state.failures,
        }
        made.append(point(SENDING, {**tags, "target": state.name}, sent, wall))
    return [one for one in made if one is not None]


def _daemon(look: LoopPass, uptime: float) -> dict[str, Value | None]:
    if look.mode is not Mode.ACTIVE:
        status = "draining"
    else:
        status = "waiting" if _limited_by(look) in _WAITING else "active"
    return {"uptime": uptime, "containers": _count(look, PilotState.RUNNING), "status": status}


#: Rules that keep a node with room from starting pilots, for a time.
_WAITING = {"engine", "image", "window", "grace_kill", "grace_spawn", "pressure", "breaker"}


def _percent(look: LoopPass, facts: HostFacts) -> float | None:
    busy = look.load.busy_cpus
    return None if busy is None else 100.0 * busy / facts.ncpus


def _node(look: LoopPass, config: Config, facts: HostFacts) -> dict[str, Value | None]:
    load = look.load
    busy, owner, pilots = load.busy_cpus, load.owner_cpus, load.pilots_cpus
    full = None if busy is None else busy >= FULL * facts.ncpus
    left = None if owner is None else facts.ncpus - owner
    harvest = pilots / left if pilots is not None and left is not None and left > 0.0 else None
    promised = (_count(look, PilotState.RUNNING) or 0) * config.cpus_per_dock
    squeezed: float | None = None
    if pilots is not None and full is not None and promised:
        squeezed = max(0.0, 1.0 - pilots / promised) if full else 0.0
    return {
        "ncpus": facts.ncpus,
        "owner_cpus": owner,
        "owner_cpus_smoothed": look.decision.history.owner_cpus,
        "pilots_cpus": pilots,
        "idle_cpus": None if busy is None else max(0.0, facts.ncpus - busy),
        "harvest": None if harvest is None else min(1.0, harvest),
        "pilots_squeezed": squeezed,
        "owner_squeezed": owner_squeezed(look, facts),
        "mem_total": facts.ram_bytes,
        "mem_available": load.mem_available,
        "pilots_mem": load.pilots_mem,
        "memory_stall": load.memory_stall,
    }


def owner_squeezed(look: LoopPass, facts: HostFacts) -> float | None:
    """Return the CPUs that unprotected pilots use while the node is full; None: not known."""
    busy, pilots = look.load.busy_cpus, look.load.pilots_cpus
    if busy is None or pilots is None or look.engine_problem:
        return None
    return pilots if busy >= FULL * facts.ncpus and not _is_protected(look) else 0.0


def why_idle(look: LoopPass, config: Config, facts: HostFacts, wall: float) -> str:
    """Return why unused CPUs idle: ``closed``, ``no_work`` or ``limited``.

    ``look``: one pass of the loop; ``wall``: seconds since 1970.
    """
    if look.mode is not Mode.ACTIVE or not calendar_rule.find_phase(config, facts, wall).starts:
        return "closed"
    return "no_work" if look.decision.history.no_work.level else "limited"


def _trouble(look: LoopPass, config_rejected: bool) -> dict[str, Value | None]:
    """Name what an admin has to repair, in one word each."""
    image = look.prepared.image
    wrong = {
        "engine": bool(look.engine_problem),
        "image": image is not None and bool(image.problem),
        "breaker": look.decision.history.breaker.level > 0,
        "configuration": config_rejected or bool(look.settings_problem),
        "protection": look.prepared.protection is not None and not _is_protected(look),
    }
    found = [name for name, is_wrong in wrong.items() if is_wrong]
    return {"in_trouble": int(bool(found)), "trouble": ", ".join(found)}


def _is_protected(look: LoopPass) -> bool:
    """Return whether the owner's CPU is protected; an engine that does not say protects nothing."""
    protection = look.prepared.protection
    return protection is not None and bool(protection.cpu) and not protection.inside


def _pilots(look: LoopPass, tally: Tally, since: Totals, totals: Totals) -> dict[str, Value | None]:
    ended = Counter(one.outcome for one in tally.ends)
    known = {PilotOutcome.NORMAL.value, PilotOutcome.NO_WORK.value, PilotOutcome.FAILURE.value}
    lived = [one.lived for one in tally.ends if one.lived is not None]
    return {
        "running": _count(look, PilotState.RUNNING),
        "starting": _count(look, PilotState.STARTING),
        "draining": _count(look, PilotState.STOPPING),
        "capacity": look.decision.capacity.start,
        "capacity_keep": look.decision.capacity.keep,
        "limited_by": _limited_by(look),
        "started": totals.started - since.started,
        "start_failures": totals.start_failures - since.start_failures,
        "start_latency": statistics.median(tally.latencies) if tally.latencies else None,
        "start_latency_max": max(tally.latencies, default=None),
        "lived": statistics.median(lived) if lived else None,
        "lived_max": max(lived, default=None),
        "ended_normal": ended[PilotOutcome.NORMAL.value],
        "finished_cpu_seconds": tally.finished_cpu,
        "ended_no_work": ended[PilotOutcome.NO_WORK.value],
        "ended_failure": ended[PilotOutcome.FAILURE.value],
        "ended_other": sum(n for told, n in ended.items() if told not in known),
    }


def _state(
    look: LoopPass, config: Config, facts: HostFacts, wall: float
) -> dict[str, Value | None]:
    phase = calendar_rule.find_phase(config, facts, wall)
    history, image = look.decision.history, look.prepared.image
    return {
        "mode": look.mode.value,
        "active": int(look.mode is Mode.ACTIVE),
        "window": phase.name,
        "window_change": None if phase.change is None else max(0.0, phase.change - wall),
        "breaker_open": history.breaker.level > 0,
        "breaker_failures": history.breaker.failures,
        "no_work_level": history.no_work.level,
        "engine_ok": not look.engine_problem,
        "protected": None if look.engine_problem else _is_protected(look),
        "image": (image.digest or None) if image is not None else None,
        "image_age": image.age if image is not None else None,
        "image_problem": bool(image.problem) if image is not None else None,
        "version": __version__,
    }


def _working(tally: Tally, config_age: float, rejected: bool) -> dict[str, Value | None]:
    return {
        "loop_time": statistics.fmean(tally.took) if tally.took else None,
        "loop_time_max": max(tally.took, default=None),
        "looks": len(tally.took),
        "config_age": config_age,
        "config_rejected": rejected,
    }


def _count(look: LoopPass, state: PilotState) -> int | None:
    if look.pilots is None:
        return None
    return sum(pilot.state is state for pilot in look.pilots)


def _limited_by(look: LoopPass) -> str:
    shut = decide.find_main_reason(look.decision.reasons)
    return "" if shut is None else shut.rule
