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
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, Request, SubmitRefused
from vobox.schedd.command_gateway import CommandGateway

from .common import cleaned
from .job_actions import is_job, is_number
from .job_selection import may_touch, named
from .schedd_names import is_schedd
from .version import VERSION_TEXT

USAGE = (
    "Usage: condor_prio [{+|-}PRIORITY] [-p PRIORITY] [-n SCHEDD] [-pool POOL] "
    "[-a] [CLUSTER | CLUSTER.PROC | USER]...\n"
)
_ADJUSTMENT = re.compile(r"[-+][0-9]{1,9}\Z")
_PRIORITY = re.compile(r"[-+]?[0-9]{1,9}\Z")


class BadCommandLine(Exception):
    """The whole text for stderr."""


@dataclass
class Priority:
    """``by`` is added, ``to`` is set; ``words`` say which jobs, "-a" all."""

    words: list[str]
    to: int | None = None
    by: int | None = None

    def of(self, old: int) -> int:
        return self.to if self.to is not None else old + (self.by or 0)


def read(argv: Sequence[str], schedd: str) -> Priority | Answer:
    """The order of a command line, or the answer that needs no schedd; raises BadCommandLine."""
    made, rest = Priority([]), cleaned(argv)
    while rest:
        word = rest.pop(0)
        if _ADJUSTMENT.match(word):
            made.by = int(word)
        elif word.startswith("-po"):
            _value(word, rest)
        elif word.startswith("-p"):
            value = _value(word, rest)
            if not _PRIORITY.match(value):
                raise BadCommandLine(f"condor_prio: {word} {value}: not a whole number\n{USAGE}")
            made.to = int(value)
        elif word.startswith("-n"):
            value = _value(word, rest)
            if not is_schedd(value, schedd):
                text = f"condor_prio: No such schedd named {value} in local pool\n"
                raise BadCommandLine(text)
        elif word.startswith("-a"):
            made.words.append("-a")
        elif word in ("-h", "-help"):
            return Answer(stderr=USAGE)
        elif word == "-version":
            return Answer(VERSION_TEXT)
        elif word.startswith("-"):
            raise BadCommandLine(f"condor_prio: unknown option {word}\n{USAGE}")
        elif word:
            made.words.append(word)
    if made.to is None and made.by is None:
        text = "You must specify a new priority or priority adjustment.\n" if argv else ""
        raise BadCommandLine(text + USAGE)
    if not made.words:
        raise BadCommandLine(f"You did not specify any jobs\n{USAGE}")
    return made


def _value(word: str, rest: list[str]) -> str:
    if not rest:
        raise BadCommandLine(f"condor_prio: {word} requires another argument\n")
    return rest.pop(0)


def decide(
    order: Priority, ledger: Ledger, uid: int, schedd: str, now: float
) -> tuple[Answer, list[JobMessage]]:
    """What is said, and what is to be recorded; a failure unless some job was changed."""
    said = ""
    changes: dict[object, JobMessage] = {}
    for word in order.words:
        if (is_job(word) or is_number(word)) and int(word.split(".")[0]) == 0:
            said += f"Invalid cluster # from {word}\n"
            continue
        jobs = ledger.in_queue() if word == "-a" else named(ledger, word)
        if not jobs:
            what = word if is_job(word) or is_number(word) else f"user {word}"
            said += f"Couldn't retrieve current priority for {what}.\n" * (word != "-a")
        for job in jobs:
            if may_touch(job, uid):
                priority = order.of(job.ad.number("JobPrio"))
                changes[job.id] = Edited(schedd, job.id, now, {"JobPrio": str(priority)})
            elif word != "-a":
                said += f"Couldn't set new priority for {job.id}.\n"
    return Answer(stderr=said, code=0 if changes else 1), list(changes.values())


def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out condor_prio."""
    try:
        order = read(request.argv, gateway.schedd_name)
    except BadCommandLine as error:
        return Answer(stderr=str(error), code=1)
    if isinstance(order, Answer):
        return order
    said = Answer()

    def carry_out(ledger: Ledger, now: float) -> list[JobMessage]:
        nonlocal said
        said, events = decide(order, ledger, request.uid, gateway.schedd_name, now)
        return events

    try:
        gateway.act(carry_out)
    except SubmitRefused as error:
        text = f"Failed to connect to queue manager {gateway.address}\ncondor_prio: {error}\n"
        return Answer(stderr=text, code=1)
    return said
