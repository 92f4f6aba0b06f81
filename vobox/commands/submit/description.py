"""Read a description to its end: the assignments that each queue statement sees.

Assignments apply to the queue statements after them; ``if`` blocks are
decided where they stand, and ``include`` takes in another text there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .budget import spend_nothing
from .conditions import IfBlocks
from .errors import SubmitError, append_error, include_error, job_error, line_error
from .logical_lines import LogicalLine, is_queue, read_lines
from .macros import Expander, find_references, replace_self
from .sources import TextSources

#: HTCondor's own limit: texts that take in texts.
MAX_INCLUDES = 8
#: Macros that have a value only later, but are defined.
_OF_EACH_JOB = frozenset(
    {"cluster", "clusterid", "joblistid", "process", "procid", "jobid", "taskid"}
    | {"step", "row", "itemindex"}
)
_INCLUDE = re.compile(
    r"(?P<words>(?:\s+(?:command|output|ifexists?))*)(?P<into>\s+into\s+\S+)?\s*:(?P<what>.*)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Assignment:
    """``key = value`` as it stands: value not expanded, key with ``MY.`` for ``+``."""

    key: str
    value: str


Symbols = dict[str, Assignment]  #: by the key in lower case


class Macros:
    """The macros' values, not expanded.

    Apart from what reads or uses a description, which refers to it: in a cycle, the description's
    values and files would be in memory until the garbage collector comes by.
    """

    def __init__(
        self,
        symbols: Symbols,
        builtin: Mapping[str, str],
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Take these, which may change.

        :param symbols: the description's assignments
        :param builtin: macros that exist before any assignment, by lower-case name
        :param variables: the queue statement's own, which hide the others, by lower-case name
        """
        self.symbols = symbols
        self.builtin = builtin
        self.variables = variables

    def find(self, name: str) -> str | None:
        """Return a macro's value, None if there is none."""
        key = name.lower()
        if key in self.variables:
            return self.variables[key]
        known = self.symbols.get(key)
        return known.value if known else self.builtin.get(key)

    def is_defined(self, name: str) -> bool:
        """Return whether ``if defined`` holds for a name."""
        return name.lower() in _OF_EACH_JOB or bool(self.find(name))


@dataclass(frozen=True)
class QueueStatement:
    """One queue statement, and what there is between it and the one before.

    Not all that is before it: a description may have a hundred thousand of both.
    """

    line: int
    arguments: str
    items: tuple[str, ...] | None  #: its inline lines, if it has any
    symbols: Symbols  #: assignments
    mentions: frozenset[str] = frozenset()  #: macros that it and other lines use


