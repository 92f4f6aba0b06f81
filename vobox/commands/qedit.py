"""condor_qedit: change attributes of jobs in the queue.

Command line and texts as HTCondor 25's tool (src/condor_tools/qedit.cpp); all
or nothing. Which attributes can be changed is in ``editable_attributes.py``. An edit is an
event in the stream, so that a rebuilt ledger contains it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from thyme.protocol.events import Edited, JobMessage, give_to
from thyme.protocol.job import JobId
from vobox.classad.ad import ParseError, convert_old_syntax, parse_old
from vobox.client.usage import USAGES
from vobox.client.version import VERSION_TEXT
from vobox.ledger.writer import JobState, Ledger
from vobox.rpc.types import Answer, CommandRefused, Request
from vobox.schedd.command_gateway import CommandGateway

from .command_line import EarlyExit, Option, answers_early, sanitize_argv
from .editable_attributes import find_refusal, find_value_error
from .job_selection import (
    find_matching,
    find_states,
    is_cluster_id,
    is_job_id,
    may_modify,
)
from .schedd_names import is_schedd

OPTIONS = (
    Option("help", 1),
    Option("version", 1),
    Option("name", 1, values=1, missing="a SCHEDD name as an argument"),
    Option(
        "pool",
        1,
        values=1,
        missing="a HTCondor collector name or address as an argument",
        ignored=True,
    ),
    Option("debug", 1, ignored=True),
    Option("dry-run", 3),
    Option("constraint", 1, values=1, missing="a ClassAd expression an argument"),
    Option("owner", 1, values=1, missing="a owner name argument"),
    Option("jobids", 1, values=1, missing="a list of job ids as an argument"),
    Option("forward", 3, refused="a worker is not told of a change"),
    Option("edits", 2, refused="edits from a file are not known here; give them as words"),
)
USAGE = USAGES["condor_qedit"]
FAILED = "Transaction failed.  No attributes were set.\n"
#: Characters of all values that one edit writes; short values may be of any number of jobs.
MAX_WRITTEN = 32 * 1024 * 1024
MAX_SHORT = 1024
QUEUE_FAILED = "Queue transaction failed.  No attributes were set.\n"
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass
class Edit:
    """A parsed command line. A job has to match the ids, the owner and every constraint."""

    ids: list[str] = field(default_factory=list)
    owner: str | None = None
    constraints: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    #: the jobs for which the constraints hold; None where they were not evaluated yet
    found: tuple[JobId, ...] | None = None
    dry_run: bool = False

    @property
    def by_job(self) -> bool:
        """Whether job ids alone select: then each of these jobs has to exist."""
        return self.by_ids and all(map(is_job_id, self.ids))

    @property
    def by_ids(self) -> bool:
        """Whether job and cluster ids alone select."""
        return bool(self.ids) and self.owner is None and not self.constraints

    @property
    def constraint(self) -> str:
        """The selection as the error messages write it."""
        parts = [f'(Owner=="{self.owner}")'] if self.owner is not None else []
        parts += [f"({each})" for each in self.constraints]
        ids = [
            "( ClusterId == {} && ProcId == {} )".format(*each.split("."))
            if is_job_id(each)
            else f"ClusterId == {int(each)} "
            for each in self.ids
        ]
        parts += [f"({' || '.join(ids)})"] if ids else []
        return f"( {' && '.join(parts)} )"


def parse(argv: Sequence[str], schedd: str) -> Edit:
    """Read a command line; raises EarlyExit. ``schedd``: the name of ours."""
    edit, rest, named_yet = Edit(), sanitize_argv(argv), False
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            option = next((each for each in OPTIONS if each.matches(word.partition(":")[0])), None)
            if option is None:
                raise EarlyExit(f"condor_qedit: {word} is not a valid option\n{USAGE}")
            if option.name == "help":
                raise EarlyExit(stdout=USAGE, code=0)
            if option.name == "version":
                raise EarlyExit(stdout=VERSION_TEXT, code=0)
            if option.refused:
                raise EarlyExit(f"condor_qedit: {word}: {option.refused}\n")
            if option.values and (
                not rest or (rest[0].startswith("-") and option.name != "constraint")
            ):
                raise EarlyExit(f"condor_qedit: {word} requires {option.missing}\n")
            value = rest.pop(0) if option.values else ""
            _apply_option(edit, option.name, value, schedd)
            named_yet |= option.name in ("constraint", "owner", "jobids")
        elif not named_yet:
            named_yet = True
            if not word[:1].isdigit():
                edit.owner = word
                continue
            edit.ids += _split_ids(word)
            while rest and rest[0][:1].isdigit():
                edit.ids += _split_ids(rest.pop(0))
        else:
            _add_value(edit, word, rest)
    if not edit.ids and edit.owner is None and not edit.constraints:
        text = "condor_qedit : Error - there were no jobs specified.\n" if edit.values else ""
        raise EarlyExit(text + USAGE)
    if not edit.values:
        raise EarlyExit(f"condor_qedit : Error - no attributes specifed.\n{USAGE}")
    return edit


def _apply_option(edit: Edit, name: str, value: str, schedd: str) -> None:
    if name == "name" and not is_schedd(value, schedd):
        text = f"condor_qedit: No such schedd named {value} in local pool\n"
        raise EarlyExit(text)
    if name == "constraint":
        try:
            parse_old(value)
        except ParseError:
            raise EarlyExit(f"condor_qedit: invalid constraint: {value}\n") from None
        edit.constraints.append(value)
    elif name == "owner":
        edit.owner = value
    elif name == "jobids":
        edit.ids += _split_ids(value)
    elif name == "dry-run":
        edit.dry_run = True


def _split_ids(text: str) -> list[str]:
    words = [word.removesuffix(".") for word in text.replace(",", " ").split()]
    for word in words:
        if not is_job_id(word) and not is_cluster_id(word):
            raise EarlyExit(f"condor_qedit: {word} is no job id\n{FAILED}")
    return words


def _add_value(edit: Edit, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    name, value = name.strip(), value.strip()
    if not equals:
        if not rest:
            text = f"condor_qedit : expression required after attribute {word}\n{USAGE}"
            raise EarlyExit(text)
        value = rest.pop(0).strip()
    if not _ATTRIBUTE.match(name):
        raise EarlyExit(
            f'Update aborted, illegal attribute-name specified for attribute "{name}".\n{FAILED}'
        )
    try:
        if not value or "\n" in value or "\r" in value:
            raise ParseError("an empty value, or several lines")
        parse_old(value)
    except ParseError:
        raise EarlyExit(f"Update aborted, illegal value for : {name}\n{FAILED}") from None
    value = convert_old_syntax(value)
    wrong = find_value_error(name, value)
    if wrong:
        raise EarlyExit(
            f"Update aborted, illegal value for : {name}\n{FAILED}condor_qedit: {name}: {wrong}\n"
        )
    why = find_refusal(name)
    if why is not None:
        kind, reason = why
        raise EarlyExit(
            f'Update of {kind} attribute "{name}" is not allowed.\n{FAILED}'
            f"condor_qedit: {name}: {reason}\n"
        )
    edit.values[name] = value


def decide(
    edit: Edit, ledger: Ledger, uid: int, schedd: str, now: float
) -> tuple[Answer, list[JobMessage]]:
    """Decide what to answer and what to record.

    :param uid: the caller's
    :param schedd: the name of ours, for the events
    :param now: epoch seconds
    """
    first = min(edit.values)
    if edit.by_job:
        jobs: list[JobState] = []
        for word in edit.ids:
            found = find_states(ledger, word)
            if not found or not may_modify(found[0], uid):
                text = f'Failed to set attribute "{first}" for job {word}.\n{QUEUE_FAILED}'
                return Answer(stderr=text, code=1), []
            jobs += found
    else:
        jobs = [job for job in _find_edited_jobs(edit, ledger) if may_modify(job, uid)]
        if not jobs:
            text = f'Failed to set attribute "{first}" by constraint: {edit.constraint}\n'
            return Answer(stderr=text + QUEUE_FAILED, code=1), []
    size = sum(map(len, edit.values.values()))
    if size > MAX_SHORT and size * len(jobs) > MAX_WRITTEN:
        text = (
            f'Failed to set attribute "{first}".\n{QUEUE_FAILED}condor_qedit: {size} characters of '
            f"each of {len(jobs)} jobs; at most {MAX_WRITTEN} together: name fewer jobs at once\n"
        )
        return Answer(stderr=text, code=1), []
    can = "Can " if edit.dry_run else ""
    stdout = "".join(
        f'{can}Set attribute "{name}" for {len(jobs)} matching jobs.\n'
        for name in sorted(edit.values)
    )
    event = Edited(schedd, jobs[0].id, now, edit.values)
    return Answer(stdout), [] if edit.dry_run else [give_to(job.id, event) for job in jobs]


def _find_edited_jobs(edit: Edit, ledger: Ledger) -> list[JobState]:
    if edit.ids:
        by_id = {job.id: job for word in edit.ids for job in find_states(ledger, word)}
        jobs = list(by_id.values())
        if edit.owner is not None:
            owner = edit.owner.lower()
            jobs = [job for job in jobs if job.owner.lower() == owner]
    else:
        jobs = ledger.list_states(owner=edit.owner)
    if not edit.constraints:
        return jobs
    found = set(edit.found or ())
    return [job for job in jobs if job.id in found]


@answers_early
def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out condor_qedit."""
    edit = parse(request.argv, gateway.schedd_name)
    try:
        if edit.constraints:
            edit.found = gateway.search(
                lambda view, now: find_matching(view, request, now, constraints=edit.constraints)
            )
        return gateway.act(
            lambda ledger, now: decide(edit, ledger, request.uid, gateway.schedd_name, now)
        )
    except CommandRefused as error:
        text = f"Failed to connect to queue manager {gateway.address}\ncondor_qedit: {error}\n"
        return Answer(stderr=text, code=1)
