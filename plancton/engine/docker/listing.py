"""Parse what the engine tells about containers, and make pilots of it.

Docker's states: created, running, paused, restarting, removing, exited, dead.
Podman adds configured, initialized, stopping, stopped and unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from plancton.engine.pilot_spec import NAME_PREFIX
from plancton.model import Pilot, PilotState

from . import container_body


class ContainerPhase(Enum):
    """The states of Docker and Podman, as far as Plancton distinguishes them."""

    MADE = "made"  #: created, never started
    ALIVE = "alive"
    PAUSED = "paused"
    OVER = "over"


_PHASES = {
    "created": ContainerPhase.MADE,
    "configured": ContainerPhase.MADE,
    "initialized": ContainerPhase.MADE,
    "paused": ContainerPhase.PAUSED,
    "exited": ContainerPhase.OVER,
    "stopped": ContainerPhase.OVER,
    "dead": ContainerPhase.OVER,
    "removing": ContainerPhase.OVER,
}
#: 0.6 put no labels on its containers, whose names are these.
_OLD_NAME = re.compile(rf"{NAME_PREFIX}[A-Za-z0-9]{{6}}\Z")
_MARK = re.compile(r"(?P<name>.+)\.asked\.(?P<at>\d+)\.(?P<grace>\d+)\Z")
_EXEC = re.compile(
    r'exec: "(?P<command>[^"]+)": (?:stat [^:]+: )?'
    r"(?P<why>no such file or directory|executable file not found in \$PATH|permission denied)",
    re.IGNORECASE,
)
#: The engine's own words name neither the package nor what to do.
_NO_PARSER = (
    "not started: AppArmor is on in this kernel, and the engine has no apparmor_parser to load its "
    "profile with; install the package apparmor and restart the engine"
)
OUT_OF_MEMORY = "killed for lack of memory (max_dock_mem, or all pilots together)"
#: Go's zero time: "never".
_NEVER = "0001-01-01"


@dataclass(frozen=True)
class StopRequest:
    """A pilot was asked to end.

    It is written into the container's name, the one thing of it that can be changed and that
    outlives both daemons.
    """

    at: int  #: s since 1970
    grace: float  #: s

    def left(self, wall: float) -> float:
        """Return the seconds until the kill, whatever the wall clock did meanwhile."""
        return min(self.grace, max(0.0, self.at + self.grace - wall))


@dataclass(frozen=True)
class ListedContainer:
    """A pilot's container in the list of the engine."""

    id: str
    name: str  #: the pilot's
    is_named: bool  #: it has the pilot's name itself
    phase: ContainerPhase
    state: str  #: as the engine calls it
    asked: StopRequest | None
    image: str  #: digest from the label, else the image's id
    cgroup: str  #: the parent group that it was started in


@dataclass(frozen=True)
class Inspection:
    """What only an inspection of a container tells.

    Also the state, which can be newer than the list's: Docker tells of an end before
    its list does.
    """

    state: str
    pid: int | None
    started: float | None  #: s since 1970; None: never
    finished: float | None
    exit_code: int | None
    detail: str


def parse_list(listed: Iterable[Mapping[str, Any]]) -> list[ListedContainer]:
    """Return the containers of a list that have a pilot's labels."""
    names = ((one, (one.get("Labels") or {}).get(container_body.PILOT, "")) for one in listed)
    return [_make_row(one, name) for one, name in names if name.startswith(NAME_PREFIX)]


def parse_old_list(listed: Iterable[Mapping[str, Any]]) -> list[ListedContainer]:
    """Return the containers of a list that may be of Plancton 0.6, by their names."""
    found = []
    for one in listed:
        name = _list_unmarked_names(one)[0]
        if _OLD_NAME.match(name) and container_body.PILOT not in (one.get("Labels") or {}):
            found.append(_make_row(one, name))
    return found


def has_host_name(name: str, inspected: Mapping[str, Any]) -> bool:
    """Return whether a container has the host name that Plancton gives to a pilot of this name."""
    end = name.removeprefix(NAME_PREFIX)
    return re.fullmatch(rf"plancton-.+-{end}", inspected["Config"]["Hostname"]) is not None


