"""The queue statement: how many jobs, for which items.

``queue [count] [[var[,var...]] in|from|matching [files|dirs|any|table] [slice] items]``;
count is an integer expression and means that many jobs for each item. ``from table`` takes the
names of the variables from the first row, and splits at commas alone; ``table(csv)`` has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vobox.commands.command_line import parse_leading_integer

from .description import QueueStatement
from .errors import SubmitError, line_error
from .expressions import evaluate_integer
from .logical_lines import join_items
from .sources import TextSources

_MODE = re.compile(r"(?<![\w.])(in|from|matching)(?=[\s(\[]|\Z)", re.IGNORECASE)
_KIND = re.compile(r"(files|dirs|any)(?=[\s(\[]|\Z)", re.IGNORECASE)
#: Columns of a table whose first row names them: each is looked for in what the ones before left.
_MOST_COLUMNS = 1000
_TABLE = re.compile(r"table(?:\(([^()]*)\))?(?=[\s(\[]|\Z)", re.IGNORECASE)
_ONLY_FROM = re.compile(r"table(?=[\s(\[]|\Z)", re.IGNORECASE)
_COUNT = re.compile(r"[-+*/%()\d\s]*")
_NAMES = re.compile(r"[A-Za-z_][\w.]*\Z")
#: ``[start:stop:step]``; ``[start]`` is ``[start:]``.
_SLICE = re.compile(r"\[\s*([-+]?\d{0,10})(?::\s*([-+]?\d{0,10})(?::\s*([-+]?\d{0,10}))?)?\]")


@dataclass(frozen=True)
class JobMacros:
    """The macros of one job of a queue statement: values by lower-case name."""

    variables: dict[str, str]
    named: tuple[str, ...] = ()  #: those that the statement names, else Item


@dataclass(frozen=True)
class _Table:
    """How the rows of a table are read; without ``table``, blanks separate, too."""

    separators: str = ", \t"
    trims: bool = True
    header: int = -1  #: the row with the names; -1: there is none
    skip: int = 0  #: rows to leave out, if the names are not in the first one


@dataclass(frozen=True)
class _QueuePlan:
    count: int
    variables: tuple[str, ...]
    items: list[str]
    selected: range
    table: _Table = _Table()


def expand_queue(
    step: QueueStatement,
    source: str,
    sources: TextSources,
    warn: Callable[[list[str]], None],
    max_jobs: int,
    before: int = 0,
) -> Iterator[JobMacros]:
    """Yield the jobs of a queue statement in order.

    :param source: the description's name, for errors
    :param sources: where items may come from
    :param warn: takes warnings
    :param max_jobs: the most jobs of one submit
    :param before: the number of jobs of the statements before it
    :raises SubmitError: with the number of the statement's line
    """
    plan = _parse_plan(step, source, sources, warn)
    if before + plan.count * len(plan.selected) > max_jobs:
        raise SubmitError(
            "\nERROR: Failed to create proc\n"
            f"Number of submitted jobs would exceed MAX_JOBS_PER_SUBMISSION ({max_jobs})\n"
        )
    for index in plan.selected:
        fields = _split_item(plan.items[index], plan.variables, plan.table)
        for number in range(plan.count):
            yield JobMacros(
                {
                    "step": str(number),
                    "row": str(index),
                    "itemindex": str(index),
                    "item": "",
                    **fields,
                },
                plan.variables,
            )


def _parse_plan(
    step: QueueStatement,
    source: str,
    sources: TextSources,
    warn: Callable[[list[str]], None],
) -> _QueuePlan:
    text = step.arguments
    found = _MODE.search(text)
    if found is None:
        return _QueuePlan(_parse_count(text, step.line, source), (), [""], range(1))
    head, rest = text[: found.start()], text[found.end() :].strip()
    counted = _COUNT.match(head)
    end = counted.end() if counted else 0
    count = _parse_count(head[:end], step.line, source)
    variables = tuple(name for name in re.split(r"[,\s]+", head[end:]) if name) or ("Item",)
    if not all(_NAMES.match(name) for name in variables):
        raise line_error(step.line, source, "Invalid Queue count expression")
    mode, kind = found[1].lower(), "any"
    conflict = None if mode == "from" else _ONLY_FROM.match(rest)
    conflict = conflict or (None if mode == "matching" else _KIND.match(rest))
    if conflict is not None and (step.items is not None or conflict.end() < len(rest)):
        raise line_error(step.line, source, "Queue keyword conflict")
    if mode == "matching" and (word := _KIND.match(rest)):
        kind, rest = word[1].lower(), rest[word.end() :].strip()
    table = _Table()
    is_table = mode == "from" and (step.items is not None or rest.lower() != "table")
    if is_table and (word := _TABLE.match(rest)):
        table, rest = _parse_table(word[1]), rest[word.end() :].strip()
    selected = None
    if sliced := _SLICE.match(rest):
        rest, selected = rest[sliced.end() :].strip(), _parse_slice(sliced)
    has_brackets = rest.startswith("[") and "]" in rest and mode != "matching"  # else a pattern
    steps = selected.step if selected else None
    if (sliced is None and has_brackets) or (steps is not None and steps < 1):
        raise line_error(step.line, source, "Invalid [::] statement")
    if not rest and step.items is None:
        raise line_error(step.line, source, "Invalid Queue count expression")
    try:
        items = _read_items(mode, rest, step, sources)
        if mode == "matching":
            items, warnings = sources.match_files(items, kind)
            warn(warnings)
    except SubmitError as refusal:
        raise line_error(step.line, source, refusal.reason) from None
    variables, items = _take_header(variables, items, table)
    indices = range(len(items))
    return _QueuePlan(count, variables, items, indices[selected] if selected else indices, table)


def _parse_table(options: str | None) -> _Table:
    """Read ``header=1,skip=2,sep=;,trim=false``, ``csv`` and ``standard``, as HTCondor does."""
    table = _Table(",", header=0)
    for option in (options or "").split(","):
        name, _, value = (part.strip().lower() for part in option.partition("="))
        number, rest = parse_leading_integer(value)
        if name in ("csv", "standard"):
            table = _Table("," if name == "csv" else ", \t")
        elif name == "header" and (value == "none" or not rest):
            table = replace(table, header=-1 if value == "none" else number)
        elif name == "skip" and not rest:
            table = replace(table, skip=number)
        elif name == "trim" and value in ("true", "false"):
            table = replace(table, trims=value == "true")
        elif name in ("sep", "comma_sep") and value:
            mark = {"true": ",", "false": ", \t"}.get(value, value[0])
            table = replace(table, separators=mark)
    return table


def _take_header(
    variables: tuple[str, ...], items: list[str], table: _Table
) -> tuple[tuple[str, ...], list[str]]:
    """Return the variables and the rows of a table without the row that names the variables.

    As with HTCondor, a row of other texts names none, and is a row as any other.
    """
    if not 0 <= table.header < len(items):
        return variables, items
    names = tuple(_split_row(items[table.header], _MOST_COLUMNS, table))
    if not names or not all(_NAMES.match(name) for name in names):
        return variables, items
    rows = items[: table.header] + items[table.header + 1 :]
    # as HTCondor counts: one row too few, and none where the first row has the names
    left_out = table.header - 1 + max(table.skip, 0) if table.header else 0
    return names, rows[left_out:]


def _parse_count(text: str, line: int, source: str) -> int:
    if not text.strip():
        return 1
    try:
        value = evaluate_integer("queue", text)
    except SubmitError:
        raise line_error(line, source, "Invalid Queue count expression") from None
    if value < 0:
        raise line_error(line, source, "Queue count out of range")
    return value


def _read_items(mode: str, rest: str, step: QueueStatement, sources: TextSources) -> list[str]:
    if step.items is not None:
        lines = list(step.items)
    elif rest.startswith("("):
        lines = [rest[1:-1].strip()] if rest[1:-1].strip() else []
    elif mode == "from":
        return _read_item_lines(rest, sources)
    else:
        lines = [rest]
    if mode == "from":
        return lines
    return [item for line in lines for item in re.split(r"[,\s]+", line) if item]


def _read_item_lines(name: str, sources: TextSources) -> list[str]:
    """Return the items of ``from FILE``, ``from -`` and ``from COMMAND |``."""
    if name.endswith("|"):
        text = sources.run_command(name[:-1].strip())
    elif name in ("-", "<"):
        text = sources.stdin()
    else:
        text = sources.read_file(name)
    return join_items(text.splitlines())


def _parse_slice(found: re.Match[str]) -> slice:
    return slice(*(int(part) if part and part not in "+-" else None for part in found.groups()))


def _split_item(item: str, variables: tuple[str, ...], table: _Table) -> dict[str, str]:
    """Split an item among the variables; the last one takes what is left."""
    values = dict.fromkeys((name.lower() for name in variables), "")
    if "\x1f" in item and table == _Table():
        parts = item.split("\x1f")
    else:
        parts = _split_row(item, len(variables), table)
    values.update(zip(values, parts, strict=False))
    return values


def _split_row(row: str, most: int, table: _Table) -> list[str]:
    """Split a row into at most so many parts, the last of which is the rest."""
    rest = row.strip(" \t") if table.trims else row
    separator = re.compile(f"[{re.escape(table.separators)}]")
    parts: list[str] = []
    while len(parts) < most - 1 and (found := separator.search(rest)) is not None:
        part, rest = rest[: found.start()], rest[found.end() :]
        parts.append(part.rstrip(" \t") if table.trims else part)
        rest = rest.lstrip(" \t") if table.trims else rest
    return [*parts, rest] if most and (rest or parts) else []
