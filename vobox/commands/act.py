"""condor_rm, condor_hold and the other commands that act on jobs: their command lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from thyme.protocol.events import JobMessage
from vobox.classad.ad import ParseError, parse_old
from vobox.client.usage import USAGES
from vobox.files.as_user import OwnerFileReader
from vobox.jobs.job import Job
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, CommandRefused, Request
from vobox.schedd.command_gateway import CommandGateway

from .command_line import (
    CommandLine,
    EarlyExit,
    Flag,
    Option,
    Word,
    answers_early,
    parse_leading_integer,
)
from .job_actions import TEXTS, ActionRequest, decide
from .job_selection import (
    JobGroup,
    build_groups,
    evaluate_constraints,
    may_modify,
    names_nothing,
    select_jobs,
)
from .missing_input import complete_jobs, is_incomplete
from .schedd_names import is_schedd

_COMMON = (
    Option("debug", 1, ignored=True),
    Option("long", 1, refused="the answer as a ClassAd is not known here"),
    Option("totals", 3),
    Option("constraint", 1, values=1),
    Option("all", 1),
    Option("addr", 2, values=1, ignored=True),
    Option("reason", 1, values=1),
    Option("name", 1, values=1),
    Option("pool", 1, values=1, ignored=True),
    Option("version", 1),
    Option("held", 3),
    Option("hold", 3),
    Option("help", 1),
)
_SUBCODE = Option("subcode", 1, values=1)
_OTHERS = (*_COMMON, replace(_SUBCODE, ignored=True))
OPTIONS = {
    "condor_rm": (
        *_OTHERS,
        Option("forcex", 1),
        Option("transfer", 2, refused="no output is kept of a job that is removed"),
    ),
    "condor_hold": (*_COMMON, _SUBCODE),
    "condor_release": _OTHERS,
    "condor_suspend": _OTHERS,
    "condor_continue": _OTHERS,
    "condor_vacate_job": (*_OTHERS, Option("fast", 1)),
}


COMMAND_LINES = {
    command: CommandLine(
        options,
        USAGES[command],
        unknown="Unrecognized option: {option}\n{usage}",
        missing=f"{command}: -{{name}} requires another argument\n",
        refused=f"{command}: {{option}}: {{why}}\n",
        help_on_stderr=True,
    )
    for command, options in OPTIONS.items()
}


def parse(command: str, argv: Sequence[str], schedd: str) -> ActionRequest:
    """Read a command line; raises EarlyExit. ``schedd``: the name of ours."""
    words: list[str] = []
    constraints: list[str] = []
    request = ActionRequest(command, ())
    everything = False
    for item in COMMAND_LINES[command].parse(argv):
        if isinstance(item, Word):
            words.append(item.text)
        elif item.name in ("constraint", "addr") and item.value.startswith("-"):
            raise EarlyExit(f"{command}: -{item.name} requires another argument\n")
        elif item.name == "constraint":
            constraints.append(_check_constraint(command, item.value))
        elif item.name == "all":
            if words or constraints:
                raise EarlyExit(f"{command}: can't mix -all with other constraints\n")
            everything = True
        else:
            request = _add_option(request, item, schedd)
    if everything and words:
        raise EarlyExit(f"{command}: can't mix -all with other constraints\n")
    invalid = tuple(word for word in words if names_nothing(word))
    words = [word for word in words if word not in invalid]
    groups = build_groups(words, constraints, request.held)
    if everything and not groups:
        groups = [JobGroup("")]
    if not groups:
        errors = "".join(f"Invalid cluster # from {word}.\n" for word in invalid)
        raise EarlyExit(f"{errors}You did not specify any jobs\n{USAGES[command]}")
    return replace(request, groups=tuple(groups), invalid=invalid)


def _add_option(request: ActionRequest, flag: Flag, schedd: str) -> ActionRequest:
    """Return the request with one more option; raises EarlyExit."""
    name, value = flag.name, flag.value
    if name == "name" and not is_schedd(value, schedd):
        raise EarlyExit(f"Error: cannot get address of schedd {value}\n")
    subcode, rest = parse_leading_integer(value)
    if name == "subcode" and (rest or not value):
        raise EarlyExit(f"Invalid -subcode {value}!\n")
    changes: dict[str, dict[str, Any]] = {
        "reason": {"reason": value},
        "subcode": {"subcode": subcode},
        "forcex": {"force": True},
        "held": {"held": True},
        "hold": {"held": True},
        "fast": {"force": True},
        "totals": {"totals": True},
    }
    return replace(request, **changes.get(name, {}))


def _check_constraint(command: str, text: str) -> str:
    """Return the constraint if it can be parsed; raises EarlyExit."""
    try:
        parse_old(text)
    except ParseError:
        verb = TEXTS[command].verb
        raise EarlyExit(
            "DCSchedd::actOnJobs:1:Can't insert constraint into ClassAd\n"
            f"Couldn't find/{verb} all jobs matching constraint ({text})\n"
        ) from None
    return text


@answers_early
def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out one of these commands."""
    action = parse(request.command, request.argv, gateway.schedd_name)
    try:
        groups = evaluate_constraints(action.groups, request, gateway, everybody=action.totals)
        action = replace(action, groups=groups)
        if action.command == "condor_release":
            _complete_input(action, request, gateway)
        return gateway.act(
            lambda ledger, now: decide(
                action, ledger, request.uid, request.user, gateway.schedd_name, now
            )
        )
    except CommandRefused as error:
        return Answer(stderr=_build_failure(action, str(error)), code=1)


def _complete_input(action: ActionRequest, request: Request, gateway: CommandGateway) -> None:
    """Record again the jobs to be released whose input was missing and is there now."""
    incomplete = gateway.look(lambda ledger, _now: _list_incomplete(action, request.uid, ledger))
    for records in complete_jobs(
        incomplete, lambda job: gateway.body(job, "task"), OwnerFileReader
    ):
        gateway.act(partial(_record, records))


def _list_incomplete(action: ActionRequest, uid: int, ledger: Ledger) -> list[Job]:
    """Return the jobs to be released whose input was missing; ``uid``: the caller's."""
    return [
        job
        for group in action.groups
        # a job with a message in the queue has its input
        for state in select_jobs(group, ledger, only_unqueued=True)
        if may_modify(state, uid)
        if (job := ledger.get(state.id)) is not None and is_incomplete(job)
    ]


def _record(
    records: list[JobMessage], _ledger: Ledger, _now: float
) -> tuple[None, list[JobMessage]]:
    return None, records


def _build_failure(request: ActionRequest, why: str) -> str:
    """Return HTCondor's text for a schedd that does not act, with our reason."""
    lines = []
    jobs = "held jobs" if request.held else "jobs"
    for group in request.groups:
        lines.append(f"DCSchedd::actOnJobs:6001:{why}")
        lines += [f"No result found for job {job}" for job in group.jobs]
        if not group.jobs:
            lines.append(f"Couldn't find/{request.texts.verb} all {jobs}{group.description}")
    return "".join(line + "\n" for line in lines)
