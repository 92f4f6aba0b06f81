"""The CE's record of an agent, and how it ended by its user log and output."""

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
    describe_end,
)

#: The states of an agent as the CE sees it; the last two are final.
IDLE, RUNNING, ON_HOLD, ENDED, REMOVED = "idle", "running", "held", "ended", "removed"

_STATE = {
    SUBMITTED: IDLE,
    EXECUTING: RUNNING,
    EVICTED: IDLE,
    HELD: ON_HOLD,
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
class AgentStatus:
    """The status of an agent by its user log; ``outcome``: ``exit N`` or ``signal N`` if ENDED."""

    state: str = IDLE
    outcome: str = ""


def read_status(seen: Iterable[Event]) -> AgentStatus:
    """Read the status of one job from its events; events that change no state are ignored."""
    now = AgentStatus()
    for event in seen:
        state = _STATE.get(event.number)
        if state is not None:
            now = AgentStatus(state, describe_end(event) if state == ENDED else "")
    return now


def find_fault(record: AgentRecord, now: AgentStatus, stdout: str, stderr: str) -> str:
    """Find why this agent did not end as expected; "" if it did or was removed.

    The end must be confirmed by the agent's own output: its token in both streams, and its line
    about the work that it checked.
    """
    if now.state == REMOVED:
        return ""
    if now.state != ENDED:
        return f"still {now.state}"
    meant = record.behaviour.expected_end()
    if now.outcome != meant:
        return f"ended with {now.outcome or 'no result'} instead of {meant}"
    for text in (f"done {record.token}", "compressed and verified"):
        if text not in stdout:
            return f"its output {record.output} lacks {text!r}"
    if f"error stream of {record.token}" not in stderr:
        return f"its error file {record.error} lacks its token"
    return ""


def to_json(record: AgentRecord) -> str:
    """Format a record as a line of the CE's ``agents.jsonl``."""
    return json.dumps(asdict(record))


def from_json(line: str) -> AgentRecord:
    """Read a line of ``agents.jsonl``; raises ValueError or TypeError for other text."""
    fields = json.loads(line)
    return AgentRecord(**{**fields, "behaviour": Behaviour(**fields["behaviour"])})
