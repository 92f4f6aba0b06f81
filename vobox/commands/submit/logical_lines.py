"""Split the text of a description into logical lines that know their numbers.

Rules (HTCondor 25.14): every physical line is trimmed at both ends; one that
ends in ``\\`` goes on in the next, with nothing put in between; a comment
inside such a run counts as blank, and the run goes on if the comment ends in
``\\``, too; a comment outside swallows nothing. ``key @=tag`` opens a text of
such lines that ends at a line ``@tag``, and a queue statement whose ``(`` is not closed
on its line takes the lines up to one that begins with ``)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from .errors import dag_error, line_error

#: Bytes of a description. HTCondor sets no limit; this one keeps a mistaken
#: argument (a data file) from being held in the schedd's memory line by line.
MAX_DESCRIPTION = 4 * 1024 * 1024

_ASSIGNMENT = re.compile(r"([-+]?[A-Za-z0-9_.$()]+)\s*=(.*)\Z", re.DOTALL)
_HEREDOC = re.compile(r"([-+]?[A-Za-z0-9_.]+)\s*@=\s*(\S*)\Z")
_APPEND = re.compile(r"([A-Za-z0-9_.$()]+)\s+\+=(.*)\Z", re.DOTALL)
#: A queue statement; ``iterate =`` is an assignment.
_QUEUE = re.compile(r"queue(?=\s|\Z)|iter(?:a(?:te?)?)?(?=\s+[^=+@\s]|\Z)", re.IGNORECASE)
_WORD = re.compile(
    r"(?:@(?=include))?(if|elif|else|endif|include|use|error|warning)(?![\w.])", re.IGNORECASE
)
_CONDITION = re.compile(r"(?:if|elif|else|endif)(?=\s|\Z)", re.IGNORECASE)
#: What begins a line of a DAGMan file.
_DAG_LINE = re.compile(
    r"(?:job|provisioner|final|service|splice|subdag|parent|submit-description|done|pre_skip|script"
    r"|priority|vars|category|maxjobs|abort-dag-on|config|env|set_job_attr|dot|jobstate_log"
    r"|node_status_file|save_point_file|reject)(?=\s|\Z)",
    re.IGNORECASE,
)
_FROM_STDIN = re.compile(r"(?<![\w.])from(?:\s+|\s*\[[-+:\d\s]*\]\s*)-\Z", re.IGNORECASE)
#: The name of a description that comes from there.
STDIN = "<stdin>"
#: Macros inside macros whose brackets are looked at.
_DEPTH = 32
_MACRO = re.compile(r"\$[A-Za-z_]*\([^()]*\)")
_MODE = re.compile(r"(?<![\w.])(?:in|from|matching)(?=[\s(\[]|\Z)", re.IGNORECASE)
#: What may be between these words and the items.
_QUALIFIERS = re.compile(
    r"\s*(?:(?:files|dirs|any|table(?:\([^()]*\))?)(?=[\s(\[])\s*|\[[^\]]*\]\s*)*", re.IGNORECASE
)


@dataclass(frozen=True)
class LogicalLine:
    """One statement. ``number`` is that of its last physical line, as HTCondor reports it."""

    number: int
    #: "set", "append", "queue", "skipped", or the keyword: "if" "elif" "else" "endif" "include" ...
    kind: str
    key: str = ""  #: as typed, e.g. ``+Foo``
    value: str = ""  #: right-hand side; arguments of a queue statement or keyword
    items: tuple[str, ...] | None = None  #: inline lines of a queue statement


def join_items(lines: Iterable[str | None]) -> list[str]:
    """Return the items that the lines of a file are: ``\\`` joins one with the next.

    Every line is an item, also an empty one and one with a ``#``.
    """
    items, begun = [], ""
    for line in lines:
        line = (line or "").strip()
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        items.append((begun + line).strip())
        begun = ""
    return [*items, begun.strip()] if begun else items


def is_queue(text: str) -> bool:
    """Return whether the text is a queue statement."""
    return _QUEUE.match(text.strip()) is not None


def read_lines(
    text: str, source: str, skips: Callable[[], bool] = lambda: False
) -> Iterator[LogicalLine]:
    """Yield the statements of ``text``; raises SubmitError for a line that is not one.

    :param source: names the description in the error, e.g. its file name
    :param skips: whether a branch that does not count leaves out the next line, whatever it says
    """
    physical = _PhysicalLines(text.removesuffix("\n").split("\n"))
    while (logical := physical.read_logical_line()) is not None:
        if not logical.isprintable() and (problem := _find_unprintable(logical)):
            raise line_error(physical.number, source, problem)
        if skips() and not _CONDITION.match(logical):
            yield LogicalLine(physical.number, "skipped")
        else:
            yield _parse_statement(logical, physical, source)


class _PhysicalLines:
    """The lines of a text, read one by one."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.number = 0

    def read_line(self) -> str | None:
        """Return the next physical line, trimmed; None at the end."""
        if self.number >= len(self._lines):
            return None
        self.number += 1
        return self._lines[self.number - 1].strip()

    def read_logical_line(self) -> str | None:
        """Return the next line, with those that continue it; None at the end."""
        while (line := self.read_joined_line()) is not None:
            if line:
                return line
        return None

    def read_joined_line(self) -> str | None:
        """Return the next line that is no comment, also an empty one; None at the end."""
        while (line := self.read_line()) is not None:
            if line.startswith("#"):
                continue
            pieces = []
            while line.endswith("\\"):
                pieces.append(line[:-1])
                line = self.read_line() or ""
                if line.startswith("#"):
                    line = "\\" if line.endswith("\\") else ""
            return "".join((*pieces, line)).strip()
        return None


