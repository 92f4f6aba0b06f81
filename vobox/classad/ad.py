"""Job ads as plain mappings of attribute name to ClassAd expression text.

Most commands need three attributes of an ad, so the ClassAd library parses it only where an
expression has to be evaluated. Names keep the case they were first written in and are looked up
case-insensitively, as ClassAds do.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar, overload

import classad2

from .regexps import limit_regexps


def _register_functions() -> None:
    """Register HTCondor's own ClassAd functions (stringListMember, split, ...).

    The library registers them when it first reads HTCondor's configuration. An expression that
    was parsed before that is an error for ever: a periodic_hold would never fire. There is no
    such configuration here, and the library ends the process if it cannot read the file that
    CONDOR_CONFIG names.
    """
    given = os.environ.get("CONDOR_CONFIG")
    os.environ["CONDOR_CONFIG"] = "ONLY_ENV"
    try:
        classad2.parseOne("a = 1")
    finally:
        if given is None:
            del os.environ["CONDOR_CONFIG"]
        else:
            os.environ["CONDOR_CONFIG"] = given


_register_functions()

T = TypeVar("T")

#: What the ClassAd library raises for text it cannot parse.
ParseError = classad2.ClassAdException


class NotStorable(ValueError):
    """A text that no ClassAd string can hold."""


#: Characters. The library's parser is recursive: 100,000 of ``a.a.a…`` overflow its stack.
MAX_EXPRESSION = 16 * 1024

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPED = re.compile(r'["\\]')
_OLD_BACKSLASH = re.compile(r'\\(?!"(?![\r\n]|\Z))')
#: Of an expression without its strings: what the new syntax has, and the old one has not.
_ONLY_NEW = re.compile(r'(?<![\w.])(?<![eE][-+])0\d+(?![\w.])|""\s*""')
_RESERVED = {"error", "false", "is", "isnt", "parent", "true", "undefined"}


#: Lower-case name → (name as first written, expression text).
Items = dict[str, tuple[str, str]]


@functools.lru_cache(256)
def lower(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in lower case: the same objects for all jobs of one kind."""
    return tuple(name.lower() for name in names)


class Ad(MutableMapping[str, str]):
    """Attribute name → expression text, e.g. ``{"Owner": '"alice"', "QDate": "17"}``."""

    __slots__ = ("_items",)

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        # one is made for each job: not through __setitem__
        given = texts or {}
        self._items: Items = dict(zip(lower(tuple(given)), given.items(), strict=True))

    @classmethod
    def of_items(cls, items: Items) -> Ad:
        """Return the ad of these items, which become its own."""
        ad = cls.__new__(cls)
        ad._items = items
        return ad

    def copy(self) -> Ad:
        """Return another ad with the same attributes, which can be changed by itself."""
        return Ad.of_items(self._items.copy())

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Return the expression text of an attribute, named without regard to case."""
        # Mapping's own goes through an exception where there is no such attribute
        item = self._items.get(name.lower())
        return default if item is None else item[1]

    def get_all(self, names: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return the expressions of several attributes; None for one that there is not."""
        return tuple([self.get(name) for name in names])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __setitem__(self, name: str, expression: str) -> None:
        low = name.lower()
        known = self._items.get(low)
        self._items[low] = (name if known is None else known[0], expression)

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def repeat(self, kept: Items, deleted: Iterable[str]) -> None:
        """Set these items, and delete those (lower-case names)."""
        self._items.update(kept)
        for low in deleted:
            self._items.pop(low, None)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def pairs(self) -> Iterable[tuple[str, str]]:
        """Return the same as ``items()``, in a tenth of the time."""
        return self._items.values()

    def by_lower_name(self) -> Mapping[str, tuple[str, str]]:
        """Return ``pairs()`` by their names in lower case."""
        return self._items

    def measure(self) -> int:
        """Return how many characters and bytes of text this object keeps in memory."""
        return sum(len(name) + len(text) for name, text in self._items.values())

    def texts(self) -> dict[str, str]:
        """Return ``pairs()`` as a plain mapping."""
        return dict(self._items.values())

    def __repr__(self) -> str:
        return f"Ad({dict(self.pairs())!r})"

    def text(self, name: str, default: str = "") -> str:
        """Return a string literal's value; ``default`` if absent or no string literal."""
        expression = self.get(name)
        if expression is None or not expression.startswith('"'):
            return default
        inner = expression[1:-1]
        if expression.endswith('"', 1) and inner.isprintable() and not _ESCAPED.search(inner):
            return inner
        try:
            return unquote(expression)
        except ValueError:  # `"a" + "b"` begins like a literal
            return default

    def number(self, name: str, default: int = 0) -> int:
        """Return an integer literal's value; ``default`` if absent or no such literal."""
        return read_integer(self.get(name), default)

    def classad(self) -> classad2.ClassAd:
        """Return the parsed ad; raises ParseError where a text is no expression, or is too long."""
        for _name_of_it, text in self.pairs():
            _check_length(text)
        return classad2.ClassAd(
            "[" + ";".join(f"{_name(name)}={text}" for name, text in self.pairs()) + "]"
        )


