"""Format one value as C's printf does, without the cases that C leaves undefined.

A format holds at most one conversion; its widths, precisions and flags mean
what they mean in C. ``%v %V %r %T %Y`` are HTCondor's own letters. Conversions
that C would answer with garbage (a second one, ``*``, ``%n``) are refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vobox.classad.literals import value_text

# no zero can be a flag or a digit: trying both takes time that grows with the square of them
_SPEC = re.compile(
    r"%(?P<flags>[-+ 0#']*)(?P<width>(?:[1-9]\d*)?)(?:\.(?P<precision>\d*))?"
    r"(?P<length>[hlLqjzt]*)(?P<letter>.)",
    re.DOTALL,
)
_STARRED = re.compile(r"%[-+ 0#']*(?:[1-9]\d*)?(?:\*|\.\*)")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_ESCAPED = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
#: Wider would only serve to fill the schedd's memory.
MAX_WIDTH = 4096
_SIGNED, _UNSIGNED, _REAL = "di", "ouxX", "eEfFgG"
_KNOWN = _SIGNED + _UNSIGNED + _REAL + "cCpsSvVrRTY"
_REFUSED = "naA"  # writes to memory; hexadecimal floats that nobody reads
_BITS = (1 << 64) - 1


class BadFormat(ValueError):
    """A format that is not supported; the text says why."""


@dataclass(frozen=True)
class Format:
    """A parsed format: ``before``, one conversion, ``after``; without one only ``before``."""

    before: str
    letter: str = ""
    flags: str = ""
    width: int = 0
    precision: int | None = None
    after: str = ""
    is_long: bool = False  #: ``%lx``: a negative number has 64 bits, not 32

    @property
    def wants_real(self) -> bool:
        """Whether the conversion takes a floating-point number."""
        return bool(self.letter) and self.letter in _REAL

    def format_missing(self) -> str:
        """Return what stands for a missing value: blanks of the width, if it has one."""
        return " " * self.width

    def format_text(self, value: str) -> str:
        """Format a string, under ``%s`` or one of HTCondor's own letters."""
        if self.precision is not None:
            value = value.encode()[: self.precision].decode(errors="ignore")
        return self._pad(value)

    def format_integer(self, value: int) -> str:
        """Format an integer."""
        if self.letter in "cC":
            return self._pad(chr(value & 0xFF) if value & 0xFF else "")
        if self.letter == "p":
            return self._pad(f"0x{value & _BITS:x}")
        sign = self._format_sign(value < 0) if self.letter in _SIGNED else ""
        digits = self._format_digits(value)
        if self.precision is not None:
            digits = "" if value == 0 and self.precision == 0 else digits.zfill(self.precision)
        prefix = ""
        if "#" in self.flags:
            prefix = {"x": "0x", "X": "0X"}.get(self.letter, "") if value else ""
            if self.letter == "o" and not digits.startswith("0"):
                digits = "0" + digits
        return self._pad(digits, sign + prefix, zeros=self.precision is None)

    def format_real(self, value: float) -> str:
        """Format a floating-point number."""
        alternate = "#" if "#" in self.flags else ""
        precision = 6 if self.precision is None else self.precision
        body = f"%{alternate}.{precision}{self.letter}" % abs(value)
        finite = value - value == 0
        return self._pad(body, self._format_sign(value < 0 or str(value) == "-0.0"), zeros=finite)

    def _format_digits(self, value: int) -> str:
        if self.letter in _SIGNED:
            return str(abs(value))
        is_int = not self.is_long and -(1 << 31) <= value < 0
        bits = (1 << 32) - 1 if is_int else _BITS
        return format(value & bits, {"o": "o", "x": "x", "X": "X"}.get(self.letter, "d"))

    def _format_sign(self, negative: bool) -> str:
        if negative:
            return "-"
        return "+" if "+" in self.flags else " " if " " in self.flags else ""

    def _pad(self, body: str, prefix: str = "", zeros: bool = False) -> str:
        if "-" in self.flags:
            body = pad_bytes(prefix + body, -self.width)
        elif "0" in self.flags and zeros:
            body = prefix + body.rjust(self.width - len(prefix), "0")
        else:
            body = pad_bytes(prefix + body, self.width)
        return self.before + body + self.after


def byte_length(text: str) -> int:
    """Return how wide C takes a text for: a character beyond ASCII is several bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def pad_bytes(text: str, width: int) -> str:
    """Return a text on the right of so many bytes, or on the left of ``-width``."""
    blanks = " " * (abs(width) - byte_length(text))
    return blanks + text if width > 0 else text + blanks


def measure_value(value: object) -> int:
    """Return how wide HTCondor makes a column for a value: not for all is that as wide as it is."""
    if isinstance(value, str):
        return byte_length(value)
    if type(value) is float:  # as new ClassAds write it
        written = value and math.isfinite(value)
        return len(f"{value:.15E}" if written else value_text(value))
    return len(str(value)) if type(value) is int else 0


def parse_format(text: str) -> Format:
    """Parse a ``-format`` argument, escapes included; raises BadFormat."""
    text = unescape(text)
    found = _find_conversion(text, 0)
    if found is None:
        # As in HTCondor, a text without conversion is printed as it is, ``%%`` included.
        return Format(before=text)
    if _find_conversion(text, found.end()) is not None:
        raise BadFormat("it has more than one conversion, for one attribute")
    if found["letter"] in _REFUSED:
        raise BadFormat(f"%{found['letter']} is not supported")
    # ten digits are too many, and Python makes no number of some thousand
    width = int((found["width"] or "0")[:10])
    precision = None if found["precision"] is None else int((found["precision"] or "0")[:10])
    if max(width, precision or 0) > MAX_WIDTH:
        raise BadFormat(f"it is wider than {MAX_WIDTH} characters")
    return Format(
        before=text[: found.start()].replace("%%", "%"),
        letter=found["letter"],
        flags=found["flags"],
        width=width,
        precision=precision,
        after=text[found.end() :].replace("%%", "%"),
        is_long=not set("lLqjzt").isdisjoint(found["length"]),
    )


def _find_conversion(text: str, start: int) -> re.Match[str] | None:
    """Find the next conversion from ``start`` on; an unknown letter ends the search."""
    while True:
        percent = text.find("%", start)
        if percent < 0:
            return None
        if _STARRED.match(text, percent):
            raise BadFormat("a width or precision of * has no value here")
        found = _SPEC.match(text, percent)
        if found is None or found["letter"] not in _KNOWN + _REFUSED + "%":
            return None
        if found["letter"] != "%":
            return found
        start = found.end()


def unescape(text: str) -> str:
    r"""Replace ``\n`` and the other escapes of C, which shells pass on as two characters."""

    def replaced(match: re.Match[str]) -> str:
        octal, hexadecimal, letter = match.groups()
        if octal or hexadecimal:
            return chr(int(octal or hexadecimal, 8 if octal else 16) & 0xFF)
        return _ESCAPED.get(letter, match[0])

    return _ESCAPE.sub(replaced, text).partition("\0")[0]
