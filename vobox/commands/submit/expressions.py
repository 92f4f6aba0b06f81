"""Check the ClassAd expressions of a description, and write them as HTCondor does."""

from __future__ import annotations

import functools
import math
import re

import classad2

from vobox.classad.ad import Ad, ParseError, evaluate, parse, read_old_syntax

from .errors import expression_error, type_error

# Python makes no number of some thousand digits, and ClassAds none of twenty
_LITERAL = re.compile(r"(?:-\d{1,19}|0|[1-9]\d{0,18}|true|false|undefined)\Z", re.IGNORECASE)
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//.*\Z')


@functools.lru_cache(maxsize=4096)  # the jobs of a cluster share most of their expressions
def canonicalize(attribute: str, text: str) -> str:
    """Return ``text`` as HTCondor writes it: ``ifThenElse(a,b)`` for ``ifThenElse(a, b)``.

    Descriptions use the old ClassAd syntax. Raises SubmitError.
    """
    if _LITERAL.match(text):
        return str(int(text)) if text[-1].isdigit() else text.lower()
    try:
        expression = read_old_syntax(text)
        if "//" in expression:
            expression = _COMMENT.sub(lambda found: found[1] or "", expression)
        parse(expression)
    except ParseError:
        raise expression_error(attribute, text) from None
    if "\\" in expression or "\n" in expression:
        return expression  # printOld would not give the escapes back
    return str(classad2.ClassAd(f"[a={expression}]").printOld()).partition(" = ")[2].rstrip("\n")


def evaluate_boolean(command: str, text: str) -> bool:
    """Return the value of a command that must be a boolean; raises SubmitError."""
    value = find_constant(text)
    if isinstance(value, (bool, int, float)):
        return bool(value)
    raise type_error("a boolean", command, text)


def evaluate_integer(command: str, text: str) -> int:
    """Return the value of a command that must be an integer; raises SubmitError."""
    value = find_constant(text)
    if isinstance(value, (int, float)) and math.isfinite(value):  # true is 1
        return int(value)
    raise type_error("an integer", command, text)


def evaluate_int(command: str, text: str) -> int:
    """Return the value of a command that must fit into C's int; raises SubmitError."""
    value = evaluate_integer(command, text)
    if not -(2**31) <= value < 2**31 - 1:  # HTCondor takes no INT_MAX
        raise type_error("an integer", command, text)
    return value


def evaluate_length(command: str, text: str) -> int:
    """Return the value of a command that must be an integer of at least 0; raises SubmitError."""
    value = evaluate_integer(command, text)
    if value < 0:
        raise type_error("a non-negative integer", command, text)
    return value


def find_constant(text: str) -> object:
    """Return an expression's value without any ad; None if it has none."""
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value: object = evaluate(text, Ad(), 0)
    except (ParseError, OverflowError):
        return None
    return None if isinstance(value, classad2.Value) else value  # undefined, error


def find_constant_integer(expression: str) -> int | None:
    """Return an expression's value if it is an integer without any ad, else None."""
    value = find_constant(expression)
    return int(value) if isinstance(value, int) else None  # true is 1
