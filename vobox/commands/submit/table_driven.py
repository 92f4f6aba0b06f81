"""Record or refuse the commands that need no code of their own, as their table says."""

from __future__ import annotations

import re

from vobox.classad.ad import Ad, quote
from vobox.commands.command_line import parse_leading_integer

from .commands_table import SUBMIT_COMMANDS, SubmitCommand, Support, ValueType
from .errors import SubmitError, job_error, submit_error
from .expressions import (
    canonicalize,
    evaluate_boolean,
    evaluate_int,
    evaluate_integer,
    evaluate_length,
)
from .job_commands import Commands
from .quoting import strip_quotes
from .streams import make_absolute
from .universe import GRID

#: What is after the colon counts where it is a number, else 1.
_LIMIT = re.compile(r"[a-z_]\w*(?:\.[a-z_]\w*)?(?::.*)?\Z")
#: The commands that ask for a job factory, each with its attribute.
_FACTORY = (
    ("max_materialize", "JobMaterializeLimit"),
    ("max_idle", "JobMaterializeMaxIdle"),
    ("materialize_max_idle",),
)
#: Strings whose double quotes are left out.
_UNQUOTED = frozenset(
    {"ContainerTargetDir", "JobBatchId", "JobSetName", "JobStarterDebug", "JobStarterLog"}
)
#: Of grid jobs; in other universes HTCondor does not know these commands.
GRID_ONLY = frozenset(
    {"ArcApplication", "ArcDataStaging", "ArcResources", "ArcRte"}
    | {"BatchExtraSubmitArgs", "BatchProject", "BatchQueue", "BatchRuntime"}
)
_OFF = ("false", "undefined", "0", "")


def refuse_unsupported(commands: Commands) -> None:
    """Raise SubmitError for a command that is not supported and may not be left out."""
    for row in SUBMIT_COMMANDS:
        if row.support is not Support.REFUSED:
            continue
        for name in row.names:
            value = commands.get(name)
            if value is not None and value.lower() not in _OFF:
                raise submit_error(f"{name} = {value}: {row.effect}")


def check_without_effect(commands: Commands) -> None:
    """Raise SubmitError for a wrong value of a command that is HTCondor's own business alone."""
    for names in _FACTORY:
        value = commands.get(*names)
        if value is not None:
            evaluate_int(names[0], value)
            break  # as in HTCondor, which makes a job factory of the first
    checks = commands.get("skip_filechecks")
    if checks is not None and checks.lower() != "warn":
        try:
            evaluate_boolean("", checks)
        except SubmitError:
            what = f"SUBMIT_CMD_skip_filechecks={checks}"
            raise job_error(f"{what} is invalid, must be 'warn' or a boolean") from None


def record_table_commands(commands: Commands, ad: Ad) -> None:
    """Record the commands that have a value type in the table; raises SubmitError."""
    _record_concurrency(commands, ad)
    _record_delegation(commands, ad)
    for row in SUBMIT_COMMANDS:
        if row.value_type is None or row.attribute in ad:
            continue
        if row.attribute in GRID_ONLY and ad["JobUniverse"] != str(GRID):
            continue
        value = commands.get(*row.names, row.attribute)
        if value is not None:
            ad[row.attribute] = _to_expression(row, value, ad)
    history = int(ad.get("JobMachineAttrsHistoryLength", "0"))
    if not 0 <= history < 2**31:
        what = f"job_machine_attrs_history_length={history}"
        raise job_error(f"{what} is out of bounds 0 to {2**31 - 1}")
    if "JobStarterLog" in ad:
        ad.setdefault("JobStarterDebug", "true")


def _record_concurrency(commands: Commands, ad: Ad) -> None:
    """Record ``concurrency_limits = a,b:2``; raises SubmitError for a bad name."""
    text = commands.get("concurrency_limits", "ConcurrencyLimits")
    if text is None:
        return
    if commands.get("concurrency_limits_expr") is not None:
        both = "concurrency_limits and concurrency_limits_expr"
        raise job_error(f"{both} can't be used together")
    limits = [part for part in re.split(r"[,\s]+", text.lower()) if part]
    for limit in limits:
        if not _LIMIT.match(limit):
            raise job_error(f"Invalid concurrency limit '{limit}'")
    if limits:
        ad["ConcurrencyLimits"] = quote(",".join(sorted(limits)))


def _record_delegation(commands: Commands, ad: Ad) -> None:
    """Record for how long a proxy is delegated; raises SubmitError."""
    name = "delegate_job_gsi_credentials_lifetime"
    text = commands.get(name, "DelegateJobGSICredentialsLifetime")
    if text is not None:
        seconds, rest = parse_leading_integer(text)
        if rest:
            raise job_error(f"invalid integer setting {name} = {text}")
        ad["DelegateJobGSICredentialsLifetime"] = str(seconds)


def _to_expression(row: SubmitCommand, value: str, ad: Ad) -> str:
    if row.value_type is ValueType.EXPRESSION:
        return canonicalize(row.attribute, value)
    if row.value_type is ValueType.BOOLEAN:
        return str(evaluate_boolean(row.names[0], value)).lower()
    if row.value_type is ValueType.INTEGER:
        return str(evaluate_integer(row.names[0], value))
    if row.value_type is ValueType.LENGTH:
        return str(evaluate_length(row.names[0], value))
    if row.attribute in _UNQUOTED:
        value = strip_quotes(value)
    if row.value_type is ValueType.LIST:
        return quote(",".join(item for item in re.split(r"[,\s]+", value) if item))
    if row.value_type is ValueType.PATH:
        return quote(value and make_absolute(ad.text("Iwd"), value))
    return quote(value)
