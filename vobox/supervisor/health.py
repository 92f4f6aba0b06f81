"""``thyme-vobox health``: one line and an exit code, made for a container's HEALTHCHECK.

Only 0 and 1, the codes that Docker defines. It asks the schedd itself, with the command that an
AliEn CE asks (plain ``condor_q``, whose 0 means that its answer can be trusted), and reads what
the loop knows.
"""

import os
import signal
import subprocess
import time
from typing import Any, Callable, Dict, Optional, Tuple

from . import status
from .credentials import utc
from .settings import Settings

#: The loop writes its status every few seconds; it hangs when it is older than this (s).
LATE = 60.0
#: Seconds for condor_q; a CE gives it 60, Docker's default for a check is 30.
CONDOR_Q = 25.0


def health(settings: Settings) -> Tuple[int, str]:
    """The exit code and the line."""
    known = status.read(settings.directory)
    problem = problem_of(known, status.boot(), time.monotonic(), time.time(), _alive)
    problem = problem or schedd_problem(settings)
    if problem or known is None:
        return 1, problem
    state = known["ce_state"].replace("over", "ended with")
    return 0, "healthy: the schedd answers; CE %s %s" % (known["ce"], state)


def problem_of(
    known: Optional[Dict[str, Any]],
    boot: str,
    mono: float,
    wall: float,
    alive: Callable[[int], bool],
) -> str:
    """What is wrong with what the loop knows; "" when nothing is."""
    if known is None:
        return "thyme-vobox has written no status: it does not run, or VOBOX_DIR is another"
    if known["boot"] != boot or not alive(known["pid"]):
        return "thyme-vobox does not run"
    if mono - known["looked"] > LATE:
        return "thyme-vobox hangs: its last look was %.0f s ago" % (mono - known["looked"])
    if known["stopping"]:
        return "thyme-vobox is stopping"
    if not known["schedd_seen"]:
        return "waiting for the schedd"
    if known["credential_problems"]:
        return "; ".join(known["credential_problems"])
    for name, end in sorted(known["credentials"].items()):
        if end - wall < known["valid_for"]:
            return "%s is valid until %s only" % (name, utc(end))
    if known["renewal_problem"]:
        return "the proxy was not renewed: %s" % known["renewal_problem"]
    state = known["ce_state"]
    if state == "down" or (state.startswith("over") and state != "over 0"):
        what = "ended with %s" % state.split()[1] if state.startswith("over") else "is down"
        why = ": %s" % known["ce_problem"] if known["ce_problem"] else ""
        return "the %s CE %s%s" % (known["ce"], what, why)
    if state == "starts":
        return "the %s CE is starting" % known["ce"]
    return ""


def schedd_problem(settings: Settings) -> str:
    """Why plain condor_q does not answer with 0; "" when it does."""
    command = os.path.join(settings.directory, "bin", "condor_q")
    try:
        process = subprocess.Popen(
            [command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={"THYME_SCHEDD_SOCKET": settings.socket},
        )  # fmt: skip
    except OSError as error:
        return "%s: %s" % (command, error.strerror or error)
    try:
        _, said = process.communicate(timeout=CONDOR_Q)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return "condor_q did not answer within %.0f s" % CONDOR_Q
    if process.returncode == 0:
        return ""
    lines = said.decode("utf-8", "replace").split("\n")
    return "condor_q: %s" % next((line for line in reversed(lines) if line.strip()), "rc 1")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True
