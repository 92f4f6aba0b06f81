"""condor_config_val: print this schedd's settings under the names of HTCondor's variables.

HTCondor's configuration does not exist here. Its other variables are "Not defined", which is
what HTCondor prints for a variable that is not set.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thyme.broker.lanes import format_bounds
from vobox.client.usage import USAGES
from vobox.client.version import ARCH, CONDOR_PLATFORM, CONDOR_VERSION
from vobox.rpc.types import Answer, Request
from vobox.schedd.state import Settings

from .command_line import CommandLine, EarlyExit, Option, Word, answers_early
from .schedd_names import get_host, is_pool, is_schedd

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
    Option("subsystem", 3, values=1, ignored=True),
    Option("local-name", 3, values=1, ignored=True),
    *(
        Option(name, 3, refused=_ELSEWHERE)
        for name in ("master", "startd", "collector", "negotiator", "credd")
    ),
    *(Option(name, 2, refused=_READ_ONLY) for name in ("set", "rset", "unset", "runset")),
)
USAGE = USAGES["condor_config_val"]


def list_variables(settings: Settings, address: str) -> dict[str, str]:
    """Return every variable that is defined here, with its value."""
    host = get_host(settings.name)
    known = {
        "ARCH": ARCH,
        "BIN": sysconfig.get_path("scripts"),
        "CONDOR_PLATFORM": CONDOR_PLATFORM.strip("$ ").partition(": ")[2],
        "CONDOR_VERSION": CONDOR_VERSION.split()[1],
        "DAEMON_LIST": "SCHEDD",
        "OPSYS": "LINUX",
        "COLLECTOR_HOST": host,
        "CONDOR_HOST": host,
        "CONDOR_Q_DASH_BATCH_IS_DEFAULT": "true",
        "CONDOR_Q_ONLY_MY_JOBS": "true",
        "FILESYSTEM_DOMAIN": host,
        "FULL_HOSTNAME": host,
        "HOSTNAME": host.partition(".")[0],
        "MAX_JOBS_PER_OWNER": f"{settings.max_jobs_per_owner}",
        "MAX_JOBS_PER_SUBMISSION": f"{settings.max_jobs_per_submission}",
        "PERIODIC_EXPR_INTERVAL": f"{settings.policy_interval:g}",
        "SCHEDD_ADDRESS": address,
        "THYME_LANES": format_bounds(settings.lanes.bounds),
        "THYME_LEASE": f"{settings.lease:g}",
        "THYME_MAX_ATTEMPTS": f"{settings.max_attempts}",
        "THYME_QUEUE": settings.pool,
        "UID_DOMAIN": host,
    }
    if settings.spool is not None:
        known["SPOOL"] = str(settings.spool)
    if settings.history_dir is not None:
        known["PER_JOB_HISTORY_DIR"] = str(settings.history_dir)
        # clients look at history.* beside it, where HTCondor's rotated files are
        known["HISTORY"] = str(settings.history_dir / "history")
    if settings.log_file is not None:
        known["LOG"] = str(settings.log_file.parent)
        known["SCHEDD_LOG"] = str(settings.log_file)
    return dict(sorted(known.items()))


def _list_overrides(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the caller's environment sets as ``_CONDOR_NAME=value``."""
    marked = ((name, value) for name, value in env.items() if name.lower().startswith("_condor_"))
    return {name[len("_condor_") :].upper(): value for name, value in marked}


COMMAND_LINE = CommandLine(
    OPTIONS,
    USAGE,
    unknown="{option} is not a valid argument\n{usage}",
    missing="{option} requires an argument\n{usage}",
    refused="condor_config_val: {option}: {why}\n",
    help_on_stderr=True,
    help_code=1,
)


@dataclass
class VariableQuery:
    """A parsed command line: variables or texts, and the names of the options given."""

    names: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)


def parse(argv: Sequence[str], schedd: str) -> VariableQuery:
    """Read a command line; raises EarlyExit. ``schedd``: the name of ours."""
    query = VariableQuery()
    for item in COMMAND_LINE.parse(argv):
        if isinstance(item, Word):
            query.names.append(item.text)
            continue
        if item.name == "name" and not is_schedd(item.value, schedd):
            raise EarlyExit(f"Can't find address for schedd {item.value}\n")
        if item.name == "pool" and not is_pool(item.value, schedd):
            raise EarlyExit(f"condor_config_val: unknown host {item.value}\n")
        query.flags.add(item.name)
    if not query.names and not query.flags & {"dump", "config"}:
        raise EarlyExit(USAGE)
    return query


@answers_early
def answer(request: Request, settings: Settings, address: str) -> Answer:
    """Carry out condor_config_val.

    :param settings: the schedd's
    :param address: the schedd's, as clients see it
    """
    query = parse(request.argv, settings.name)
    known = list_variables(settings, address)
    remote = bool(query.flags & {"schedd", "name", "address"})
    overrides = {} if remote else _list_overrides(request.env)
    known.update(overrides)
    if "config" in query.flags:
        return Answer("Configuration source:\n\tthe command line of thyme-schedd\n")
    if "dump" in query.flags:
        return Answer(_format_dump(known, query.names))
    found, missing = "", ""
    for name in query.names:
        value = known.get(name.upper())
        if value is None:
            missing += "Not defined\n" if remote else f"Not defined: {name}\n"
        elif "verbose" in query.flags:
            source = "environment" if name.upper() in overrides else "thyme-schedd"
            found += f"{name.upper()} = {value}\n # at: <{source}>\n"
        else:
            found += f"{value}\n"
    if remote:  # as HTCondor: a daemon's "no" is an answer
        return Answer(found + missing)
    return Answer(found, missing, 1 if missing else 0)


def _format_dump(known: Mapping[str, str], texts: Sequence[str]) -> str:
    lines = f"# Configuration from machine: {known['FULL_HOSTNAME']}\n"
    for text in texts or [""]:
        if text:
            lines += f"\n# Parameters with names that match {text}:\n"
        lines += "".join(
            f"{name} = {value}\n" for name, value in known.items() if text.upper() in name
        )
    return lines
