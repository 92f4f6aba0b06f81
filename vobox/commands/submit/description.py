"""A description, read to its end: what every queue statement sees.

Assignments apply to the queue statements after them; ``if`` blocks are
decided where they stand, and ``include`` takes in another text there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .conditions import Conditions
from .errors import Refusal, bad_append, bad_job, bad_line
from .logical_lines import Line, is_queue, read_lines
from .macros import Expander, references, replace_self
from .sources import Sources

#: HTCondor's own limit: texts that take in texts.
MAX_INCLUDES = 8
_INCLUDE = re.compile(
    r"(?P<words>(?:\s+(?:command|output|ifexists?))*)(?P<into>\s+into\s+\S+)?\s*:(?P<what>.*)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Assigned:
    """``key = value`` as it stands: value not expanded, key with ``MY.`` for ``+``."""

    key: str
    value: str


Symbols = dict[str, Assigned]  #: by the key in lower case


@dataclass(frozen=True)
class QueueStep:
    """One queue statement and the assignments before it."""

    line: int
    arguments: str
    items: tuple[str, ...] | None  #: its inline lines, if it has any
    symbols: Symbols
    mentions: frozenset[str] = frozenset()  #: macros that the statement itself uses


@dataclass
class Description:
    """``steps`` is empty when there is no queue statement."""

    source: str
    steps: list[QueueStep] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CommandLine:
    """What the command line adds: ``k=v`` before, ``-append`` and ``-queue`` at the end."""

    before: Sequence[tuple[str, str]] = ()
    append: Sequence[str] = ()
    queue: str = ""  #: a whole queue statement, or ""


def read_description(
    text: str,
    source: str,
    extra: CommandLine,
    env: Mapping[str, str],
    builtin: Mapping[str, str],
    sources: Sources,
) -> Description:
    """Read ``text`` (of the file ``source``); raises Refusal with the line that is wrong.

    ``builtin``: macros that are there before any assignment, by lower-case name.
    """
    return _Reader(source, extra, env, builtin, sources).read(text)


class _Reader:
    def __init__(
        self,
        source: str,
        extra: CommandLine,
        env: Mapping[str, str],
        builtin: Mapping[str, str],
        sources: Sources,
    ) -> None:
        self._sources = sources
        self._result = Description(source)
        self._texts = [source]  #: the description and the texts that it takes in, innermost last
        self._extra = extra
        self._builtin = builtin
        self._symbols: Symbols = {
            name.lower(): Assigned(name, value) for name, value in extra.before
        }
        self._expander = Expander(self._lookup, env)
        self._conditions = Conditions(self._expander, self._is_defined)
        self._append = list(_append_lines(extra.append))

    def read(self, text: str) -> Description:
        self._read(text)
        if self._extra.queue and not self._result.steps:
            (line,) = read_lines(self._extra.queue, "-queue")
            self._queue(line)
        return self._result

    def _read(self, text: str) -> None:
        source, line_number = self._texts[-1], 0
        opened = self._conditions.open
        for line in read_lines(text, source):
            line_number = line.number
            try:
                self._take(line)
                if self._conditions.open < opened:
                    raise bad_job(f"{line.kind} without matching if")
            except Refusal as refusal:
                if "on Line" in refusal.stderr:
                    raise
                reason = refusal.stderr.strip().removeprefix("ERROR: ")
                raise bad_line(line.number, source, reason) from None
        if self._conditions.open > opened:
            raise bad_line(line_number, source, "if without matching endif")

    def _take(self, line: Line) -> None:
        if line.kind in ("if", "elif", "else", "endif"):
            self._conditions.take(line.kind, line.value)
        elif not self._conditions.active:
            return
        elif line.kind == "set":
            self._assign(line)
        elif line.kind == "append":
            known = self._symbols.get(line.key.lower())
            before = f"{known.value} " if known and known.value else ""
            self._assign(replace(line, value=before + line.value))
        elif line.kind == "queue":
            if self._extra.queue:
                raise bad_job("-queue argument conflicts with queue statement in submit file")
            if len(self._texts) > 1:
                raise bad_job("an included text cannot hold a queue statement")
            self._queue(line)
        elif line.kind == "warning":
            self._result.warnings.append(f"WARNING: {self._expander.expand(line.value)}\n")
        elif line.kind == "error":
            raise bad_job(self._expander.expand(line.value))
        elif line.kind == "include":
            self._include(line)
        else:
            what = " ".join(self._expander.expand(line.value).split())
            raise bad_job(f"use {what}: this schedd has no templates; write its lines out")

    def _include(self, line: Line) -> None:
        found = _INCLUDE.match(" " + line.value)
        what = self._expander.expand(found["what"]).strip() if found else ""
        if found is None or not what:
            raise bad_job("include needs ': FILE', or 'command : COMMAND'")
        if found["into"]:
            raise bad_job("include into a file is not supported; run the command beforehand")
        if len(self._texts) > MAX_INCLUDES:
            raise bad_job(f"more than {MAX_INCLUDES} texts include each other")
        words = found["words"].lower()
        if "command" in words or "output" in words or what.endswith("|"):
            text = self._sources.output(what.removesuffix("|").strip())
        elif "ifexist" in words and not self._sources.exists(what):
            return
        else:
            text = self._sources.file(what, "include file")
        self._texts.append(what)
        self._read(text)
        self._texts.pop()

    def _queue(self, line: Line) -> None:
        for appended in self._append:
            self._assign(appended)
        arguments = self._expander.expand(line.value)
        mentions = frozenset(references(line.value))
        step = QueueStep(line.number, arguments, line.items, dict(self._symbols), mentions)
        self._result.steps.append(step)

    def _assign(self, line: Line) -> None:
        key, value = line.key, line.value
        if key[0] in "+-":
            value = value if key[0] == "+" else ""
            key = "MY." + key[1:]
        key = self._expander.expand(key)
        if not key.replace(".", "").replace("_", "").isalnum() or not key.isascii():
            raise bad_job(f"{key!r} is not a name")
        name = key.lower()
        known = self._symbols.get(name)
        value = replace_self(key, value, known.value if known else "")
        self._symbols[name] = Assigned(known.key if known else key, value)

    def _lookup(self, name: str) -> str | None:
        known = self._symbols.get(name.lower())
        return known.value if known else self._builtin.get(name.lower())

    def _is_defined(self, name: str) -> bool:
        return bool(self._lookup(name))


def _append_lines(texts: Sequence[str]) -> Iterator[Line]:
    for number, text in enumerate(texts, start=1):
        try:
            lines = list(read_lines(text, "<append>"))
        except Refusal:
            raise bad_append(number, f"on Line 0 of <append>: {text}") from None
        for line in lines:
            if line.kind != "set" or is_queue(text):
                raise bad_append(number, f"only assignments can be appended: {text}")
            yield line
