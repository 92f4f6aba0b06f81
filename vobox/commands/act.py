"""The command lines of condor_rm, condor_hold and their like, and their answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thyme.protocol.events import JobMessage
from thyme.protocol.job import JobId
from vobox.classad.ad import ParseError, parse
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, Request, SubmitRefused
from vobox.schedd.command_gateway import CommandGateway

from .common import cleaned
from .job_actions import (
    WORDS,
    Order,
    Outcome,
    Selection,
    decide,
    groups_of,
    is_job,
    is_number,
    words_of,
)
from .option_parser import Flag, MissingValue, Option, UnknownOption, parse_arguments
from .schedd_names import is_schedd
from .version import VERSION_TEXT

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
    Option("help", 1),
)
OPTIONS = {
    "condor_rm": (*_COMMON, Option("forcex", 1)),
    "condor_hold": (*_COMMON, Option("subcode", 1, values=1)),
    "condor_release": _COMMON,
    "condor_suspend": _COMMON,
    "condor_continue": _COMMON,
    "condor_vacate_job": (*_COMMON, Option("fast", 1)),
}


_USAGE = {
    "condor_rm": " [-forcex]",
    "condor_hold": " [-subcode N]",
    "condor_vacate_job": " [-fast]",
}


class BadCommandLine(Exception):
    """The whole text for stderr."""


def usage(command: str) -> str:
    extra = _USAGE.get(command, "")
    return (
        f"Usage: {command} [-reason TEXT]{extra} [-name SCHEDD] "
        "{CLUSTER | CLUSTER.PROC | USER | -constraint EXPR | -all}...\n"
    )


def read(command: str, argv: Sequence[str], schedd: str) -> Order | Answer:
    """The order of a command line, or the answer that needs no schedd; raises BadCommandLine."""
    words: list[str] = []
    constraints: list[str] = []
    order = Order(command, ())
    everything = False
    try:
        for item in parse_arguments(cleaned(argv), OPTIONS[command]):
            if not isinstance(item, Flag):
                words += [item.text] if item.text else []  # DIRAC passes an empty one
                continue
            name, value = item.option.name, (item.values or ("",))[0]
            if name == "help":
                return Answer(stderr=usage(command))
            if name == "version":
                return Answer(VERSION_TEXT)
            if name == "constraint":
                constraints.append(_constraint(command, value))
            elif name == "all":
                everything = True
            else:
                order = _with(order, item, value, schedd)
    except UnknownOption as error:
        text = f"Unrecognized option: {error.spelled}\n{usage(command)}"
        raise BadCommandLine(text) from error
    except MissingValue as error:
        name = error.flag.option.name
        raise BadCommandLine(f"{command}: -{name} requires another argument\n") from error
    if everything and (words or constraints):
        raise BadCommandLine(f"{command}: can't mix -all with other constraints\n")
    invalid = tuple(word for word in words if _is_invalid(word))
    groups = groups_of([word for word in words if word not in invalid], constraints)
    if everything:
        groups = [Selection("")]
    if not groups:
        said = "".join(f"Invalid cluster # from {word}.\n" for word in invalid)
        raise BadCommandLine(f"{said}You did not specify any jobs\n{usage(command)}")
    return replace(order, groups=tuple(groups), invalid=invalid)


def _with(order: Order, item: Flag, value: str, schedd: str) -> Order:
    """The order with one more option; raises BadCommandLine."""
    name = item.option.name
    if item.option.refused:
        raise BadCommandLine(f"{order.command}: {item.spelled}: {item.option.refused}\n")
    if name == "name" and not is_schedd(value, schedd):
        raise BadCommandLine(f"Error: cannot get address of schedd {value}\n")
    if name == "subcode" and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise BadCommandLine(f"Invalid -subcode {value}!\n")
    changes: dict[str, dict[str, Any]] = {
        "reason": {"reason": value},
        "subcode": {"subcode": int(value) if name == "subcode" else 0},
        "forcex": {"force": True},
        "fast": {"force": True},
        "totals": {"totals": True},
    }
    return replace(order, **changes.get(name, {}))


def _is_invalid(word: str) -> bool:
    """A cluster 0; HTCondor complains, and goes on with the others."""
    if is_job(word):
        return JobId.parse(word).cluster == 0
    return is_number(word) and int(word) == 0


def _constraint(command: str, text: str) -> str:
    """The constraint, if it can be parsed; raises BadCommandLine."""
    try:
        parse(text)
    except ParseError:
        verb = WORDS[command].verb
        raise BadCommandLine(
            "DCSchedd::actOnJobs:1:Can't insert constraint into ClassAd\n"
            f"Couldn't find/{verb} all jobs matching constraint ({text})\n"
        ) from None
    return text


def answer(request: Request, gateway: CommandGateway) -> Answer:
    """Carry out one of these commands."""
    try:
        order = read(request.command, request.argv, gateway.schedd_name)
    except BadCommandLine as error:
        return Answer(stderr=str(error), code=1)
    if isinstance(order, Answer):
        return order
    outcome = Outcome()

    def carry_out(ledger: Ledger, now: float) -> list[JobMessage]:
        nonlocal outcome
        outcome = decide(order, ledger, request.uid, request.user, gateway.schedd_name, now)
        return outcome.events

    try:
        gateway.act(carry_out)
    except SubmitRefused as error:
        return Answer(stderr=_nothing_done(order, str(error)), code=1)
    return Answer(
        "".join(line + "\n" for line in outcome.stdout),
        "".join(line + "\n" for line in outcome.stderr),
        1 if outcome.failed else 0,
    )


def _nothing_done(order: Order, why: str) -> str:
    """HTCondor's words for a schedd that does not act, with our reason."""
    lines = []
    for each in order.groups:
        lines.append(f"DCSchedd::actOnJobs:6001:{why}")
        lines += [f"No result found for job {job}" for job in each.jobs]
        if not each.jobs:
            lines.append(f"Couldn't find/{words_of(order).verb} all jobs{each.what}")
    return "".join(line + "\n" for line in lines)
