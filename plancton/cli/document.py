"""Read the status document, and bring it up to date."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from hostfiles.regular_file import open_regular
from plancton.daemon.lock import running_pid
from plancton.errors import EngineError, ExitCode
from plancton.paths import Paths

if TYPE_CHECKING:  # status loads no library of the configuration
    from plancton.engine.base import Engine

#: A pass may be this much later (s) than it was due: many starts, a slow engine.
LATE = 60.0
#: Bytes that a daemon writes at once, about.
_DOCUMENT_SIZE = 65536


def read_document(paths: Paths) -> dict[str, Any] | None:
    """Return the document as written; None if there is none that can be read."""
    try:
        with open(paths.status, encoding="utf-8", opener=open_regular) as file:
            document = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return document if _is_usable(document) else None


def _is_usable(document: Any) -> bool:
    """Tell whether a daemon of this version may have written it, and not something else JSON."""
    if not isinstance(document, dict) or not isinstance(document.get("daemon"), dict):
        return False
    engine, pilots = document.get("engine"), document.get("pilots")
    return (
        engine is None or (isinstance(engine, dict) and isinstance(engine.get("place"), str))
    ) and (
        pilots is None
        or (isinstance(pilots, list) and all(isinstance(one, dict) for one in pilots))
    )


def find_delay(document: dict[str, Any], paths: Paths, now: float) -> str:
    """Return why the document of a running daemon is older than it may be; "" if it is not.

    ``now``: seconds on the monotonic clock.
    """
    age = now - document.get("looked", now)
    if 0 <= age <= document.get("next_look_within", 0.0) + LATE:
        return ""
    if problem := find_write_problem(paths):
        return f"the daemon could tell nothing for {age:.0f} s: {problem}"
    return f"the daemon hangs: its last look at the node was {age:.0f} s ago"


def find_write_problem(paths: Paths) -> str:
    """Return why a daemon can write nothing into its run directory; "" if it can.

    And "" where we may not, as another user: that says nothing of the daemon.
    """
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=paths.rundir) as file:
            file.write(bytes(_DOCUMENT_SIZE))
    except PermissionError:
        return ""
    except OSError as error:
        return f"{paths.rundir}: cannot be written: {error.strerror}"
    return ""


def read_current(paths: Paths, wall: float) -> dict[str, Any]:
    """Return what is known at ``wall``, in seconds since 1970.

    While the daemon runs, ages are moved on to now.  When it does not, the pilots are
    asked for at the place where it left them; what only it knew is ``null``.
    """
    pid = running_pid(paths)
    document = read_document(paths)
    if pid is None:
        document = document or {"version": None, "daemon": {"pid": None, "started": None}}
        document["pilots"] = _left(document, paths)
        document["rules"] = []
        document |= {"image": None, "protection": None, "window": None}
        document["summary"] = "The daemon does not run: nothing is started or stopped."
    elif document is None or document["daemon"]["pid"] != pid:
        # It has not looked at the node yet; what the one before wrote is over.
        document = {"version": None, "daemon": {"pid": pid, "started": None}, "pilots": None}
        document |= {"rules": [], "summary": "The daemon starts."}
    else:
        if delay := find_delay(document, paths, time.monotonic()):
            document["summary"] = f"This is old: {delay}. {document['summary']}"
        late = max(0.0, wall - document["written"])
        for pilot in document["pilots"] or ():
            if pilot["age"] is not None and pilot["state"] != "exited":
                pilot["age"] += late
    document["daemon"]["running"] = pid is not None
    return document


def describe_state(pilot: dict[str, Any]) -> str:
    """Return a pilot's state for people: one that runs may be paused by somebody."""
    detail = pilot.get("detail") if pilot["state"] != "exited" else ""
    return f"{pilot['state']}, {detail}" if detail else str(pilot["state"])


def find_exit_code(document: dict[str, Any]) -> int:
    """Return the exit code of a command that shows the document."""
    return ExitCode.OK if document["daemon"]["running"] else ExitCode.NOT_RUNNING


def _left(document: dict[str, Any], paths: Paths) -> list[dict[str, Any]] | None:
    from plancton.daemon.status_document import encode_pilot

    try:
        engine = open_last_engine(document, paths)
        return None if engine is None else [encode_pilot(pilot) for pilot in engine.list_pilots()]
    except EngineError:
        return None


def open_last_engine(document: dict[str, Any] | None, paths: Paths) -> Engine | None:
    """Return the engine of the daemon that ran here last, without its configuration.

    None if it was none that this version knows.
    """
    from pathlib import Path

    from plancton.engine.pilot_outputs import PilotOutputs
    from plancton.engine.process.engine import ProcessEngine
    from plancton.engine.select import find_process_place

    outputs = PilotOutputs(paths.pilot_outputs)
    known = (document or {}).get("engine")
    if known is None:
        return ProcessEngine(find_process_place(paths, ""), outputs)
    if known.get("name") == "docker":
        from plancton.config.model import Config
        from plancton.engine.docker.engine import DockerEngine

        defaults = Config()
        return DockerEngine(
            known["place"], defaults.cgroup_parent, Path(defaults.cgroup_root), outputs
        )
    if known.get("name") != ProcessEngine.name:
        return None
    return ProcessEngine(Path(known["place"]), outputs)
