"""``thyme-vobox health``: one line and an exit code, made for a container's HEALTHCHECK.

Only 0 and 1, the codes that Docker defines. It reads the status that ``thyme-vobox run`` has
written, looks at the credentials, and asks the schedd with the command that an AliEn CE uses: plain
``condor_q`` ends with 0 when its answer can be trusted.
"""

import json
import os
import subprocess
import time
from typing import Any, Dict, Optional, Tuple

from hostfiles.regular_file import open_regular

from .credentials import check_credentials
from .processes import is_zombie
from .run import STATUS_FILE
from .settings import Settings

#: Seconds for condor_q; Docker's default for a whole health check is 30.
CONDOR_Q = 25.0


def check_health(settings: Settings) -> Tuple[int, str]:
    """Return the exit code and the line."""
    status = read_status(settings.directory)
    problem = find_problem(settings, status) or find_schedd_problem(settings)
    if problem or status is None:
        return 1, problem
    if status["state"] == "none":
        return 0, "healthy: the schedd answers; no CE is kept running (CE=none)"
    return 0, "healthy: the schedd answers; CE %s %s" % (settings.kind, status["state"])


def read_status(directory: str) -> Optional[Dict[str, Any]]:
    """Read the status file; None if there is none that can be read."""
    try:
        with open(os.path.join(directory, STATUS_FILE), opener=open_regular) as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and _is_status(content) else None


def _is_status(content: Dict[str, Any]) -> bool:
    pid, texts = content.get("pid"), ("state", "problem", "renewal_problem")
    return (
        isinstance(pid, int)
        and 0 < pid < 2**31
        and all(isinstance(content.get(name), str) for name in texts)
    )


def find_problem(settings: Settings, status: Optional[Dict[str, Any]]) -> str:
    """Find what is wrong with thyme-vobox, the credentials or the CE; "" if nothing is."""
    if status is None:
        return "thyme-vobox does not run, or runs with another VOBOX_DIR"
    if not _is_alive(status["pid"]):
        return "thyme-vobox does not run"
    state, problem = status["state"], status["problem"]
    if state == "stopping":
        return "thyme-vobox is stopping"
    if state == "waiting for the schedd":
        return str(state)
    problems = [one.problem for one in check_credentials(settings, time.time()) if one.problem]
    if problems:
        return "; ".join(problems)
    if status["renewal_problem"]:
        return "the proxy was not renewed: %s" % status["renewal_problem"]
    if state == "down":
        return "the %s CE is down: %s" % (settings.kind, problem)
    if state == "starts":
        return "the %s CE is starting" % settings.kind
    if state.startswith("ended") and state != "ended with 0":
        return "the %s CE %s" % (settings.kind, state)
    return str(state) if state.startswith("waiting") else ""


def find_schedd_problem(settings: Settings) -> str:
    """Find why plain condor_q does not end with 0; "" if it does."""
    command = os.path.join(settings.directory, "bin", "condor_q")
    try:
        done = subprocess.run(
            [command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={"THYME_SCHEDD_SOCKET": settings.socket}, timeout=CONDOR_Q,
        )  # fmt: skip
    except OSError as error:
        return "%s: %s" % (command, error.strerror or error)
    except subprocess.TimeoutExpired:
        return "condor_q did not answer within %.0f s" % CONDOR_Q
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return "condor_q: %s" % (lines[-1] if lines else "exit code %d" % done.returncode)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is another user's
    return not is_zombie(pid)