def read_integer(text: str | None, default: int = 0) -> int:
    """Return the value of an integer literal; ``default`` for None or any other text."""
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def evaluable(ad: Ad) -> classad2.ClassAd:
    """Return the parsed ad to evaluate in, with limited patterns; raises ParseError."""
    return Ad({name: limit_regexps(text, in_attribute=True) for name, text in ad.pairs()}).classad()


def _name(name: str) -> str:
    if _PLAIN_NAME.match(name) and name.lower() not in _RESERVED:
        return name
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote(value: str) -> str:
    """Return ``value`` as a ClassAd string literal; NotStorable if no UTF-8, or with a NUL."""
    try:
        return str(classad2.quote(value))
    except ValueError:
        raise NotStorable(f"{value[:200]!a} has a NUL character, or is not UTF-8") from None


def unquote(literal: str) -> str:
    """Return the value of a ClassAd string literal."""
    return str(classad2.unquote(literal))


def literal(value: bool | int | float | str) -> str:
    """Return a Python value as HTCondor writes it (``0.0``, ``true``, ``"x"``).

    Never fails: what a ClassAd string cannot hold (half characters, NUL) is spelled out.
    """
    if type(value) is int:  # most are, and a job's life has forty
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    return quote(value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0"))


def _check_length(expression: str) -> None:
    """Raise ParseError for what the library's parser, which recurses, may not come back from."""
    if "\0" in expression:
        raise ParseError("an expression with a NUL character")
    if len(expression) > MAX_EXPRESSION and not _STRING.fullmatch(expression):
        raise ParseError(f"an expression of {len(expression)} characters; at most {MAX_EXPRESSION}")


def parse(expression: str) -> classad2.ExprTree:
    """Parse an expression; raises ParseError."""
    _check_length(expression)
    # ExprTree pastes the text into an ad: without the first line `1; b = 2` would
    # slip through, without the second `1) + (2`.
    classad2.ExprTree(f"({expression})")
    return classad2.ExprTree(expression)


def convert_old_syntax(expression: str) -> str:
    """Return an expression of the old ClassAd syntax in the new one.

    Command lines, submit descriptions and history files use the old syntax: a backslash is
    itself, except before a double quote that does not end the text.
    """
    return _OLD_BACKSLASH.sub(r"\\\\", expression) if "\\" in expression else expression


def read_old_syntax(expression: str) -> str:
    """Return the same; raises ParseError for what only the new syntax has.

    There it has octal numbers, and takes strings next to each other for one.
    """
    converted = convert_old_syntax(expression)
    if _ONLY_NEW.search(_STRING.sub('""', converted)) is not None:
        raise ParseError(f"{expression[:200]} is not of the old ClassAd syntax")
    return converted


def parse_old(expression: str) -> classad2.ExprTree:
    """Parse an expression of the old syntax; raises ParseError."""
    return parse(read_old_syntax(expression))


def evaluate(expression: str, ad: Ad, now: float) -> Any:
    """Return the value of ``expression`` in ``ad``; raises ParseError.

    Undefined and error are classad2.Value. ``now``: epoch seconds, the value
    of ``CurrentTime`` (``time()`` is the library's own clock).
    """
    tree = parse(limit_regexps(expression))
    # Without a target ad the library knows no ``MY.``; with one it knows no
    # ``CurrentTime``. Real job policies use both.
    scope = evaluable(Ad({"CurrentTime": str(int(now)), **ad}))
    try:
        return tree.eval(scope, classad2.ClassAd())
    except UnicodeDecodeError as error:  # half a character, of substr()
        raise ParseError(str(error)) from None
