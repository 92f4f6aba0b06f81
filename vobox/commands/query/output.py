"""The forms that every query command can print jobs in, other than its own tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from vobox.classad.ad import Ad, ParseError
from vobox.classad.expressions import Evaluator, compile_expression
from vobox.commands.errors import refused
from vobox.commands.option_parser import Flag

from .formats import Projection, json_ads, json_lines, long_ads, xml_ads
from .printf import BadFormat
from .printmask import BadExpression, PrintMask

_WHOLE_AD: Final = ("long", "json", "jsonl", "xml")
_AUTOFORMAT: Final = ("af", "autoformat")


class Output:
    """What the options ask to print; a table of the command's own if they ask for nothing.

    ``empty_list``: what ``-json`` prints where there is no job.
    """

    def __init__(self, evaluator: Evaluator, empty_list: str = "") -> None:
        self._evaluator = evaluator
        self._empty_list = empty_list
        self._form = ""
        self._mask = PrintMask(evaluator)
        self._attributes: list[str] | None = None

    @property
    def is_table(self) -> bool:
        return not self._form and not self._mask

    @property
    def is_whole_ads(self) -> bool:
        """-long, -json, -jsonl or -xml, with or without -attributes."""
        return bool(self._form)

    def take(self, flag: Flag) -> bool:
        """Obey the option if it is about the form; raises Ended for one that cannot be obeyed."""
        name = flag.option.name
        if name in _WHOLE_AD:
            self._form = name
        elif name == "attributes":
            names = [word for word in re.split(r"[,\s]+", flag.values[0]) if word]
            self._attributes = [*(self._attributes or []), *names]
        elif name == "format":
            self._format(*flag.values)
        elif name in _AUTOFORMAT:
            with_letters = flag.letters
            try:
                self._mask.add_autoformat(flag.values, with_letters)
            except BadExpression as bad:
                raise refused(f"invalid expression : {bad}") from None
        else:
            return False
        return True

    def looked_at(self) -> set[str] | None:
        """Lower-case names of the attributes that are printed; None for all, or unknown."""
        return None if self._form else self._mask.looked_at()

    def simple_rows(self) -> list[tuple[str, str]] | None:
        """Rows that are attributes' values and texts alone, as ``PrintMask.simple_rows``."""
        return None if self._form else self._mask.simple_rows()

    def text(self, find: Callable[[], Iterable[Ad]]) -> Iterator[str]:
        """All that is printed for the jobs that ``find`` finds, piece by piece."""
        if not self._form:
            return self._mask.rows(find)
        ads = find()
        projection = Projection(self._names(), self._evaluator.extra)
        if self._form == "json":
            return json_ads(ads, projection, self._empty_list)
        if self._form == "jsonl":
            return json_lines(ads, projection)
        if self._form == "xml":
            return xml_ads(ads, projection)
        return long_ads(ads, projection)

    def _format(self, text: str, attribute: str) -> None:
        try:
            self._mask.add_format(text, attribute)
        except BadFormat as bad:
            raise refused(f"-format {text!r}: {bad}") from None
        except BadExpression as bad:
            raise refused(f"invalid expression : {bad}") from None

    def _names(self) -> list[str] | None:
        """What ``-attributes`` names, or else what ``-format`` and ``-af`` refer to."""
        if self._attributes is not None:
            return self._attributes
        if not self._mask:
            return None
        names = ["ClusterId", "ProcId"]
        for asked in self._mask.names:
            names.append(asked)
            try:
                names.extend(compile_expression(asked).names)
            except ParseError:
                continue  # an attribute with a name that is no expression
        return names