def _list_names(one: Mapping[str, Any]) -> list[str]:
    return [str(name).lstrip("/") for name in one.get("Names") or ()] or [""]


def _list_unmarked_names(one: Mapping[str, Any]) -> list[str]:
    """Return the names of a container without the marks of a stop."""
    marks = [(name, _MARK.match(name)) for name in _list_names(one)]
    return [mark["name"] if mark else name for name, mark in marks]


def _make_row(one: Mapping[str, Any], name: str) -> ListedContainer:
    labels = one.get("Labels") or {}
    state = str(one.get("State") or "unknown").lower()
    asked = None
    for other in _list_names(one):
        asked = asked or decode_stop_request(other)
    return ListedContainer(
        id=str(one["Id"]),
        name=name,
        is_named=name in _list_unmarked_names(one),
        phase=find_phase(state),
        state=state,
        asked=asked,
        image=labels.get(container_body.IMAGE_DIGEST) or str(one.get("ImageID") or ""),
        cgroup=labels.get(container_body.CGROUP, ""),
    )


def find_phase(state: str) -> ContainerPhase:
    """Return the phase of the engine's state; one that is not known counts as running."""
    return _PHASES.get(state, ContainerPhase.ALIVE)


def parse_inspection(inspected: Mapping[str, Any]) -> Inspection:
    """Return what the API's inspection of a container tells."""
    state = inspected.get("State") or {}
    started = parse_time(str(state.get("StartedAt") or ""))
    exit_code, detail = None if started is None else int(state.get("ExitCode") or 0), _detail(state)
    if started is None and detail:
        exit_code, detail = explain_failed_start(detail)
    return Inspection(
        state=str(state.get("Status") or "unknown").lower(),
        pid=int(state.get("Pid") or 0) or None,
        started=started,
        finished=parse_time(str(state.get("FinishedAt") or "")),
        exit_code=exit_code,
        detail=detail,
    )


def make_ended_pilot(
    row: ListedContainer, inspection: Inspection, asked: bool, lived: float | None
) -> Pilot:
    """Return the pilot of a container that does not run.

    ``asked`` tells whether it was asked to end, ``lived`` its life in seconds. It may never have
    run: the engine can list a failed start before it answers to it.
    """
    return Pilot(
        id=row.name,
        name=row.name,
        state=PilotState.EXITED,
        age=lived,
        image=row.image,
        exit_code=inspection.exit_code,
        asked_to_stop=asked,
        never_ran=inspection.started is None and bool(inspection.detail),
        detail=inspection.detail or ("" if inspection.state == "exited" else inspection.state),
    )


def _detail(state: Mapping[str, Any]) -> str:
    if state.get("OOMKilled"):
        return OUT_OF_MEMORY
    return " ".join(str(state.get("Error") or "").split())


def parse_time(text: str) -> float | None:
    """Return the API's time (RFC 3339, up to nine decimals) in seconds since 1970."""
    if not text or text.startswith(_NEVER):
        return None
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        return None
    whole = datetime.fromisoformat(match[1] + ("+00:00" if match[3] == "Z" else match[3]))
    return whole.astimezone(timezone.utc).timestamp() + float(match[2] or 0)


def encode_stop_request(name: str, asked: StopRequest) -> str:
    """Return the name of a container whose pilot was asked to end."""
    return f"{name}.asked.{asked.at}.{round(asked.grace)}"


def decode_stop_request(container_name: str) -> StopRequest | None:
    """Return the request in a container's name; None if there is none."""
    found = _MARK.match(container_name)
    return None if found is None else StopRequest(int(found["at"]), float(found["grace"]))


def explain_failed_start(text: str) -> tuple[int | None, str]:
    """Return exit code and reason of a pilot that was not started, from the engine's words.

    The codes are a shell's: 127 for a command that is not there, 126 for one that
    cannot be run.
    """
    text = " ".join(text.split())
    found = _EXEC.search(text)
    if found is None or text.startswith("AppArmor enabled"):
        missing = found is not None and "permission" not in found["why"].lower()
        return None, _NO_PARSER if missing else f"not started: {text}"
    if "permission" in found["why"].lower():
        return 126, f"cannot run {found['command']!r}: Permission denied"
    return 127, f"cannot run {found['command']!r}: No such file or directory"
