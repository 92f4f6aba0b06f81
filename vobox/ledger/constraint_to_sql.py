"""What of a ClassAd constraint a database can answer by itself.

Only comparisons of an attribute that is a column with a literal of its type,
joined by ``&&`` and ``||``: on plain columns (``vobox/ledger/sql_conditions.py``) these
mean the same in SQL. Of a conjunction any such part narrows the search: where
it is false, the whole is not true, whatever the other parts are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from vobox.classad.expressions import is_expression

from .sql_conditions import ALWAYS, COLUMNS, Comparison, Condition, Every, Some

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]{1,18}(?![\w.]))|(?P<string>\"[^\"\\]*\")"
    r"|(?P<name>(?:[Mm][Yy]\s*\.\s*)?[A-Za-z_]\w*(?!\s*[.(\w]))"
    r"|(?P<sign>==|=\?=|=!=|!=|<=|>=|&&|\|\||[<>()])|(?P<other>\"(?:[^\"\\]|\\.)*\"|\w+|\S))",
    re.ASCII | re.DOTALL,
)
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMPARING: Final = frozenset({"==", "=?=", "!=", "=!=", "<", "<=", ">", ">="})
#: Parts of one condition, and parentheses in each other: SQLite has limits of its own.
_MAX_TOKENS, _MAX_DEPTH = 400, 20


class Narrowed(NamedTuple):
    """``condition`` is true of every job that the constraint selects; ``exact``: of no other."""

    condition: Condition
    exact: bool


def narrowed(constraint: str) -> Narrowed:
    """The part of a constraint that the columns decide. The constraint has to be an expression."""
    if not is_expression(constraint):
        return Narrowed(Every(()), False)
    tokens = list(_tokens(constraint))
    # comments and quoted names: what stands in them is no part of the logic
    if len(tokens) > _MAX_TOKENS or any(token.text in ("/", "'") for token in tokens):
        return Narrowed(Every(()), False)
    pieces = _conjuncts(tokens)
    found = [_Parser(piece).condition() for piece in pieces]
    known = tuple(condition for condition in found if condition is not None)
    return Narrowed(Every(known), len(known) == len(found))


class _Token(NamedTuple):
    kind: str
    text: str


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text.rstrip()):
        kind = match.lastgroup or "other"
        yield _Token(kind, match[kind])


def _conjuncts(tokens: Sequence[_Token]) -> list[Sequence[_Token]]:
    """The parts that stand between ``&&`` of the lowest level; the whole where there is more."""
    depth, begin = 0, 0
    pieces: list[Sequence[_Token]] = []
    for place, token in enumerate(tokens):
        if token.text in ("(", "[", "{"):
            depth += 1
        elif token.text in (")", "]", "}"):
            depth -= 1
        elif depth == 0 and token.text in ("||", "?", ":"):
            return [tokens]
        elif depth == 0 and token.text == "&&":
            pieces.append(tokens[begin:place])
            begin = place + 1
    return [*pieces, tokens[begin:]]


class _NotOurs(Exception):
    """More than comparisons of columns."""


class _Parser:
    """``||`` of ``&&`` of comparisons and parentheses."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = [*tokens, _Token("end", "")]
        self._place = 0

    def condition(self) -> Condition | None:
        try:
            found = self._some(0)
            return found if self._peek().kind == "end" else None
        except _NotOurs:
            return None

    def _peek(self) -> _Token:
        return self._tokens[self._place]

    def _next(self) -> _Token:
        token = self._tokens[self._place]
        self._place = min(self._place + 1, len(self._tokens) - 1)
        return token

    def _some(self, depth: int) -> Condition:
        parts = [self._every(depth)]
        while self._peek().text == "||":
            self._next()
            parts.append(self._every(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _every(self, depth: int) -> Condition:
        parts = [self._single(depth)]
        while self._peek().text == "&&":
            self._next()
            parts.append(self._single(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _single(self, depth: int) -> Condition:
        if self._peek() == _Token("sign", "("):
            if depth == _MAX_DEPTH:
                raise _NotOurs
            self._next()
            inner = self._some(depth + 1)
            if self._next() != _Token("sign", ")"):
                raise _NotOurs
            # `(A == 1) == true` is no part of the language here
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        left, sign, right = self._next(), self._next(), self._next()
        operator = sign.text
        if sign.kind != "sign" or operator not in _COMPARING:
            raise _NotOurs
        if left.kind != "name":
            left, right, operator = right, left, _MIRRORED.get(operator, operator)
        if left.kind != "name":
            raise _NotOurs
        attribute = left.text.rpartition(".")[2].strip().lower()
        if attribute not in ALWAYS:
            raise _NotOurs
        if COLUMNS[attribute][2] is int and right.kind == "number":
            if len(right.text) > 1 and right.text.startswith("0"):
                raise _NotOurs  # octal
            return Comparison(attribute, operator, int(right.text))
        if COLUMNS[attribute][2] is str and right.kind == "string" and operator not in _MIRRORED:
            return Comparison(attribute, operator, right.text[1:-1])
        raise _NotOurs
