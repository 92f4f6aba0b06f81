"""What the CE remembers of an agent, and what it reads from the files that came back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from .agent import Behaviour
from .eventlog import (
    ABORTED,
    EVICTED,
    EXECUTING,
    HELD,
    RELEASED,
    SUBMITTED,
    TERMINATED,
    Event,
    outcome,
)

#: An agent's state in the CE's eyes; the last two are ends.
IDLE, RUNNING, HOLDING, ENDED, REMOVED = "idle", "running", "held", "ended", "removed"

_STATE = {
    SUBMITTED: IDLE,
    EXECUTING: RUNNING,
    EVICTED: IDLE,
    HELD: HOLDING,
    RELEASED: IDLE,
    TERMINATED: ENDED,
    ABORTED: REMOVED,
}


@dataclass(frozen=True)
class AgentRecord:
    """One submitted agent; ``job`` is its id in the queue, the paths are absolute."""

    number: int
    token: str
    dialect: str
    job: str
    script: str
    output: str
    error: str
    log: str
    behaviour: Behaviour


@dataclass(frozen=True)
class Fate:
    """Where an agent is, by its user log; ``outcome`` is ``exit N`` or ``signal N`` when ENDED."""

    state: str = IDLE
    outcome: str = ""


def fate(seen: Iterable[Event]) -> Fate:
    """The state after these events of one job; those that change no state are skipped."""
    now = Fate()
    for event in seen:
        state = _STATE.get(event.number)
        if state is not None:
            now = Fate(state, outcome(event) if state == ENDED else "")
    return now


def complaint(record: AgentRecord, now: Fate, stdout: str, stderr: str) -> str:
    """Why this agent did not end as it was meant to; "" when it did or was removed.

    An end counts only with the agent's own words for it: its token in both
    streams, and its line about the work it checked.
    """
    if now.state == REMOVED:
        return ""
    if now.state != ENDED:
        return f"still {now.state}"
    meant = record.behaviour.expected()
    if now.outcome != meant:
        return f"ended with {now.outcome or 'no result'} instead of {meant}"
    for text, name, path in (
        (f"done {record.token}", "output", record.output),
        ("compressed and verified", "output", record.output),
    ):
        if text not in stdout:
            return f"its {name} {path} lacks {text!r}"
    if f"error stream of {record.token}" not in stderr:
        return f"its error file {record.error} lacks its token"
    return ""


def to_json(record: AgentRecord) -> str:
    """One line of the CE's ``agents.jsonl``."""
    return json.dumps(asdict(record))


def from_json(line: str) -> AgentRecord:
    """Read a line of ``agents.jsonl``; raises ValueError or TypeError for another text."""
    fields = json.loads(line)
    return AgentRecord(**{**fields, "behaviour": Behaviour(**fields["behaviour"])})
