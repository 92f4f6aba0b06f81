"""How one value of a job is shown: what ``-format`` and ``-autoformat`` make of an attribute."""

from __future__ import annotations

import re
from collections.abc import Callable

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator, number_of
from vobox.classad.literals import expression_text, value_text

from .printf import Format
from .times import duration, short_date

#: The text of one column for a job.
Show = Callable[[Ad], str]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Names whose value does not come from the ad.
_OWN_MEANING = frozenset(
    {"currenttime", "error", "false", "is", "isnt", "my", "parent", "self", "true", "undefined"}
)


class Shows:
    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def auto(self, attribute: str, letters: str) -> Show:
        """As ``-autoformat:LETTERS`` shows it."""
        if "r" in letters or "o" in letters:
            return self._raw(attribute)
        if "T" in letters or "Y" in letters:
            return self._time(attribute, duration if "T" in letters else short_date)
        return self._value(attribute, quoted="V" in letters)

    def _value(self, attribute: str, quoted: bool) -> Show:
        evaluator, extra = self._evaluator, self._evaluator.extra
        is_plain = is_name(attribute)

        def show(ad: Ad) -> str:
            try:
                text = ad[attribute]
            except KeyError:
                if attribute in extra:
                    text = extra[attribute]
                elif is_plain:
                    return "undefined"
                else:
                    text = attribute
            if text.isdigit() and (text[0] != "0" or text == "0"):
                return text
            return value_text(evaluator.value(ad, text), quoted)

        return show

    def _raw(self, attribute: str) -> Show:
        evaluator = self._evaluator
        missing = "undefined" if is_name(attribute) else expression_text(attribute)

        def show(ad: Ad) -> str:
            text = evaluator.text(ad, attribute)
            return missing if text is None else expression_text(text)

        return show

    def _time(self, attribute: str, written: Callable[[float], str]) -> Show:
        def show(ad: Ad) -> str:
            value = self._asked(ad, attribute)
            number = number_of(value)
            return value_text(value) if number is None else written(number)

        return show

    def printf(self, form: Format, attribute: str) -> Show:
        """As ``-format`` shows it."""
        if not form.letter:
            return lambda ad: form.before
        if form.letter in "sS":
            return self._string(form, attribute)
        if form.letter in "vV":
            quoted = form.letter == "V"
            return lambda ad: form.text(value_text(self._asked(ad, attribute), quoted))
        if form.letter in "rR":
            raw = self._raw(attribute)
            return lambda ad: form.text(raw(ad))
        return self._number(form, attribute)

    def _string(self, form: Format, attribute: str) -> Show:
        """``%s``: a string, or the text of an attribute that is none; else nothing."""
        evaluator = self._evaluator

        def show(ad: Ad) -> str:
            text = evaluator.text(ad, attribute)
            value = evaluator.value(ad, attribute if text is None else text)
            if isinstance(value, str):
                return form.text(value)
            return form.blank() if text is None else form.text(expression_text(text))

        return show

    def _number(self, form: Format, attribute: str) -> Show:
        def show(ad: Ad) -> str:
            number = number_of(self._asked(ad, attribute))
            if number is None:
                return form.blank()
            if form.wants_real:
                return form.real(float(number))
            if form.letter == "T":
                return form.text(duration(number))
            if form.letter == "Y":
                return form.text(short_date(number))
            return form.integer(int(number))

        return show

    def _asked(self, ad: Ad, attribute: str) -> object:
        text = self._evaluator.text(ad, attribute)
        return self._evaluator.value(ad, attribute if text is None else text)


def is_name(attribute: str) -> bool:
    """Whether it names an attribute, and is no expression."""
    return bool(_PLAIN_NAME.match(attribute)) and attribute.lower() not in _OWN_MEANING