def _find_unprintable(text: str) -> str:
    """Return what ads and messages cannot carry, if ``text`` holds it; else ""."""
    if "\0" in text:
        return "the line holds a zero byte"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "the line is not UTF-8"
    return ""


def _parse_statement(text: str, physical: _PhysicalLines, source: str) -> LogicalLine:
    if word := _QUEUE.match(text):
        return _parse_queue(text[word.end() :].strip(), physical, source)
    if heredoc := _HEREDOC.match(text):
        key, tag = heredoc.groups()
        return LogicalLine(physical.number, "set", key, _read_until(f"@{tag}", physical, source))
    if addition := _APPEND.match(text):
        return LogicalLine(physical.number, "append", addition[1], addition[2].strip())
    if (assignment := _ASSIGNMENT.match(text)) and assignment[1].lower() != "queue":
        return LogicalLine(physical.number, "set", assignment[1], assignment[2].strip())
    if word := _WORD.match(text):
        rest = text[word.end() :].strip()
        if word[1].lower() in ("error", "warning"):
            _, colon, rest = (part.strip() for part in rest.partition(":"))
            if not colon:
                raise line_error(physical.number, source, f"{word[1]} needs ': TEXT'")
        return LogicalLine(physical.number, word[1].lower(), "", rest)
    if _DAG_LINE.match(text):
        raise dag_error(physical.number, source)
    key = re.split("[:=]", text, maxsplit=1)[0]
    where = f'Submit:-1:Error "{source}", Line {physical.number}'
    if key == text or " " in key.strip():
        problem = ""
    elif text[len(key)] == "=" and key.strip().lower() != "queue":
        problem = f"\n{where}: Illegal Identifier: <{key.strip()}>"
    else:
        problem = f"invalid queue statement.\n{where}: cannot parse: {text}"
    raise line_error(physical.number, source, problem)


def _read_until(end: str, physical: _PhysicalLines, source: str) -> str:
    lines: list[str] = []
    while (line := physical.read_logical_line()) is not None:
        if line == end:
            return "\n".join(lines)
        lines.append(line)
    problem = f"\nSubmit:-1:Found end-of-file while scanning for '{end}' in {source}"
    raise line_error(physical.number, source, problem)


def _find_inline_list(arguments: str) -> int:
    """Return where a queue statement opens a list that it does not close on its line, else -1."""
    masked = arguments
    for _ in range(_DEPTH):  # from the inner macros to the outer ones: their brackets are no list's
        masked, found = _MACRO.subn(lambda macro: "_" * len(macro[0]), masked)
        if not found:
            break
    mode = _MODE.search(masked)
    if mode is None:
        return -1
    begin = cast("re.Match[str]", _QUALIFIERS.match(masked, mode.end())).end()
    return begin if masked.startswith("(", begin) and not masked.endswith(")") else -1


def _parse_queue(rest: str, physical: _PhysicalLines, source: str) -> LogicalLine:
    if source == STDIN and _FROM_STDIN.search(rest):  # what follows the description are its items
        number = physical.number
        items = join_items(iter(physical.read_line, None))
        return LogicalLine(number, "queue", "", rest, tuple(items))
    begin = _find_inline_list(rest)
    if begin < 0:
        return LogicalLine(physical.number, "queue", "", rest)
    head, first = rest[:begin], rest[begin + 1 :].strip()
    items = [first] if first else []
    start = physical.number
    while (line := physical.read_joined_line()) is not None:
        if line.startswith(")"):
            return LogicalLine(physical.number, "queue", "", head.rstrip(), tuple(items))
        items.append(line)  # an empty line is an item, too
    problem = "Reached end of file without finding closing brace ')' for Queue command on line"
    raise line_error(physical.number, source, f"{problem} {start}")
