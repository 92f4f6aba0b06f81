"""What a pilot is told about its node and about how long it may live: Machine/Job Features.

The HEP standard HSF-TN-2016-02: each fact is a file with one value, in the directories that
``$MACHINEFEATURES`` and ``$JOBFEATURES`` name; a fact that is not known has no file.  The agents
that a pilot runs ask their central service for work that fits.  ``$PLANCTON_LIFE`` names one more
file with the same answer in one line, for scripts.

Times are seconds, and moments are seconds since 1970.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from plancton.config.computed_keys import max_docks
from plancton.config.model import Config
from plancton.model import HostFacts, ToldPilot

MACHINE, JOB, LIFE = "machinefeatures", "jobfeatures", "life"
_VARIABLES = {"MACHINEFEATURES": MACHINE, "JOBFEATURES": JOB, "PLANCTON_LIFE": LIFE}


#: Relative paths and contents; None: there is no such file any more.
Features = Mapping[str, str | None]


def make_features(
    config: Config,
    facts: HostFacts,
    name: str,
    *,
    wall: float,
    life: float | None,
    closes: float | None,
) -> dict[str, str]:
    """Return the files of one pilot: their relative paths and contents.

    Args:
        config: what pilots may use.
        facts: of the node.
        name: the pilot's.
        wall: when it starts.
        life: for how many seconds it may expect to live; None: not known.
        closes: when the node's window ends; None: never, or not known.
    """
    allowed = min(facts.ncpus, max_docks(config, facts) * config.cpus_per_dock)
    values: dict[str, float | str] = {
        f"{MACHINE}/total_cpu": max(1, math.floor(allowed)),
        f"{JOB}/allocated_cpu": max(1, math.floor(config.cpus_per_dock)),
        f"{JOB}/job_id": name,
        f"{JOB}/jobstart_secs": wall,
        f"{JOB}/max_rss_bytes": config.max_dock_mem,
        f"{JOB}/max_swap_bytes": config.max_dock_swap,
    }
    if closes is not None:
        values[f"{MACHINE}/shutdowntime"] = closes
        values[f"{MACHINE}/grace_secs"] = config.drain_lead
    if life is not None:
        values[f"{JOB}/wall_limit_secs"] = life
        values[f"{JOB}/cpu_limit_secs"] = life * config.cpus_per_dock
        values[f"{JOB}/shutdowntime_job"] = values[LIFE] = wall + life
    return _format_values(values)


def make_end_features(config: Config, closes: float | None, told: ToldPilot | None) -> Features:
    """Return the files that change for a running pilot where the node closes at another time.

    Args:
        config: says how long before that no pilot starts.
        closes: when the node closes; None: never, or not known.
        told: what the pilot was told when it started; None: not known, and then that stays.
    """
    values = {
        f"{MACHINE}/shutdowntime": closes,
        f"{MACHINE}/grace_secs": None if closes is None else config.drain_lead,
    }
    if told is not None:
        ends = [] if closes is None else [closes]
        if told.life is not None and told.life.unclosed is not None:
            ends.append(told.started + told.life.unclosed)
        values[f"{JOB}/shutdowntime_job"] = values[LIFE] = min(ends, default=None)
    known = {path: value for path, value in values.items() if value is not None}
    return {**dict.fromkeys(values), **_format_values(known)}


def _format_values(values: Mapping[str, float | str]) -> dict[str, str]:
    return {
        path: f"{value if isinstance(value, str) else math.floor(value)}\n"
        for path, value in values.items()
    }


def make_variables(directory: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name the files below ``directory``; those ``given`` stay."""
    return {
        variable: f"{directory}/{path}"
        for variable, path in _VARIABLES.items()
        if variable not in given
    }