@dataclass
class Description:
    """A description; ``queue_statements`` is empty if it has none."""

    source: str
    queue_statements: list[QueueStatement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ExtraLines:
    """What the command line adds: ``k=v`` before, ``-append`` and ``-queue`` at the end."""

    before: Sequence[tuple[str, str]] = ()
    append: Sequence[str] = ()
    queue: str = ""  #: a whole queue statement, or ""


def read_description(
    text: str,
    source: str,
    extra: ExtraLines,
    env: Mapping[str, str],
    builtin: Mapping[str, str],
    sources: TextSources,
    spend: Callable[[int], None] = spend_nothing,
) -> Description:
    """Read the text of a description.

    :param source: its file's name, for errors
    :param extra: what the command line adds
    :param env: the submitter's environment
    :param builtin: macros that exist before any assignment, by lower-case name
    :param sources: what the description may include
    :param spend: ``Budget.spend``
    :raises SubmitError: with the number of the wrong line
    """
    return _DescriptionReader(source, extra, env, builtin, sources, spend).read(text)


class _DescriptionReader:
    """Reads one description."""

    def __init__(
        self,
        source: str,
        extra: ExtraLines,
        env: Mapping[str, str],
        builtin: Mapping[str, str],
        sources: TextSources,
        spend: Callable[[int], None],
    ) -> None:
        self._sources = sources
        self._spend = spend
        self._result = Description(source)
        self._texts = [source]  #: the description and the texts that it takes in, innermost last
        self._extra = extra
        self._symbols: Symbols = {
            name.lower(): Assignment(name, value) for name, value in extra.before
        }
        macros = Macros(self._symbols, builtin)
        self._expander = Expander(macros.find, env, spend=spend)
        self._conditions = IfBlocks(self._expander, macros.is_defined)
        #: since the last queue statement: assignments, and macros that other lines use
        self._assigned = self._symbols.copy()
        self._mentioned: set[str] = set()
        self._append = list(_append_lines(extra.append))

    def read(self, text: str) -> Description:
        """Read the text; raises SubmitError."""
        end = self._read(text)
        if not self._result.queue_statements:
            # as HTCondor since 25: a description without a queue statement is one job
            (line,) = read_lines(self._extra.queue or "queue", "-queue")
            self._queue(replace(line, number=end))
        return self._result

    def _read(self, text: str) -> int:
        """Read the innermost text; returns the number of its last line that says something."""
        source, line_number = self._texts[-1], 0
        opened = self._conditions.depth
        for line in read_lines(text, source, lambda: not self._conditions.active):
            line_number = line.number
            try:
                self._handle_line(line)
                if self._conditions.depth < opened:
                    raise job_error(f"{line.kind} without matching if")
            except SubmitError as refusal:
                raise line_error(line.number, source, refusal.reason) from None
        # as in HTCondor, a queue statement ends the description, which may be in an if
        if self._conditions.depth > opened and not self._result.queue_statements:
            where = f'{"|" if len(self._texts) > 1 else ""}Submit:-1:Error "{source}"'
            reason = f"endif(s) not found before end-of-file\n{where}, Line {line_number}: "
            raise line_error(line_number, source, reason)
        return line_number

    def _handle_line(self, line: LogicalLine) -> None:
        self._spend(0)
        if line.kind != "set":
            self._mentioned |= find_references(line.value) | _find_defined(line)
        if line.kind in ("if", "elif", "else", "endif"):
            self._conditions.handle_keyword(line.kind, line.value)
        elif line.kind == "skipped":
            return
        elif line.kind == "set":
            self._assign(line)
        elif line.kind == "append":
            known = self._symbols.get(line.key.lower())
            before = f"{known.value} " if known and known.value else ""
            self._assign(replace(line, value=before + line.value))
            if known:
                self._mentioned.add(line.key.lower())
        elif line.kind == "queue":
            if self._extra.queue:
                raise job_error("-queue argument conflicts with queue statement in submit file")
            if len(self._texts) > 1:
                raise job_error("an included text cannot hold a queue statement")
            self._queue(line)
        elif line.kind == "warning":
            self._result.warnings.append(f"WARNING: {self._say('Warning', line)}\n")
        elif line.kind == "error":
            bar = "|" if len(self._texts) > 1 else ""
            said = [
                each.strip().replace("WARNING: ", "\n|Submit:0:", 1)
                for each in self._result.warnings
            ]
            what = self._say("Error", line) + "".join(reversed(said))
            raise job_error(f"\n{bar}Submit:-1:{what}")
        elif line.kind == "include":
            self._include(line)
        else:
            what = " ".join(self._expander.expand(line.value).split())
            raise job_error(f"use {what}: this schedd has no templates; write its lines out")

    def _say(self, kind: str, line: LogicalLine) -> str:
        """Return the text of an error or a warning that the description gives itself."""
        text = self._expander.expand(line.value)
        return f'{kind} "{self._texts[-1]}", Line {line.number}: {text}'

    def _include(self, line: LogicalLine) -> None:
        found = _INCLUDE.match(" " + line.value)
        what = self._expander.expand(found["what"]).strip() if found else ""
        if found is None or not what:
            raise job_error("include needs ': FILE', or 'command : COMMAND'")
        if found["into"]:
            raise job_error("include into a file is not supported; run the command beforehand")
        if len(self._texts) > MAX_INCLUDES:
            raise job_error(f"more than {MAX_INCLUDES} texts include each other")
        words, depth = found["words"].lower(), len(self._texts)
        try:
            if "command" in words or "output" in words or what.endswith("|"):
                text = self._sources.run_command(what.removesuffix("|").strip())
            elif "ifexist" in words and not self._sources.exists(what):
                return
            else:
                text = self._sources.read_file(what)
            self._texts.append(what)
            self._read(text)
        except SubmitError as refusal:
            raise include_error(what, depth, refusal) from None
        self._texts.pop()

    def _queue(self, line: LogicalLine) -> None:
        for appended in self._append:
            self._assign(appended)
        arguments = self._expander.expand(line.value)
        items = " ".join(item for item in line.items or () if "$" in item)
        mentions = frozenset(self._mentioned | find_references(f"{line.value} {items}"))
        step = QueueStatement(line.number, arguments, line.items, self._assigned, mentions)
        self._assigned, self._mentioned = {}, set()
        self._result.queue_statements.append(step)

    def _assign(self, line: LogicalLine) -> None:
        key, value = line.key, line.value
        if key[0] in "+-":
            value = value if key[0] == "+" else ""
            key = "MY." + key[1:]
        key = self._expander.expand(key)
        if not key.replace(".", "").replace("_", "").isalnum() or not key.isascii():
            raise job_error(f"{key!r} is not a name")
        name = key.lower()
        known = self._symbols.get(name)
        before = known.value if known else ""
        given, value = value, replace_self(key, value, before)
        if known and value != given:  # HTCondor counts it as used
            self._mentioned.add(name)
        self._spend(len(value) - len(before))
        self._symbols[name] = self._assigned[name] = Assignment(known.key if known else key, value)


def _find_defined(line: LogicalLine) -> set[str]:
    """Return the name (lower case) in ``if defined NAME``."""
    words = line.value.lower().split()
    return {words[-1]} if line.kind in ("if", "elif") and "defined" in words[:-1] else set()


def _append_lines(texts: Sequence[str]) -> Iterator[LogicalLine]:
    for number, text in enumerate(texts, start=1):
        try:
            lines = list(read_lines(text, "<append>"))
        except SubmitError:
            raise append_error(number, f"on Line 0 of <append>: {text}") from None
        for line in lines:
            if line.kind != "set" or is_queue(text):
                raise append_error(number, f"only assignments can be appended: {text}")
            yield line
