"""``planctonctl health``: one line and an exit code, for a container's HEALTHCHECK.

Only 0 and 1, the codes that Docker defines.  Draining, an open breaker or a closed window
are healthy: the daemon does what it should.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from plancton.daemon.lock import running_pid
from plancton.paths import Paths

from .document import find_delay, read_document


def health(paths: Paths, arguments: argparse.Namespace) -> int:
    """Print whether the daemon works; return 0 if it does, else 1."""
    problem = find_problem(running_pid(paths), read_document(paths), paths, time.monotonic())
    if arguments.json:
        print(json.dumps({"healthy": not problem, "problem": problem}))
    else:
        print(problem or "healthy")
    return 1 if problem else 0


def find_problem(pid: int | None, document: dict[str, Any] | None, paths: Paths, now: float) -> str:
    """Return why the daemon ``pid`` does not work, "" if it does.

    ``now`` is in seconds of the monotonic clock.
    """
    if pid is None:
        return "the daemon does not run"
    if document is None or document["daemon"]["pid"] != pid:
        return "the daemon has not looked at the node yet"
    if problem := find_delay(document, paths, now):
        return problem
    if document["engine"]["problem"]:
        return f"the engine does not answer: {document['engine']['problem']}"
    return ""
