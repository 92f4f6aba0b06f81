"""condor_config_val: what clients ask of HTCondor's configuration, answered with what is so here.

There is no such configuration: the values are this schedd's. What HTCondor
has and we do not is "not defined", as HTCondor says of a name that nobody set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vobox.rpc.types import Answer, Request
from vobox.schedd.settings import Settings

from .common import cleaned
from .option_parser import Flag, MissingValue, Option, UnknownOption, parse_arguments
from .schedd_names import host_of, is_pool, is_schedd
from .version import VERSION_TEXT

_ELSEWHERE = "there is no such daemon here"
_READ_ONLY = "the configuration is thyme-schedd's command line; change it there"
OPTIONS = (
    Option("help", 1),
    Option("version", 3),
    Option("verbose", 1),
    Option("dump", 1),
    Option("config", 2),
    Option("schedd", 2),
    Option("name", 1, values=1),
    Option("pool", 1, values=1),
    Option("address", 2, values=1),
    Option("raw", 3, ignored=True),
    Option("expand", 2, ignored=True),
    Option("evaluate", 2, ignored=True),
    Option("debug", 2, ignored=True),
    *(
        Option(name, 3, refused=_ELSEWHERE)
        for name in ("master", "startd", "collector", "negotiator", "credd")
    ),
    *(Option(name, 2, refused=_READ_ONLY) for name in ("set", "rset", "unset", "runset")),
)
USAGE = (
    "Usage: condor_config_val [-verbose] [-schedd] [-name SCHEDD] [-pool POOL] VARIABLE...\n"
    "       condor_config_val {-dump [TEXT...] | -config}\n"
)


def values(settings: Settings, address: str) -> dict[str, str]:
    """Every variable that is defined here."""
    host = host_of(settings.name)
    known = {
        "COLLECTOR_HOST": host,
        "CONDOR_HOST": host,
        "CONDOR_Q_DASH_BATCH_IS_DEFAULT": "true",
        "CONDOR_Q_ONLY_MY_JOBS": "true",
        "FILESYSTEM_DOMAIN": host,
        "FULL_HOSTNAME": host,
        "HOSTNAME": host.partition(".")[0],
        "PERIODIC_EXPR_INTERVAL": f"{settings.policy_interval:g}",
        "SCHEDD_ADDRESS": address,
        "SCHEDD_HOST": host,
        "SCHEDD_NAME": settings.name,
        "THYME_LEASE": f"{settings.lease:g}",
        "THYME_MAX_ATTEMPTS": f"{settings.max_attempts}",
        "THYME_QUEUE": settings.pool,
        "UID_DOMAIN": host,
    }
    if settings.history_dir is not None:
        known["PER_JOB_HISTORY_DIR"] = str(settings.history_dir)
    return dict(sorted(known.items()))


def _overrides(env: Mapping[str, str]) -> dict[str, str]:
    """``_CONDOR_NAME=value`` in the caller's environment."""
    marked = ((name, value) for name, value in env.items() if name.lower().startswith("_condor_"))
    return {name[len("_condor_") :].upper(): value for name, value in marked}


@dataclass
class Question:
    """A parsed command line."""

    names: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)


class BadCommandLine(Exception):
    """The whole text for stderr."""


def read(argv: Sequence[str], schedd: str) -> Question | Answer:
    """The question, or the answer that needs no values; raises BadCommandLine."""
    made = Question()
    try:
        for item in parse_arguments(cleaned(argv), OPTIONS):
            if not isinstance(item, Flag):
                made.names += [item.text] if item.text else []
                continue
            name, value = item.option.name, (item.values or ("",))[0]
            if name == "help":
                return Answer(USAGE)
            if name == "version":
                return Answer(VERSION_TEXT)
            if item.option.refused:
                raise BadCommandLine(f"condor_config_val: {item.spelled}: {item.option.refused}\n")
            if name == "name" and not is_schedd(value, schedd):
                raise BadCommandLine(f"Can't find address for schedd {value}\n")
            if name == "pool" and not is_pool(value, schedd):
                raise BadCommandLine(f"condor_config_val: unknown host {value}\n")
            made.flags.add(name)
    except UnknownOption as error:
        raise BadCommandLine(f"{error.spelled} is not valid option\n{USAGE}") from error
    except MissingValue as error:
        raise BadCommandLine(f"{error.flag.spelled} requires an argument\n{USAGE}") from error
    if not made.names and not made.flags & {"dump", "config"}:
        raise BadCommandLine(USAGE)
    return made


def answer(request: Request, settings: Settings, address: str) -> Answer:
    """Carry out condor_config_val."""
    try:
        question = read(request.argv, settings.name)
    except BadCommandLine as error:
        return Answer(stderr=str(error), code=1)
    if isinstance(question, Answer):
        return question
    known = values(settings, address)
    remote = bool(question.flags & {"schedd", "name", "address"})
    changed = {} if remote else _overrides(request.env)
    known.update(changed)
    if "config" in question.flags:
        return Answer("Configuration source:\n\tthe command line of thyme-schedd\n")
    if "dump" in question.flags:
        return Answer(_dump(known, question.names))
    answered, missing = "", ""
    for name in question.names:
        value = known.get(name.upper())
        if value is None:
            missing += "Not defined\n" if remote else f"Not defined: {name}\n"
            continue
        if "verbose" in question.flags:
            source = "environment" if name.upper() in changed else "thyme-schedd"
            answered += f"{name.upper()} = {value}\n # at: <{source}>\n"
        else:
            answered += f"{value}\n"
    if remote:  # as HTCondor: a daemon's "no" is an answer
        return Answer(answered + missing)
    return Answer(answered, missing, 1 if missing else 0)


def _dump(known: Mapping[str, str], texts: Sequence[str]) -> str:
    said = f"# Configuration from machine: {known['FULL_HOSTNAME']}\n"
    for text in texts or [""]:
        if text:
            said += f"\n# Parameters with names that match {text}:\n"
        said += "".join(
            f"{name} = {value}\n" for name, value in known.items() if text.upper() in name
        )
    return said
