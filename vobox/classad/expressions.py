"""Values of expressions over job ads, parsed once and evaluated as seldom as possible.

Making the library's ad of 70 attributes takes most of the time, so an expression is evaluated in
an ad of only those attributes that it can refer to, directly or through others, and the result is
remembered for all other jobs in which these are the same. An expression that can refer to more
than the names it spells (``eval("...")``, a record, ``MY`` by itself) is evaluated in the whole ad.

Every expression is evaluated as if against an empty target ad, with ``CurrentTime`` set from
``now``, as HTCondor does. The length of an expression is limited, because the library's parser
recurses without a limit. Ads are reused where possible: the library (25.x) leaks 140 bytes with
every ad that is made, and policies alone would make millions a day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import classad2

from .ad import Ad, ParseError, evaluable, parse
from .cost import Charge, Stopwatch, charge_nobody
from .literals import ERROR, NOT_LITERAL, UNDEFINED, TimeValue, literal_value
from .regexps import limit_regexps

#: Results remembered within one query.
MAX_REMEMBERED = 512

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A word that is no function's name.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\b(?!\s*\()")
#: Words that are no attribute's name, unless it is quoted.
_KEYWORDS = frozenset({"error", "false", "is", "isnt", "true", "undefined"})
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
    """A parsed expression, and which attributes of the job its value may depend on."""

    tree: classad2.ExprTree
    names: tuple[str, ...]  #: lower-case names that it may look up, each once
    unbounded: bool  #: may look up others, too


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Compiled:
    """Parse an expression; raises ParseError, also for one that is too long."""
    try:
        tree = parse(limit_regexps(text))
    except ValueError as error:  # a NUL byte, or text that is not UTF-8
        raise ParseError(str(error)) from None
    code = _STRING.sub('""', text)
    names = dict.fromkeys(name.lower() for name in _NAME.findall(code))
    unbounded = (
        any(sign in code for sign in "['")
        or not _UNBOUNDED.isdisjoint(word.lower() for word in _WORD.findall(code))
        or _BARE_MY.search(code) is not None
    )
    return Compiled(tree, tuple(name for name in names if name not in _KEYWORDS), unbounded)


def is_expression(text: str) -> bool:
    """Tell whether the ClassAd library can parse the text."""
    try:
        compile_expression(text)
    except ParseError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Tell whether a value is a number, of any size, or a truth value."""
    # not isinstance: UNDEFINED and ERROR are numbers by accident
    return type(value) in (int, float, bool)


def number_of(value: Any) -> float | None:
    """Return a finite number or a truth value as a number; None for anything else."""
    return value if is_number(value) and abs(value) < 2**63 else None


