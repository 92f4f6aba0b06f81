"""Conditions on the columns of the ledger, which a database answers without reading an ad.

They are exact only for jobs whose columns are what their ads say (``plain`` in
``ledger_schema.py``): no value is undefined then, and logic has two values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from vobox.classad.ad import Ad

#: What a statement in SQL leaves open.
Values = list[int | str | None]

#: Lower-case name of an attribute → how ads write it, its column, its type.
COLUMNS: Final[dict[str, tuple[str, str, type]]] = {
    "clusterid": ("ClusterId", "cluster", int),
    "procid": ("ProcId", "proc", int),
    "jobstatus": ("JobStatus", "status", int),
    "owner": ("Owner", "owner", str),
    "qdate": ("QDate", "qdate", int),
    "jobbatchname": ("JobBatchName", "batch", str),
    "totalsubmitprocs": ("TotalSubmitProcs", "procs", int),
}
#: Those that every job has.
ALWAYS: Final = frozenset({"clusterid", "procid", "jobstatus", "owner", "qdate"})
_OPERATORS: Final = {
    "==": "=", "=?=": "=", "!=": "<>", "=!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """``attribute`` (lower-case, one of ALWAYS) compared to a value of its column's type."""

    attribute: str
    operator: str
    value: int | str

    def sql(self, values: Values) -> str:
        """The condition in SQL; its values are added to ``values``."""
        _name, column, kind = COLUMNS[self.attribute]
        values.append(self.value)
        # == on strings ignores case, =?= does not
        nocase = kind is str and self.operator in ("==", "!=")
        return f"{column}{_OPERATORS[self.operator]}?{' COLLATE NOCASE' if nocase else ''}"


@dataclass(frozen=True)
class Every:
    """All parts are true; without parts, always true."""

    parts: tuple[Condition, ...]

    def sql(self, values: Values) -> str:
        return _joined(" AND ", self.parts, values) or "1"


@dataclass(frozen=True)
class Some:
    """One part at least is true; without parts, never."""

    parts: tuple[Condition, ...]

    def sql(self, values: Values) -> str:
        # the planner finds no way to use an index for a plain 0
        return _joined(" OR ", self.parts, values) or "cluster<0"


@dataclass(frozen=True)
class Alike:
    """The job has this shape (``templates.py``) and these values, by attribute, in columns."""

    shape: int
    columns: tuple[tuple[str, int | str | None], ...] = ()

    def sql(self, values: Values) -> str:
        values += [self.shape, *(value for _name, value in self.columns)]
        return (
            " AND ".join(
                ["(shape=?", *(f"{COLUMNS[name][1]} IS ?" for name, _value in self.columns)]
            )
            + ")"
        )


@dataclass(frozen=True)
class Tested:
    """A function of the database says so, given the job's row and these (lower-case) columns."""

    function: str
    columns: tuple[str, ...]

    def sql(self, _values: Values) -> str:
        row = ("shape", "ad", "cluster", "proc", "status")
        return f"{self.function}({', '.join([*row, *(COLUMNS[name][1] for name in self.columns)])})"


Condition = Comparison | Every | Some | Alike | Tested


class Groups(NamedTuple):
    """All jobs of a queue: those that are alike in what is looked at, each group with an ad that
    says what that is, and the others."""

    alike: list[tuple[Alike, Ad]]
    others: list[Alike]


def _joined(word: str, parts: tuple[Condition, ...], values: Values) -> str:
    text = word.join(part.sql(values) for part in parts)
    return f"({text})" if text else ""
