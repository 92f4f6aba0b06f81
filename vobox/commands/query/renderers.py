"""Render one value of a job as ``-format`` and ``-autoformat`` show it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator, is_number, number_of
from vobox.classad.literals import expression_text, value_text

from .printf import Format

#: The text of one column for a job.
Renderer = Callable[[Ad], str]

#: The letters of ``-autoformat`` for values as they stand, not evaluated.
RAW = frozenset("or")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: ``A``, ``MY.A``, ``A.b``, ``A[1].b``; HTCondor shows none of them raw but an attribute's own.
_REFERENCE = re.compile(
    r"(?!(?:true|false|undefined|error)\Z)(?:[A-Za-z_]\w*(?:\[[^][]*\])*\.)*"
    r"(?:[A-Za-z_]\w*|'[^']+')\Z",
    re.IGNORECASE,
)
#: 9999-12-31, the last second that has a date.
_LATEST = 253402300799
#: Names whose value does not come from the ad.
_OWN_MEANING = frozenset(
    {"currenttime", "error", "false", "is", "isnt", "my", "parent", "self", "true", "undefined"}
)


class Renderers:
    """Makes the functions that render one column."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def build_autoformat(self, attribute: str, letters: str) -> Renderer:
        """Return the renderer of ``-autoformat:LETTERS``."""
        if RAW.intersection(letters):
            return self._build_raw(attribute)
        if "V" in letters:
            return self._build_value(attribute, quoted=True)
        if "Y" in letters:
            return self._build_time(attribute, show_date)
        if "T" in letters:
            return self._build_time(attribute, show_duration)
        return self._build_value(attribute, quoted=False)

    def _build_value(self, attribute: str, quoted: bool) -> Renderer:
        evaluator, extra = self._evaluator, self._evaluator.extra
        is_plain = is_name(attribute)

        def show(ad: Ad) -> str:
            text = ad.get(attribute)
            if text is None:
                text = extra.get(attribute)
            if text is None:
                if is_plain:
                    return "undefined"
                text = attribute
            if len(text) < 19 and text.isdigit() and (text[0] != "0" or text == "0"):
                return text
            return value_text(evaluator.value(ad, text), quoted)

        return show

    def _build_raw(self, attribute: str) -> Renderer:
        evaluator = self._evaluator
        missing = "undefined" if _REFERENCE.match(attribute) else expression_text(attribute)

        def show(ad: Ad) -> str:
            text = evaluator.text(ad, attribute)
            return missing if text is None else expression_text(text)

        return show

    def _build_time(self, attribute: str, written: Callable[[float], str]) -> Renderer:
        def show(ad: Ad) -> str:
            number = number_of(self.evaluate(ad, attribute))
            return "" if number is None else written(number)

        return show

    def build_printf(self, form: Format, attribute: str) -> Renderer:
        """Return the renderer of ``-format``."""
        if not form.letter:
            return lambda ad: form.before
        if form.letter in "sS":
            return self._build_string(form, attribute)
        if form.letter in "vV":
            quoted = form.letter == "V"
            return lambda ad: form.format_text(value_text(self.evaluate(ad, attribute), quoted))
        if form.letter in "rR":
            raw = self._build_raw(attribute)
            return lambda ad: form.format_text(raw(ad))
        return self._build_number(form, attribute)

    def _build_string(self, form: Format, attribute: str) -> Renderer:
        """Return the renderer of ``%s``: a string, or the attribute's text if it is no string."""
        evaluator = self._evaluator

        def show(ad: Ad) -> str:
            text = evaluator.text(ad, attribute)
            value = evaluator.value(ad, attribute if text is None else text)
            if isinstance(value, str):
                return form.format_text(value)
            return (
                form.format_missing() if text is None else form.format_text(expression_text(text))
            )

        return show

    def _build_number(self, form: Format, attribute: str) -> Renderer:
        def show(ad: Ad) -> str:
            value = self.evaluate(ad, attribute)
            number = number_of(value)
            if not is_number(value):
                return form.format_missing()
            if form.wants_real:
                return form.format_real(float(value))
            if number is None:  # not of 64 bits
                return form.format_missing() if form.letter in "TY" else form.format_integer(0)
            if form.letter == "T":
                return form.format_text(show_duration(number))
            if form.letter == "Y":
                return form.format_text(show_date(number))
            return form.format_integer(int(number))

        return show

    def evaluate(self, ad: Ad, attribute: str) -> Any:
        """Return the value of an attribute or an expression in a job."""
        text = self._evaluator.text(ad, attribute)
        return self._evaluator.value(ad, attribute if text is None else text)


def is_name(attribute: str) -> bool:
    """Return whether the text names an attribute and is not an expression."""
    return bool(_PLAIN_NAME.match(attribute)) and attribute.lower() not in _OWN_MEANING


def format_date(epoch: float) -> str:
    """Format a date as ``%2d/%-2d %02d:%02d``, 11 wide: month/day hour:minute."""
    return _format_minute(int(epoch) // 60)


@lru_cache(maxsize=1024)
def _format_minute(minute: int) -> str:
    moment = time.localtime(min(max(minute, 0) * 60, _LATEST))
    return f"{moment.tm_mon:2}/{moment.tm_mday:<2} {moment.tm_hour:02}:{moment.tm_min:02}"


def format_duration(seconds: float) -> str:
    """Format seconds as ``%3d+%02d:%02d:%02d``: days+hours:minutes:seconds; never below 0."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days:3}+{hour:02}:{minute:02}:{second:02}"


def show_date(epoch: float) -> str:
    """Format a date as ``%Y`` does, which knows none before 1970."""
    return "    ???    " if int(epoch) < 0 else format_date(epoch)


def show_duration(seconds: float) -> str:
    """Format seconds as ``%T`` does: of a negative number every part is negative."""
    if int(seconds) >= 0:
        return format_duration(seconds)
    minutes, second = divmod(-int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{-days:3}+{-hour:02}:{-minute:02}:{-second:02}"


def format_title_date(now: float) -> str:
    """Format a date as ``MM/DD/YY HH:MM:SS``."""
    return time.strftime("%m/%d/%y %H:%M:%S", time.localtime(now))
