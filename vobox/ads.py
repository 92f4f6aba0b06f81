"""Job ads as plain mappings of attribute name to ClassAd expression text.

The ledger stores an ad as text and most commands need three attributes of it,
so an ad is parsed by the ClassAd library only where an expression has to be
evaluated: building a ``ClassAd`` of 70 attributes costs ~12 us, a dict
look-up nothing. Names keep the case they were first written in and are looked
up case-insensitively, as ClassAds do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import classad2

#: What the ClassAd library raises for text it cannot parse.
ParseError = classad2.ClassAdException

#: Characters. The library's parser is recursive: 100,000 of ``a.a.a…`` overflow its stack.
MAX_EXPRESSION = 16 * 1024

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = {"error", "false", "is", "isnt", "parent", "true", "undefined"}


class Ad(MutableMapping[str, str]):
    """Attribute name → expression text, e.g. ``{"Owner": '"alice"', "QDate": "17"}``."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] | None = None) -> None:
        # the ledger makes one a row: not through __setitem__
        self._items = {name.lower(): (name, text) for name, text in (items or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def __setitem__(self, name: str, expression: str) -> None:
        known = self._items.get(name.lower())
        self._items[name.lower()] = (known[0] if known else name, expression)

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Ad({dict(self.items())!r})"

    def text(self, name: str, default: str = "") -> str:
        """The string value of a string literal; ``default`` if absent or no string literal."""
        expression = self.get(name)
        if expression is None or not expression.startswith('"'):
            return default
        try:
            return unquote(expression)
        except ValueError:  # `"a" + "b"` begins like a literal
            return default

    def number(self, name: str, default: int = 0) -> int:
        """The integer value of an integer literal; ``default`` if absent or no such literal."""
        try:
            return int(self[name])
        except (KeyError, ValueError):
            return default

    def classad(self) -> classad2.ClassAd:
        """The parsed ad; raises ParseError where an expression is none."""
        return classad2.ClassAd(
            "[" + ";".join(f"{_name(name)}={text}" for name, text in self.items()) + "]"
        )


def _name(name: str) -> str:
    if _PLAIN_NAME.match(name) and name.lower() not in _RESERVED:
        return name
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote(value: str) -> str:
    """A ClassAd string literal of ``value``; ValueError for what is no UTF-8, or has a NUL."""
    return str(classad2.quote(value))


def unquote(literal: str) -> str:
    """The value of a ClassAd string literal."""
    return str(classad2.unquote(literal))


def literal(value: bool | int | float | str) -> str:
    """Expression text of a Python value, as HTCondor writes it (``0.0``, ``true``, ``"x"``).

    Never fails: what a ClassAd string cannot hold (half characters, NUL) is spelled out.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    return quote(value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0"))


def parse(expression: str) -> classad2.ExprTree:
    """The parsed expression; raises ParseError."""
    if len(expression) > MAX_EXPRESSION:
        raise ParseError(f"an expression of {len(expression)} characters; at most {MAX_EXPRESSION}")
    # ExprTree pastes the text into an ad: without the first line `1; b = 2` would
    # slip through, without the second `1) + (2`.
    classad2.ExprTree(f"({expression})")
    return classad2.ExprTree(expression)


def evaluate(expression: str, ad: Ad, now: float) -> Any:
    """The value of ``expression`` in ``ad``; raises ParseError.

    Undefined and error are classad2.Value. ``now``: epoch seconds, the value
    of ``CurrentTime`` (``time()`` is the library's own clock).
    """
    # Without a target ad the library knows no ``MY.``; with one it knows no
    # ``CurrentTime``. Real job policies use both.
    scope = Ad({"CurrentTime": str(int(now)), **ad}).classad()
    return parse(expression).eval(scope, classad2.ClassAd())
