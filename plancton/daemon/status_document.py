"""Build the status document, which the daemon writes after each pass and the commands read.

``<rundir>/status.json`` is for programs too.  Times are seconds since 1970 where
called ``written``, ``started``, ``loaded`` or ``ended``, and seconds otherwise.
``null`` means "not known".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hostfiles.regular_file import open_regular
from plancton import __version__
from plancton.config.model import Config, list_notes
from plancton.config.reload import ConfigWatch
from plancton.engine.base import Engine
from plancton.model import (
    Breaker,
    EndedPilot,
    HostFacts,
    LoopPass,
    NoWork,
    Pilot,
    PilotState,
    Prepared,
)
from plancton.policy import calendar_rule, told_pilots

#: Raised when a key changes its meaning or goes away, not when one is added.
VERSION = 1


@dataclass(frozen=True)
class DaemonInfo:
    """The daemon itself, as the document shows it."""

    pid: int
    began: float  #: on the monotonic clock
    running: bool = True


def build_document(
    daemon: DaemonInfo,
    loop_pass: LoopPass,
    *,
    engine: Engine,
    facts: HostFacts,
    watch: ConfigWatch,
    config_path: str,
    ended: Iterable[EndedPilot],
    counts: dict[str, int],
    now: float,
    wall: float,
) -> dict[str, Any]:
    """Return the whole document.

    ``now`` is monotonic, ``wall`` in seconds since 1970.  ``watch`` has the configuration;
    ``ended`` are the last pilots that ended; ``counts`` the totals since the daemon started.
    """
    load, config = loop_pass.load, watch.config
    return {
        "version": VERSION,
        "plancton": __version__,
        "written": wall,
        # Both on the node's monotonic clock: how fresh this is, whatever the wall clock did.
        "looked": now,
        "next_look_within": config.main_sleep,
        "daemon": {
            "pid": daemon.pid,
            # By the wall clock of now: it may have been set since then.
            "started": wall - (now - daemon.began),
            "running": daemon.running,
        },
        "mode": loop_pass.mode.value,
        "summary": loop_pass.decision.summary,
        "engine": {
            "name": engine.name,
            "place": engine.place,
            "isolation": engine.isolation,
            "problem": loop_pass.engine_problem,
            "problems": list(loop_pass.problems),
        },
        "image": _optional(loop_pass.prepared.image),
        "protection": _protection(loop_pass.prepared),
        "host": {
            **asdict(facts),
            "owner_cpus": load.owner_cpus,
            "owner_cpu_fraction": _share(load.owner_cpus, facts.ncpus),
            "owner_cpus_smoothed": loop_pass.decision.history.owner_cpus,
            "pilots_cpus": load.pilots_cpus,
            "pilots_cpu_fraction": _share(load.pilots_cpus, facts.ncpus),
            "mem_available": load.mem_available,
            "pilots_mem": load.pilots_mem,
            "memory_stall": load.memory_stall,
        },
        "window": _window(config, facts, wall),
        "capacity": asdict(loop_pass.decision.capacity),
        "pilots": None
        if loop_pass.pilots is None
        else [
            {**encode_pilot(one), "text": _describe(one, loop_pass, config, wall)}
            for one in loop_pass.pilots
        ],
        "ended": [asdict(one) for one in ended],
        "counts": counts,
        "no_work": _no_work(loop_pass.decision.history.no_work, now),
        "breaker": _breaker(loop_pass.decision.history.breaker, now),
        "config": {
            "path": config_path,
            "loaded": watch.loaded,
            "problem": "; ".join(filter(None, (watch.problem, loop_pass.settings_problem))),
            "rejected": bool(watch.problem),
            "asking": watch.asking,
            "notes": list(list_notes(config)),
            "stop_grace": config.stop_grace,
        },
        "rules": [asdict(reason) for reason in loop_pass.decision.reasons],
    }


def write_document(path: Path, content: dict[str, Any]) -> None:
    """Write the document in one step, so that no reader sees half of it.  Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "w", encoding="utf-8", opener=open_regular) as file:
        file.write(json.dumps(content))
    fresh.replace(path)


def encode_pilot(pilot: Pilot) -> dict[str, Any]:
    """Return a pilot as the document shows it."""
    return {**asdict(pilot), "state": pilot.state.value}


def _describe(pilot: Pilot, loop_pass: LoopPass, config: Config, wall: float) -> str:
    if pilot.state is PilotState.EXITED:
        return ""
    protection = loop_pass.prepared.protection
    return told_pilots.describe_pilot(
        pilot,
        loop_pass.pilots or (),
        loop_pass.decision.history,
        config,
        protected=protection is not None and protection.cpu_is_idle,
        wall=wall,
    )


def _window(config: Config, facts: HostFacts, wall: float) -> dict[str, Any]:
    phase = calendar_rule.find_phase(config, facts, wall)
    return {"phase": phase.name, "next_change": phase.change, "text": phase.text}


def _optional(value: Any) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def _protection(prepared: Prepared) -> dict[str, Any] | None:
    if prepared.protection is None:
        return None
    return {**asdict(prepared.protection), "text": prepared.protection.sentence}


def _share(cpus: float | None, ncpus: int) -> float | None:
    return None if cpus is None else cpus / ncpus


def _no_work(no_work: NoWork, now: float) -> dict[str, Any]:
    return {"level": no_work.level, "next_probe_in": _wait(no_work.level, no_work.next_probe, now)}


def _breaker(breaker: Breaker, now: float) -> dict[str, Any]:
    return {
        "state": "open" if breaker.level else "closed",
        "level": breaker.level,
        "failures": breaker.failures,
        "next_probe_in": _wait(breaker.level, breaker.next_probe, now),
        "reason": breaker.reason,
    }


def _wait(level: int, at: float, now: float) -> float | None:
    return max(0.0, at - now) if level else None
