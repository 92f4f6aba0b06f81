"""Tell from Docker's description of the containers whether all services are healthy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEALTHY, WAITING, FAILED = "healthy", "waiting", "failed"
#: A container that was restarted so often has failed; it may fail a few times at its start.
_RESTARTS = 5


def read_health(container: Mapping[str, Any]) -> tuple[str, str]:
    """Return HEALTHY, WAITING or FAILED, and the text to show."""
    state = container["State"]
    health = state.get("Health")
    if state["Status"] == "running":
        if health is None or health["Status"] == "healthy":
            return HEALTHY, "healthy" if health else "running"
        if health["Status"] == "unhealthy":
            return FAILED, f"unhealthy: {_last_check(health)}"
        return WAITING, health["Status"]
    if state["Status"] == "exited" and container["HostConfig"]["RestartPolicy"]["Name"] == "no":
        return (
            (HEALTHY, "done") if state["ExitCode"] == 0 else (FAILED, f"exit {state['ExitCode']}")
        )
    word = FAILED if container.get("RestartCount", 0) >= _RESTARTS else WAITING
    return word, f"{state['Status']} (exit code {state['ExitCode']})"


def _last_check(health: Mapping[str, Any]) -> str:
    log = health.get("Log") or []
    return " ".join(log[-1]["Output"].split())[-300:] if log else "no check yet"


def find_unhealthy(services: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Find the services that are not healthy, with their state."""
    states = {name: read_health(one) for name, one in sorted(services.items())}
    return {name: state for name, state in states.items() if state[0] != HEALTHY}
