"""Expand ``$(X)``, ``$(X:default)``, ``$ENV(X)``, ``$FN(...)`` and ``$$(X:default)`` in a value.

Why not ``htcondor2.Submit.expand``: inside the schedd it would read the
schedd's own environment (where the broker's password may be) whatever the
text says, and two macros that name each other keep it busy for ever. The
tests compare the two. See docs/decisions/030.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .budget import spend_nothing
from .errors import SubmitError, job_error, submit_error
from .functions import FORMATTED, FUNCTIONS, FunctionError

#: Macros inside macros inside ...; more than this is a circle.
MAX_DEPTH = 32
#: Characters of one expanded value, and macros filled in for it: a text can double 32 times over.
MAX_VALUE = 4 * 1024 * 1024
MAX_MACROS = 100_000

_START = re.compile(r"\$\$|\$([A-Za-z_]*)\(")
_REFERENCE = re.compile(r"\$([A-Za-z_]*)\(([^()$]*)(?=([()$]?))")
_PARENTHESIS = re.compile(r"[()]")
_NAME = re.compile(r"[A-Za-z0-9_./]+\Z")
#: What is after the colon; with any other character it is no macro.
_DEFAULT = re.compile(r"(?:[A-Za-z0-9_./$ ,\\:)]|\([^)]*)*\Z")
#: Attributes of the machine that pilots fill in, in lower case.
_KNOWN_TO_PILOTS = frozenset(
    {"arch", "condorscratchdir", "cpus", "disk", "machine", "memory", "name", "opsys"}
    | {"opsysandver"}
)
_MACHINE_REFERENCE = re.compile(r"\$\$\(\[?([^:()\]]*)(?::([^()]*))?\]?\)")


@dataclass
class Expander:
    """Expands values; ``lookup`` returns a macro's raw value, None if there is none.

    ``spend``: ``Budget.spend``; is told the characters of each value, and asked at each macro.
    """

    lookup: Callable[[str], str | None]
    env: Mapping[str, str]
    rng: random.Random = field(default_factory=random.Random)
    spend: Callable[[int], None] = spend_nothing
    #: names that were made of macros, in lower case
    composed: set[str] = field(default_factory=set)

    def expand(self, text: str) -> str:
        """Replace all macros; raises SubmitError for a circle or a bad function."""
        if "$" not in text:
            return text
        try:
            value = _Expansion(self).expand(text)
        except RecursionError:
            raise job_error(f"macros are nested too deep: {text[:60]}...") from None
        self.spend(len(value))
        return value


@dataclass
class _Expansion:
    """The expansion of one value."""

    source: Expander
    names: tuple[str, ...] = ()  #: the macros being expanded, outermost first
    spent: list[int] = field(default_factory=lambda: [0])  #: macros so far, shared by all depths

    def expand(self, text: str) -> str:
        """Return the text with all macros replaced; raises SubmitError."""
        pieces: list[str] = []
        closing = _match_parentheses(text)
        position = size = 0
        while (found := _START.search(text, position)) is not None:
            pieces.append(text[position : found.start()])
            if found[0] == "$$":  # match-time substitution: stays in the ad
                piece, position = "$$", found.end()
            else:
                self.spent[0] += 1
                if self.spent[0] > MAX_MACROS:
                    raise job_error(f"a value names more than {MAX_MACROS} macros")
                self.source.spend(0)
                piece, position = self._expand_reference(text, found, closing)
            pieces.append(piece)
            size += len(piece)
            if size > MAX_VALUE:
                raise _too_long(text)
        return "".join(pieces) + text[position:]

    def _expand_reference(
        self, text: str, found: re.Match[str], closing: Mapping[int, int]
    ) -> tuple[str, int]:
        end = closing.get(found.end() - 1)
        if end is None:
            return found[0], found.end()
        name, body = found[1], text[found.end() : end]
        try:
            if not name:
                value = self._expand_variable(body)
            elif name == "ENV":
                value = self._expand_environment(body)
            else:
                value = self._call(name, body)
        except FunctionError as error:
            raise job_error(f"${name}({body}): {error}") from None
        if value is None:
            return found[0], found.end()
        return value, end + 1

    def _expand_variable(self, body: str) -> str | None:
        name, colon, default = _split_at_colon(body)
        if "$(" in name:  # $(x$(Process))
            name = self.expand(name)
            self.source.composed.add(name.lower())
        if (name and not _NAME.match(name)) or not _DEFAULT.match(default):
            return None
        if name.lower() == "dollar":
            return "$"
        if self.source.lookup(name):
            return self.expand_macro(name)
        # as written, that is: what expands to nothing has a value all the same
        return self.expand(default) if colon else ""

    def _expand_environment(self, body: str) -> str | None:
        name, colon, default = body.partition(":")
        name = self.expand(name)
        if (name and not _NAME.match(name)) or not _DEFAULT.match(default):
            return None
        if name in self.source.env:
            # what is not UTF-8 cannot be in an ad
            return self.source.env[name].encode("utf-8", "replace").decode()
        return self.expand(default) if colon else "UNDEFINED"

    def _call(self, name: str, body: str) -> str | None:
        function = FUNCTIONS.get("F" if _is_filename_function(name) else name)
        if function is None:
            return None
        flags = name[1:].lower() if _is_filename_function(name) else ""
        arguments = self.expand(body).split(",")
        if function in FORMATTED:
            arguments[0] = arguments[0].strip()
        else:
            arguments = [part.strip() for part in arguments]
        return function(arguments, flags, self.expand_macro, self.source.rng)

    def expand_macro(self, name: str) -> str | None:
        """Return the expanded value of the macro ``name``; None if there is none."""
        raw = self.source.lookup(name)
        if raw is None:
            return None
        if name.lower() in self.names or len(self.names) >= MAX_DEPTH:
            circle = " -> ".join((*self.names, name.lower()))
            raise job_error(f"the macro $({name}) refers to itself: {circle}")
        return _Expansion(self.source, (*self.names, name.lower()), self.spent).expand(raw)


def replace_self(name: str, value: str, previous: str) -> str:
    """Replace references of ``value`` to its own name by the previous value (``X = $(X) y``)."""
    if "$(" not in value:
        return value
    pattern = re.compile(rf"\$\({re.escape(name)}(?::([^()]*))?\)", re.IGNORECASE)
    # before it is made: each line may double what the one before made
    if len(value) + len(pattern.findall(value)) * len(previous) > MAX_VALUE:
        raise _too_long(value)
    return pattern.sub(lambda found: previous or (found[1] or ""), value)


def _too_long(text: str) -> SubmitError:
    return job_error(f"a value is longer than {MAX_VALUE} characters: {text[:60]}...")


def find_references(text: str) -> set[str]:
    """Return the names (lower case) that ``text`` mentions in ``$(X)`` or ``$FN(X,Y)``."""
    names: set[str] = set()
    for function, body, end in _REFERENCE.findall(text):
        if not function and end:
            names.add(body.partition(":")[0].lower())
        elif function == "ENV" or function in FUNCTIONS or _is_filename_function(function):
            names.update(part.strip().lower() for part in body.split(","))
    return {name for name in names if _NAME.match(name)}


def fill_machine_defaults(command: str, text: str, by_pilot: bool = False) -> str:
    """Return ``text`` with each ``$$(Attr:default)`` replaced by its default.

    HTCondor fills these in from the machine's ad when the job starts. Pilots do that for
    ``by_pilot``: what all of them know of their machine. Raises SubmitError for others without
    a default.
    """

    def value(found: re.Match[str]) -> str:
        if by_pilot and found[1].lower() in _KNOWN_TO_PILOTS and "[" not in found[0]:
            return found[0]
        if found[2] is None:
            raise submit_error(
                f"{command} = {text}: {found[0]} is an attribute of the machine, which pilots "
                f"do not know here; give a default: $$({found[1]}:value)"
            )
        return found[2]

    return _MACHINE_REFERENCE.sub(value, text) if "$$(" in text else text


def _is_filename_function(name: str) -> bool:
    return re.fullmatch(r"F(?i:[fpduwnxbqa]*)", name) is not None


def _split_at_colon(body: str) -> tuple[str, str, str]:
    """Split ``name:default`` at the first colon that is not in brackets."""
    depth = 0
    for place, character in enumerate(body):
        if character == ":" and not depth:
            return body[:place], ":", body[place + 1 :]
        depth += (character == "(") - (character == ")")
    return body, "", ""


def _match_parentheses(text: str) -> dict[int, int]:
    """Map the index of each ``(`` that is closed to the index of its ``)``."""
    opened: list[int] = []
    closing: dict[int, int] = {}
    for found in _PARENTHESIS.finditer(text):
        if found[0] == "(":
            opened.append(found.start())
        elif opened:
            closing[opened.pop()] = found.start()
    return closing