class Evaluator:
    """Looks up attributes and evaluates expressions within one query.

    ``extra`` holds attributes that every job seems to have (``ServerTime``);
    the ads themselves are the ledger's and are not written to. ``now``: epoch
    seconds, which expressions know as ``CurrentTime``.
    """

    def __init__(
        self, now: float, extra: Mapping[str, str] | None = None, charge: Charge = charge_nobody
    ) -> None:
        """``charge`` is told what each evaluation took; what it raises ends the evaluation."""
        self._stopwatch = Stopwatch(charge)
        self.now = int(now)
        self.extra = Ad(extra)
        #: those that are no literals
        self._compiled: dict[str, Compiled] = {}
        self._results: dict[tuple[str | None, ...], Any] = {}
        #: lower-case names → an ad of these, to be filled
        self._scopes: dict[tuple[str, ...], classad2.ClassAd] = {}

    def text(self, ad: Ad, name: str) -> str | None:
        """Return the attribute's expression text, None if the job has no such attribute."""
        found = ad.get(name)
        return self.extra.get(name) if found is None else found

    def attribute(self, ad: Ad, name: str) -> Any:
        """Return the attribute's value, UNDEFINED if the job has no such attribute."""
        return self.value(ad, self.text(ad, name))

    def number(self, ad: Ad, name: str, default: float = 0.0) -> float:
        """Return the attribute's value where it is a finite number, else ``default``.

        ``name``: of an attribute of ``ad``, or of those that every ad has in addition.
        """
        text = self.text(ad, name)
        return default if text is None else self.read_number(ad, text, default)

    def string(self, ad: Ad, name: str) -> str:
        """Return the attribute's value where it is a string, else ""."""
        text = self.text(ad, name)
        return "" if text is None else self.read_string(ad, text)

    def read_number(self, ad: Ad, text: str | None, default: float = 0.0) -> float:
        """Return the expression's value in this job if it is a finite number, else ``default``.

        ``text``: an expression (None: of no attribute) that is evaluated in ``ad``.
        """
        value = number_of(self.value(ad, text))
        return default if value is None else value

    def read_string(self, ad: Ad, text: str | None) -> str:
        """Return the expression's value in this job if it is a string, else ""."""
        value = self.value(ad, text)
        return value if isinstance(value, str) else ""

    def value(self, ad: Ad, text: str | None) -> Any:
        """Return the expression's value in this job; ERROR where it cannot be evaluated.

        None (the text of an attribute that the job does not have) is UNDEFINED.
        """
        if text is None:
            return UNDEFINED
        compiled = self._compiled.get(text)
        if compiled is None:
            value = literal_value(text)
            if value is not NOT_LITERAL:
                return value
        try:
            if compiled is None:
                compiled = compile_expression(text)
                if len(self._compiled) >= MAX_REMEMBERED:
                    self._compiled.clear()
                self._compiled[text] = compiled
            # Where the attributes it names are literals, or name only one another, this is its key.
            key = (text, *ad.get_all(compiled.names))
            if key in self._results:
                return self._results[key]
            found = None if compiled.unbounded else self._look_up(ad, compiled.names)
            if found is None:
                with self._stopwatch:
                    return self._evaluate_in_whole(ad, compiled.tree)
            texts, values = found
            # The names follow from the texts in the order they were found.
            key = (text, *texts)
            if key not in self._results:
                if len(self._results) >= MAX_REMEMBERED:
                    self._results.clear()
                with self._stopwatch:
                    self._results[key] = self._evaluate(ad, compiled.tree, values)
            return self._results[key]
        except _NO_VALUE:
            return ERROR

    def holds(self, ad: Ad, text: str) -> bool:
        """Return whether a constraint selects this job; undefined, error and strings do not."""
        value = self.value(ad, text)
        return is_number(value) and bool(value)

    def _look_up(
        self, ad: Ad, names: Sequence[str]
    ) -> tuple[list[str | None], dict[str, Any]] | None:
        """Look up these attributes, and all that their expressions refer to.

        Return their texts in the ad, and by name the values of literals and the trees of
        expressions (UNDEFINED: there is no such attribute); None if that is not known.
        """
        texts: list[str | None] = []
        values: dict[str, Any] = {}
        pending = list(names)
        for name in pending:
            if name in values:
                continue
            text = ad.get(name)
            texts.append(text)
            if text is None:
                text = self.extra.get(name)
            value = UNDEFINED if text is None else literal_value(text)
            if value is NOT_LITERAL and text is not None:
                inner = compile_expression(text)
                if inner.unbounded:
                    return None
                pending.extend(inner.names)
                value = inner.tree
            values[name] = value
        return texts, values

    def _evaluate(self, ad: Ad, tree: classad2.ExprTree, values: Mapping[str, Any]) -> Any:
        """Evaluate in an ad of these values and trees; there is one for all of the same names."""
        present: dict[str, Any] = {}
        for name, value in values.items():
            if value is UNDEFINED:
                continue
            # half characters end the process when they are put into an ad
            is_odd = isinstance(value, str) and not (value.isascii() and value.isprintable())
            if is_odd or value is ERROR:
                return self._evaluate_in_whole(ad, tree)
            present[name] = value
        names = tuple(present)
        scope = self._scopes.get(names)
        if scope is None:
            if len(self._scopes) >= MAX_REMEMBERED:
                self._scopes.clear()
            scope = self._scopes[names] = classad2.ClassAd()
            scope["currenttime"] = self.now
        for name, value in present.items():
            scope[name] = value
        # Without a target ad the library knows no ``MY.``; with one it takes ten times as long.
        if "my" in values or "target" in values:
            return _evaluate_tree(tree, scope, _NO_TARGET)
        return _evaluate_tree(tree, scope)

    def _evaluate_in_whole(self, ad: Ad, tree: classad2.ExprTree) -> Any:
        # With a target ad the library knows no ``CurrentTime`` of its own.
        scope = evaluable(Ad({"CurrentTime": str(self.now), **self.extra, **ad}))
        return _evaluate_tree(tree, scope, _NO_TARGET)


def _evaluate_tree(tree: classad2.ExprTree, *scopes: classad2.ClassAd) -> Any:
    """Return the value of a tree; a time as what it is, not as the library's Python value."""
    value = tree.eval(*scopes)
    if isinstance(value, (float, datetime)):
        text = str(tree.simplify(*scopes))
        if text.startswith("relTime(") and isinstance(value, float):
            return TimeValue(_format_relative_time(value) or text)
        if text.startswith(("absTime(", "relTime(")):
            return TimeValue(text)
    return value


def _format_relative_time(value: float) -> str:
    """Return a time as HTCondor prints it, "" if it is one of whole seconds.

    The library's Python module leaves the parts of a second out.
    """
    if not abs(value) < 2**31 or value == int(value):
        return ""
    whole = int(abs(value))
    seconds = f"{whole % 60 + abs(value) - whole:02g}"
    days, minutes = divmod(whole // 60, 24 * 60)
    parts = f"{days}+{minutes // 60:02}:{minutes % 60:02}:{seconds}"
    if not days:
        parts = parts.removeprefix("0+").removeprefix("00:").removeprefix("00:")
    return f'relTime("{"-" * (value < 0)}{parts}")'
