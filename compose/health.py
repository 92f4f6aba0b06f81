"""Is everything well?  From what Docker says of the containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WELL, WAITING, FAILED = "well", "waiting", "failed"
#: After so many ends of a container there is no use in waiting: the first ones may be haste.
_RESTARTS = 5


def state_of(container: Mapping[str, Any]) -> tuple[str, str]:
    """One of the three words, and what to show.  A container restarts until it is well."""
    state = container["State"]
    health = state.get("Health")
    if state["Status"] == "running":
        if health is None or health["Status"] == "healthy":
            return WELL, "healthy" if health else "running"
        if health["Status"] == "unhealthy":
            return FAILED, f"unhealthy: {_last_check(health)}"
        return WAITING, health["Status"]
    if state["Status"] == "exited" and container["HostConfig"]["RestartPolicy"]["Name"] == "no":
        return (WELL, "done") if state["ExitCode"] == 0 else (FAILED, f"exit {state['ExitCode']}")
    word = FAILED if container.get("RestartCount", 0) >= _RESTARTS else WAITING
    return word, f"{state['Status']} (exit code {state['ExitCode']})"


def _last_check(health: Mapping[str, Any]) -> str:
    log = health.get("Log") or []
    return " ".join(log[-1]["Output"].split())[-300:] if log else "no check yet"


def unwell(services: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Those that are not well, with their state."""
    states = {name: state_of(one) for name, one in sorted(services.items())}
    return {name: state for name, state in states.items() if state[0] != WELL}
