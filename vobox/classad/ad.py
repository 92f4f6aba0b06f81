"""Job ads as plain mappings of attribute name to ClassAd expression text.

The ledger stores an ad as text and most commands need three attributes of it,
so an ad is parsed by the ClassAd library only where an expression has to be
evaluated: building a ``ClassAd`` of 70 attributes costs ~12 us, a dict
look-up nothing. Names keep the case they were first written in and are looked
up case-insensitively, as ClassAds do.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from itertools import compress
from operator import ne
from typing import Any, TypeVar, overload

import classad2


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

#: Characters. The library's parser is recursive: 100,000 of ``a.a.a…`` overflow its stack.
MAX_EXPRESSION = 16 * 1024

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPED = re.compile(r'["\\]')
_OLD_BACKSLASH = re.compile(r'\\(?!"(?![\r\n]|\Z))')
_RESERVED = {"error", "false", "is", "isnt", "parent", "true", "undefined"}


#: Lower-case name → (name as first written, expression text; None where a template's
#: attribute is gone).
Items = dict[str, tuple[str, str | None]]
_NOTHING: Items = {}


@functools.lru_cache(256)
def lower(names: tuple[str, ...]) -> tuple[str, ...]:
    """Jobs of one kind have the same names: also the same objects, which are compared at once."""
    return tuple(name.lower() for name in names)


class Ad(MutableMapping[str, str]):
    """Attribute name → expression text, e.g. ``{"Owner": '"alice"', "QDate": "17"}``.

    Ads of jobs that were submitted alike share a *template* and hold only what differs
    from it: a hundred thousand whole ads would not fit the schedd's memory.
    """

    __slots__ = ("_items", "_template")

    def __init__(self, items: Mapping[str, str] | None = None) -> None:
        # the ledger makes one a row: not through __setitem__
        given = items or {}
        self._items: Items = dict(zip(lower(tuple(given)), given.items(), strict=True))
        self._template = _NOTHING

    @classmethod
    def of_items(cls, items: Items, template: Items = _NOTHING) -> Ad:
        """The ad of these items, which become its own; they are what differs from a template
        (None: has no such attribute)."""
        ad = cls.__new__(cls)
        ad._items, ad._template = items, template
        return ad

    def copy(self) -> Ad:
        """Return another ad with the same attributes, which can be changed by itself."""
        return Ad.of_items(self._items.copy(), self._template)

    def settle_on(self, template: Items) -> None:
        """Hold the same attributes as a difference from this template."""
        own, items = self._items, template.items()
        if self._template:
            own = {**self._template, **own}
        if list(own) == list(template):  # a cluster's jobs: thousands, each with seventy
            differs = map(ne, own.values(), template.values())
            self._items, self._template = dict(compress(own.items(), differs)), template
            return
        merged: Items = {low: item for low, item in own.items() if template.get(low) != item}
        for low, (name, _text) in items:
            if low not in own:
                merged[low] = (name, None)
        self._items, self._template = merged, template

    @property
    def template(self) -> Items:
        return self._template

    def names(self) -> Iterator[str]:
        """The lower-case names, in order; of an ad without a template."""
        return iter(self._items)

    def difference(self) -> dict[str, str | None]:
        """What differs from the template; everything where there is none."""
        return dict(self._items.values())

    def own(self, lows: frozenset[str]) -> tuple[tuple[str, str | None], ...]:
        """Those of these (lower-case) attributes that differ from the template."""
        if lows.isdisjoint(self._items):  # mostly
            return ()
        return tuple([item for low, item in self._items.items() if low in lows])

    def as_template(self) -> Items:
        """These attributes as a template for others."""
        return {name.lower(): (name, text) for name, text in self.pairs()}

    def __getitem__(self, name: str) -> str:
        low = name.lower()
        item = self._items.get(low) or self._template.get(low)
        if item is None or item[1] is None:
            raise KeyError(name)
        return item[1]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: object = None) -> object:
        # Mapping's own goes through an exception where there is no such attribute
        low = name.lower()
        item = self._items.get(low) or self._template.get(low)
        return default if item is None or item[1] is None else item[1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __setitem__(self, name: str, expression: str) -> None:
        low = name.lower()
        known = self._items.get(low) or self._template.get(low)
        # one that was deleted is spelled anew, with a template as without
        spelled = name if known is None or known[1] is None else known[0]
        self._items[low] = (spelled, expression)

    def __delitem__(self, name: str) -> None:
        low = name.lower()
        if name not in self:
            raise KeyError(name)
        if low in self._template:
            self._items[low] = (self._template[low][0], None)
        else:
            del self._items[low]

    def repeat(self, kept: Items, deleted: Iterable[str]) -> None:
        """Have these items, and not those (lower-case names)."""
        self._items.update(kept)
        for low in deleted:
            if low in self._template:
                self._items[low] = (self._template[low][0], None)
            else:
                self._items.pop(low, None)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.pairs())

    def __len__(self) -> int:
        return sum(1 for _ in self.pairs())

    def pairs(self) -> Iterator[tuple[str, str]]:
        """As ``items()``, in a tenth of the time."""
        items = {**self._template, **self._items} if self._template else self._items
        return ((name, text) for name, text in items.values() if text is not None)

    def texts(self) -> dict[str, str]:
        """Return ``pairs()`` as a plain mapping."""
        return dict(self.pairs())

    def __repr__(self) -> str:
        return f"Ad({dict(self.pairs())!r})"

    def text(self, name: str, default: str = "") -> str:
        """The string value of a string literal; ``default`` if absent or no string literal."""
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
        """The integer value of an integer literal; ``default`` if absent or no such literal."""
        try:
            return int(self[name])
        except (KeyError, ValueError):
            return default

    def classad(self) -> classad2.ClassAd:
        """Return the parsed ad; raises ParseError where a text is no expression, or is too long."""
        for _name_of_it, text in self.pairs():
            _check_length(text)
        return classad2.ClassAd(
            "[" + ";".join(f"{_name(name)}={text}" for name, text in self.pairs()) + "]"
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
    if len(expression) > MAX_EXPRESSION and not _STRING.fullmatch(expression):
        raise ParseError(f"an expression of {len(expression)} characters; at most {MAX_EXPRESSION}")


def parse(expression: str) -> classad2.ExprTree:
    """The parsed expression; raises ParseError."""
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


def parse_old(expression: str) -> classad2.ExprTree:
    """Parse an expression of the old syntax; raises ParseError."""
    return parse(convert_old_syntax(expression))


def evaluate(expression: str, ad: Ad, now: float) -> Any:
    """The value of ``expression`` in ``ad``; raises ParseError.

    Undefined and error are classad2.Value. ``now``: epoch seconds, the value
    of ``CurrentTime`` (``time()`` is the library's own clock).
    """
    # Without a target ad the library knows no ``MY.``; with one it knows no
    # ``CurrentTime``. Real job policies use both.
    scope = Ad({"CurrentTime": str(int(now)), **ad}).classad()
    return parse(expression).eval(scope, classad2.ClassAd())
