"""The commands that are only recorded, and those that are refused: driven by the table."""

from __future__ import annotations

import re

from vobox.classad.ad import Ad, quote

from .commands_table import TABLE, Kind, Row, Verdict
from .errors import bad_job, refused
from .expressions import boolean, canonical, integer
from .job_commands import Commands

_LIMIT = re.compile(r"[a-z_][\w.]*(?::\d+(?:\.\d+)?)?\Z")
_OFF = ("false", "undefined", "0", "")


def refuse_unsupported(commands: Commands) -> None:
    """Raises Refusal for a command that cannot be honoured and may not be left out."""
    for row in TABLE:
        if row.verdict is not Verdict.REFUSED:
            continue
        for name in row.names:
            value = commands.get(name)
            if value is not None and value.lower() not in _OFF:
                raise refused(f"{name} = {value}: {row.effect}")


def record(commands: Commands, ad: Ad) -> None:
    """Put what the table records into the ad; raises Refusal for a bad value."""
    _record_concurrency(commands, ad)
    for row in TABLE:
        if row.kind is None or row.attribute in ad:
            continue
        value = commands.get(*row.names, row.attribute)
        if value is not None:
            ad[row.attribute] = _expression(row, value)


def _record_concurrency(commands: Commands, ad: Ad) -> None:
    """``concurrency_limits = a,b:2``; raises Refusal for a name that cannot be one."""
    text = commands.get("concurrency_limits", "ConcurrencyLimits")
    if text is None:
        return
    limits = [part for part in re.split(r"[,\s]+", text.lower()) if part]
    for limit in limits:
        if not _LIMIT.match(limit):
            raise bad_job(f"Invalid concurrency limit '{limit}'")
    ad["ConcurrencyLimits"] = quote(",".join(limits))


def _expression(row: Row, value: str) -> str:
    if row.kind is Kind.EXPRESSION:
        return canonical(row.attribute, value)
    if row.kind is Kind.BOOLEAN:
        return str(boolean(row.names[0], value)).lower()
    if row.kind is Kind.INTEGER:
        return str(integer(row.names[0], value))
    if row.kind is Kind.LIST:
        return quote(",".join(item for part in value.split(",") if (item := part.strip())))
    return quote(value)
