"""The commands that are only recorded, and those that are refused: driven by the table."""

from __future__ import annotations

from ..ads import Ad, quote
from .commands import Commands
from .commands_table import TABLE, Kind, Row, Verdict
from .errors import refused
from .expressions import boolean, canonical, integer

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
    for row in TABLE:
        if row.kind is None or row.attribute in ad:
            continue
        value = commands.get(*row.names, row.attribute)
        if value is not None:
            ad[row.attribute] = _expression(row, value)


def _expression(row: Row, value: str) -> str:
    if row.kind is Kind.EXPRESSION:
        return canonical(row.attribute, value)
    if row.kind is Kind.BOOLEAN:
        return str(boolean(row.names[0], value)).lower()
    if row.kind is Kind.INTEGER:
        return str(integer(row.names[0], value))
    if row.kind is Kind.LIST:
        return quote(",".join(item for part in value.split(",") if (item := part.strip())))
    return quote(_unquoted(value))


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
