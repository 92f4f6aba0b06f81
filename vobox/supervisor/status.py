"""The file through which ``thyme-vobox health`` knows what the loop knows."""

import json
import os
from typing import Any, Dict, Optional

from .ce import Recipe
from .plan import Clock, State, problems, renewal_moment
from .settings import Settings

NAME = "status.json"


def document(state: State, settings: Settings, recipe: Recipe, now: Clock) -> Dict[str, Any]:
    """What the loop knows at ``now``, for the status file."""
    proxy = [one.life for one in state.credentials if one.variable == "X509_USER_PROXY"]
    return {
        "boot": boot(),
        "pid": os.getpid(),
        "looked": now.mono,
        "ce": settings.kind,
        "ce_state": ce_state(state, recipe),
        "ce_problem": state.lacking or state.ce_problem,
        "credentials": {one.variable: one.life.end for one in state.credentials if one.life},
        "credential_problems": problems(state),
        "waiting_for_credentials": not state.ready,
        "renewal_problem": state.renew_problem,
        "renewal_due": (
            renewal_moment(proxy[0], settings) if settings.renew and proxy and proxy[0] else None
        ),
        "schedd_seen": state.schedd_seen,
        "valid_for": settings.valid_for,
        "stopping": state.stopping is not None,
    }


def ce_state(state: State, recipe: Recipe) -> str:
    """``none``, ``runs``, ``starts``, ``over CODE`` or ``down``."""
    if not recipe.start:
        return "none"
    if state.ce_over is not None:
        return "over %d" % state.ce_over
    if state.ce_since is not None or "ce" in state.running:
        return "runs"
    return "starts" if "ce-start" in state.running else "down"


def write(directory: str, content: Dict[str, Any]) -> None:
    """Raises OSError."""
    path = os.path.join(directory, NAME)
    with open(path + ".new", "w") as file:
        json.dump(content, file)
    os.rename(path + ".new", path)


def read(directory: str) -> Optional[Dict[str, Any]]:
    """None where there is none that can be read."""
    try:
        with open(os.path.join(directory, NAME)) as file:
            content = json.load(file)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def boot() -> str:
    """Monotonic times are those of one boot."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
