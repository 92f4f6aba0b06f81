"""Read and write ClassAd literals without the ClassAd library.

Nearly every attribute of a job ad is a plain number, string or truth value,
and a query looks at 100,000 of them; only what is none of these goes through
the parser. Writing follows HTCondor's *old ClassAd* syntax, which is what
``condor_q -long`` and ``-af:r`` print.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

import classad2

from .ad import Ad, ParseError, unquote

UNDEFINED: Final = classad2.Value.Undefined
ERROR: Final = classad2.Value.Error

#: What ``literal_value`` answers for text that has to be parsed and evaluated.
NOT_LITERAL: Final = object()


class TimeValue(NamedTuple):
    """An absolute or relative time, which Python would take for a date or a number of seconds."""

    #: as HTCondor prints it, e.g. ``relTime("01:00")``
    text: str


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"\Z', re.DOTALL)
# A leading 0 would mean octal.
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z")
_REAL = re.compile(r"-?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]{1,3})?|[eE][+-]?[0-9]{1,3})\Z")
_ESCAPES = {ord(c): f"\\{e}" for c, e in zip("\a\b\f\n\r\t\v\\", "abfnrtv\\", strict=True)}
_WORDS: Final = {"true": True, "false": False, "undefined": UNDEFINED, "error": ERROR}


def literal_value(text: str) -> Any:
    """Return the value (bool, int, float, str, UNDEFINED, ERROR), or NOT_LITERAL."""
    if text.isdigit() and text.isascii() and (text[0] != "0" or text == "0") and len(text) <= 18:
        return int(text)
    if text[:1] == '"':
        inner = text[1:-1]
        if '"' not in inner and "\\" not in inner and text[-1] == '"' and len(text) > 1:
            return inner
        if _STRING.match(text) is None or "\0" in text:  # no string of the library's has a NUL
            return NOT_LITERAL
        return unquote(text) if "\\" in text else text[1:-1]
    if _INTEGER.match(text):
        value = int(text)
        return value if abs(value) < 2**63 else NOT_LITERAL
    if _REAL.match(text):
        real = float(text)
        return real if math.isfinite(real) else NOT_LITERAL
    return _WORDS.get(text.lower(), NOT_LITERAL)


def value_text(value: Any, quoted: bool = False) -> str:
    """Return a value as ``%v`` prints it, or as ``%V`` does (``quoted``: strings in quotes)."""
    if isinstance(value, str):
        return quoted_text(value) if quoted else value
    if value is UNDEFINED:
        return "undefined"
    if value is ERROR:
        return "error"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return real_text(value)
    return value.text if isinstance(value, TimeValue) else _unparsed(value)


def real_text(value: float) -> str:
    """Return a real with 16 significant digits, always visibly a real: ``0.0``, ``1E+30``."""
    text = f"{value:.16G}"
    if text.lstrip("-").isdigit():
        return text + ".0"
    if text in {"INF", "-INF"}:
        return f'real("{text}")'
    return 'real("NaN")' if text == "NAN" else text


def quoted_text(value: str) -> str:
    r"""Return a string as old ClassAds write it: only the double quote is escaped.

    A line break, which that syntax cannot express, is written ``\n``: printed
    raw, a job's argument could pose as a line ``Attr = value`` of its own.
    """
    return '"' + one_line(value.replace('"', '\\"')) + '"'


def escape_string(text: str) -> str:
    """Escape a string for XML, as C does: what is not printable ASCII byte by byte, in octal."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    data = text.encode("utf-8", "surrogateescape")
    return "".join(
        _ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}")
        for byte in data
    )


def one_line(text: str) -> str:
    """Return the text on one line: its line breaks are escaped."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


@lru_cache(maxsize=512)
def expression_text(text: str) -> str:
    """Return an expression as HTCondor prints it, on one line (``A==1``: ``A == 1``)."""
    value = literal_value(text)
    if value is not NOT_LITERAL:
        return value_text(value, quoted=True)
    try:
        return _printed(Ad({"X": text}).classad())
    except (ParseError, ValueError):
        return one_line(text)


def _unparsed(value: Any) -> str:
    """Return a list, record or time as the library prints it."""
    holder = classad2.ClassAd()
    try:
        holder["X"] = value
        return _printed(holder)
    except (ParseError, TypeError, ValueError):
        return "error"


def _printed(holder: classad2.ClassAd) -> str:
    """Return the right side of a one-attribute ad ``X = ...``."""
    return one_line(holder.printOld().strip()).partition(" = ")[2]
