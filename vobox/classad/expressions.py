"""Values of expressions over job ads, parsed once and evaluated as seldom as possible.

Building the library's ad of 70 attributes costs 15 us, so an expression is
evaluated in an ad of only those attributes that it can reach, and the result
is remembered for every other job in which they read the same. An expression
that can reach more than the names it spells (``eval("...")``, a record,
``MY`` by itself) gets the whole ad and is not remembered.

Every expression is evaluated as if against an empty target ad, with ``CurrentTime`` set from
``now``, as HTCondor does. The length of an expression is limited, because the library's parser
recurses without a limit. Ads are reused where possible: the library leaks memory with every ad
that is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import classad2

from .ad import Ad, ParseError, parse
from .literals import ERROR, NOT_LITERAL, UNDEFINED, literal_value

#: Results remembered within one query.
MAX_REMEMBERED = 512

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE_MY = re.compile(r"\bmy\b(?!\s*\.\s*[A-Za-z_])", re.IGNORECASE)
#: Words that look at more than the names an expression spells, or differ each time.
_UNBOUNDED = frozenset(
    {"countmatches", "debug", "eval", "evalineachcontext", "parent", "random", "self"}
    | {"toplevel", "unparse"}
)
_NO_TARGET = classad2.ClassAd()
#: What the library raises for an expression whose value Python cannot hold.
_NO_VALUE = (ParseError, ValueError, OverflowError, TypeError)


class Compiled(NamedTuple):
    tree: classad2.ExprTree
    names: tuple[str, ...]  #: lower-case names that it may look up, each once
    unbounded: bool  #: may look up others, too


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Compiled:
    """Parse an expression; raises ParseError, also for one that is too long."""
    try:
        tree = parse(text)
    except ValueError as error:  # a NUL byte, or text that is not UTF-8
        raise ParseError(str(error)) from None
    code = _STRING.sub('""', text)
    names = dict.fromkeys(name.lower() for name in _NAME.findall(code))
    unbounded = (
        any(sign in code for sign in "['")
        or not _UNBOUNDED.isdisjoint(names)
        or _BARE_MY.search(code) is not None
    )
    return Compiled(tree, tuple(names), unbounded)


def is_expression(text: str) -> bool:
    try:
        compile_expression(text)
    except ParseError:
        return False
    return True


def number_of(value: Any) -> float | None:
    """A number or truth value as a number that has an integer part; None for anything else."""
    if value is UNDEFINED or value is ERROR:  # IntEnum members: numbers by accident
        return None
    if isinstance(value, (int, float)) and abs(value) < 2**63:
        return value
    return None


class Evaluator:
    """Looks up and evaluates within one query.

    ``extra`` holds attributes that every job seems to have (``ServerTime``);
    the ads themselves are the ledger's and are not written to. ``now``: epoch
    seconds, which expressions know as ``CurrentTime``.
    """

    def __init__(self, now: float, extra: Mapping[str, str] | None = None) -> None:
        self.now = int(now)
        self.extra = Ad(extra)
        self._results: dict[tuple[str | None, ...], Any] = {}
        self._clock = {"CurrentTime": str(self.now)}
        #: lower-case names → an ad of these, to be filled
        self._scopes: dict[frozenset[str], classad2.ClassAd] = {}

    def text(self, ad: Ad, name: str) -> str | None:
        """The attribute's expression text, None if the job has no such attribute."""
        try:
            return ad[name]
        except KeyError:
            return self.extra.get(name)

    def attribute(self, ad: Ad, name: str) -> Any:
        """The attribute's value, UNDEFINED if the job has no such attribute."""
        text = self.text(ad, name)
        return UNDEFINED if text is None else self.value(ad, text)

    def number(self, ad: Ad, name: str, default: float = 0.0) -> float:
        """The attribute's value where it is a finite number, else ``default``."""
        value = number_of(self.attribute(ad, name))
        return default if value is None else value

    def string(self, ad: Ad, name: str) -> str:
        """The attribute's value where it is a string, else ""."""
        value = self.attribute(ad, name)
        return value if isinstance(value, str) else ""

    def value(self, ad: Ad, text: str) -> Any:
        """The expression's value in this job; ERROR where it cannot be evaluated."""
        value = literal_value(text)
        if value is not NOT_LITERAL:
            return value
        try:
            reached = self._reach(ad, text)
            if reached is None:
                return self._evaluate(text, {**self.extra, **ad})
            # The names follow from the texts in the order they were found.
            key = (text, *reached.values())
            if key not in self._results:
                if len(self._results) >= MAX_REMEMBERED:
                    self._results.clear()
                known = {name: found for name, found in reached.items() if found is not None}
                is_alone = "my" not in reached and "target" not in reached
                self._results[key] = self._evaluate(text, known, is_alone)
            return self._results[key]
        except _NO_VALUE:
            return ERROR

    def holds(self, ad: Ad, text: str) -> bool:
        """Whether a constraint selects this job; undefined, error and strings do not."""
        return bool(number_of(self.value(ad, text)))

    def _reach(self, ad: Ad, text: str) -> dict[str, str | None] | None:
        """Texts of all attributes that the expression can reach; None if that is not known."""
        compiled = compile_expression(text)
        if compiled.unbounded:
            return None
        reached: dict[str, str | None] = {}
        pending = list(compiled.names)
        while pending:
            name = pending.pop()
            if name in reached:
                continue
            found = reached[name] = self.text(ad, name)
            if found is not None and literal_value(found) is NOT_LITERAL:
                inner = compile_expression(found)
                if inner.unbounded:
                    return None
                pending.extend(inner.names)
        return reached

    def _evaluate(self, text: str, attributes: Mapping[str, str], is_alone: bool = False) -> Any:
        """``is_alone``: there is no ``MY.`` and no ``TARGET.`` in it, nor in what it reaches."""
        tree = compile_expression(text).tree
        # matching with a target takes ten times as long
        if is_alone and (filled := self._filled(attributes)) is not None:
            return tree.eval(filled)
        scope = Ad({**self._clock, **attributes}).classad()
        # Without a target ad the library knows no ``MY.``; with one it knows
        # no ``CurrentTime``.
        return tree.eval(scope, _NO_TARGET)

    def _filled(self, attributes: Mapping[str, str]) -> classad2.ClassAd | None:
        """An ad of these, if all are plain literals; one for all that have the same names.

        Each ``ClassAd`` made leaks 140 bytes in the library (25.x): a schedd's policies alone
        would make millions a day.
        """
        values: dict[str, Any] = {"currenttime": self.now}
        for name, text in attributes.items():
            value = values[name] = literal_value(text)
            if value is NOT_LITERAL or value is UNDEFINED or value is ERROR:
                return None
            # half characters end the process when they are put into an ad
            if isinstance(value, str) and not (value.isascii() and value.isprintable()):
                return None
        names = frozenset(values)
        scope = self._scopes.get(names)
        if scope is None:
            if len(self._scopes) >= MAX_REMEMBERED:
                self._scopes.clear()
            scope = self._scopes[names] = classad2.ClassAd()
        for name, value in values.items():
            scope[name] = value
        return scope
