"""condor_prio: set JobPrio, the order in which an owner would like his jobs to run.

It is recorded and shown. Jobs wait in one queue in the order of their
submission, so that it does not change who is next (docs/reference/commands.md).
Command line and texts as HTCondor's tool (src/condor_tools/prio.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from thyme.protocol.events import Edited, JobMessage
from vobox.client.usage import USAGES
from vobox.client.version import VERSION_TEXT
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, CommandRefused, Request
from vobox.schedd.command_gateway import CommandGateway

from .command_line import EarlyExit, answers_early, sanitize_argv
from .job_selection import find_jobs, is_cluster_id, is_job_id, may_modify
from .schedd_names import is_schedd

USAGE = USAGES["condor_prio"]
_ADJUSTMENT = re.compile(r"[-+][0-9]{1,9}\Z")
_PRIORITY = re.compile(r"[-+]?[0-9]{1,9}\Z")


@dataclass
class PriorityChange:
    """A parsed command line: add ``by`` or set ``to``, for the jobs of ``words`` ("-a": all)."""

    words: list[str]
    to: int | None = None
    by: int | None = None

    def compute(self, old: int) -> int:
        """Return the priority that follows an old one."""
        return self.to if self.to is not None else old + (self.by or 0)


def parse(argv: Sequence[str], schedd: str) -> PriorityChange:
    """Read a command line; raises EarlyExit. ``schedd``: the name of ours."""
    change, rest = PriorityChange([]), sanitize_argv(argv)
    while rest:
        word = rest.pop(0)
        if _ADJUSTMENT.match(word):
            change.by = int(word)
        elif word.startswith("-po"):
            _take_value(word, rest)
        elif word.startswith("-p"):
            value = _take_value(word, rest)
            if not _PRIORITY.match(value):
                raise EarlyExit(f"condor_prio: {word} {value}: not a whole number\n{USAGE}")
            change.to = int(value)
        elif word.startswith("-n"):
            value = _take_value(word, rest)
            if not is_schedd(value, schedd):
                text = f"condor_prio: No such schedd named {value} in local pool\n"
                raise EarlyExit(text)
        elif word.startswith("-a"):
            change.words.append("-a")
        elif word in ("-h", "-help"):
            raise EarlyExit(USAGE)
        elif word == "-version":
            raise EarlyExit(stdout=VERSION_TEXT, code=0)
        elif word.startswith("-"):
            raise EarlyExit(f"condor_prio: unknown option {word}\n{USAGE}")
        elif word:
            change.words.append(word)
    if change.to is None and change.by is None:
        text = "You must specify a new priority or priority adjustment.\n" if argv else ""
        raise EarlyExit(text + USAGE)
    if not change.words:
        raise EarlyExit(f"You did not specify any jobs\n{USAGE}")
    return change


def _take_value(word: str, rest: list[str]) -> str:
    if not rest:
        raise EarlyExit(f"condor_prio: {word} requires another argument\n")
    return rest.pop(0)


def decide(
    change: PriorityChange, ledger: Ledger, uid: int, schedd: str, now: float
) -> tuple[Answer, list[JobMessage]]:
    """Decide what to answer and what to record; as with HTCondor, no failure changes the exit code.

    :param uid: the caller's
    :param schedd: the name of ours, for the events
    :param now: epoch seconds
    """
    stderr = ""
    changes: dict[object, JobMessage] = {}
    for word in change.words:
        if (is_job_id(word) or is_cluster_id(word)) and int(word.split(".")[0]) == 0:
            stderr += f"Invalid cluster # from {word}\n"
            continue
        jobs = ledger.read_queue() if word == "-a" else find_jobs(ledger, word)
        if is_job_id(word) and not jobs:
            stderr += f"Couldn't retrieve current priority for {word}.\n"
        for job in jobs:
            if may_modify(job, uid):
                priority = change.compute(job.ad.number("JobPrio"))
                changes[job.id] = Edited(schedd, job.id, now, {"JobPrio": str(priority)})
            else:
                stderr += f"Couldn't set new priority for {job.id}.\n"
    return Answer(stderr=stderr), list(changes.values())


@answers_early
def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out condor_prio."""
    change = parse(request.argv, gateway.schedd_name)
    try:
        return gateway.act(
            lambda ledger, now: decide(change, ledger, request.uid, gateway.schedd_name, now)
        )
    except CommandRefused as error:
        text = f"Failed to connect to queue manager {gateway.address}\ncondor_prio: {error}\n"
        return Answer(stderr=text, code=1)
