"""The command lines of condor_rm, condor_hold and condor_release, and their answers."""

from __future__ import annotations

from collections.abc import Sequence

from thyme.message import JobMessage

from .actions import Order, Outcome, Selection, decide, group
from .ads import ParseError, parse
from .condor_version import VERSION_LINE, platform
from .intake import Intake
from .ledger import Ledger
from .query.options import Flag, MissingValue, Option, UnknownOption, parse_arguments
from .rpc_types import Answer, Request, SubmitRefused

_COMMON = (
    Option("all", 2),
    Option("addr", 2, values=1),
    Option("constraint", 1, values=1),
    Option("debug", 1, ignored=True),
    Option("help", 1),
    Option("name", 1, values=1),
    Option("pool", 1, values=1),
    Option("version", 1),
)
OPTIONS = {
    "condor_rm": (*_COMMON, Option("forcex", 1), Option("reason", 1, values=1)),
    "condor_hold": (*_COMMON, Option("reason", 1, values=1), Option("subcode", 1, values=1)),
    "condor_release": (*_COMMON, Option("reason", 1, values=1)),
}


class BadCommandLine(Exception):
    """The whole text for stderr."""


def usage(command: str) -> str:
    extra = {"condor_rm": " [-forcex]", "condor_hold": " [-subcode N]"}.get(command, "")
    return (
        f"Usage: {command} [-reason TEXT]{extra} [-name SCHEDD] "
        "{CLUSTER | CLUSTER.PROC | USER | -constraint EXPR | -all}...\n"
    )


def read(command: str, argv: Sequence[str], schedd: str) -> Order | Answer:
    """The order of a command line, or the answer that needs no schedd; raises BadCommandLine."""
    words: list[str] = []
    special: list[Selection] = []
    reason, subcode, force = "", 0, False
    try:
        for item in parse_arguments(argv, OPTIONS[command]):
            if not isinstance(item, Flag):
                words.append(item.text)
                continue
            name, value = item.option.name, (item.values or ("",))[0]
            if name == "help":
                return Answer(usage(command))
            if name == "version":
                return Answer(f"{VERSION_LINE}\n{platform()}\n")
            if name == "reason":
                reason = value
            elif name == "subcode":
                subcode = _number(value)
            elif name == "forcex":
                force = True
            elif name == "all":
                special.append(Selection("", everything=True))
            elif name == "constraint":
                special.append(_constraint(command, value))
            elif name == "name" and value not in (schedd, schedd.partition("@")[2]):
                raise BadCommandLine(f"Can't find address of schedd {value}\n")
    except UnknownOption as error:
        text = f"Unrecognized option: {error.spelled}\n{usage(command)}"
        raise BadCommandLine(text) from error
    except MissingValue as error:
        text = f"{error.flag.spelled} requires another argument\n{usage(command)}"
        raise BadCommandLine(text) from error
    groups = [*group(command, words), *special]
    if not groups:
        if any(word == "" for word in words):
            # HTCondor's own message; the empty word alone names nothing
            raise BadCommandLine("Invalid cluster # from .\n")
        raise BadCommandLine(f"You did not specify any jobs\n{usage(command)}")
    return Order(command, tuple(groups), reason, subcode, force)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadCommandLine(f"-subcode requires a number, not {text!r}\n") from None


def _constraint(command: str, text: str) -> Selection:
    try:
        parse(text)
    except ParseError:
        verb = command.partition("_")[2]
        verb = {"rm": "remove"}.get(verb, verb)
        raise BadCommandLine(
            f"DCSchedd::actOnJobs:1:Can't insert constraint into ClassAd\n"
            f"\nCouldn't find/{verb} all jobs matching constraint ({text})\n"
        ) from None
    return Selection(f"matching constraint ({text})", constraint=text)


def answer(request: Request, intake: Intake) -> Answer:
    """Carry out one of the three commands."""
    try:
        order = read(request.command, request.argv, intake.schedd_name)
    except BadCommandLine as error:
        return Answer(stderr=str(error), code=1)
    if isinstance(order, Answer):
        return order
    outcome = Outcome()

    def carry_out(ledger: Ledger, now: float) -> list[JobMessage]:
        nonlocal outcome
        outcome = decide(order, ledger, request.uid, request.user, intake.schedd_name, now)
        return outcome.events

    try:
        intake.act(carry_out)
    except SubmitRefused as error:
        return Answer(stderr=f"DCSchedd::actOnJobs:6001:{error}\n", code=1)
    return Answer(
        "".join(line + "\n" for line in outcome.stdout),
        "".join(line + "\n" for line in outcome.stderr),
        1 if outcome.failed else 0,
    )
