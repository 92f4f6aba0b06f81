"""The tables of ``-print-format FILE`` (HTCondor's manual, "Print Format Tables").

``parse_print_format`` reads the file's text; a ``PrintFormat`` prints ads by it. Widths are as
HTCondor's, which learns some of them only while it prints the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from vobox.classad.ad import Ad, convert_old_syntax
from vobox.classad.expressions import Evaluator, is_expression, is_number, number_of
from vobox.classad.literals import expression_text, value_text

from .print_functions import FUNCTIONS, REFUSED, Function
from .printf import (
    MAX_WIDTH,
    Format,
    byte_length,
    measure_value,
    pad_bytes,
    parse_format,
    unescape,
)
from .renderers import show_date, show_duration

#: Jobs that GROUP BY sorts: all of their rows are in memory together.
MAX_SORTED: Final = 50_000
#: Characters of a file: each column is evaluated for every job.
MAX_CHARACTERS: Final = 65536
_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:(?P<quote>["'])(?P<quoted>.*?)(?:(?P=quote)|\Z)|(?P<word>[^ \t\r\n]+))"""
)
_NUMBER: Final = re.compile(r"[-+]?\d{1,5}")
_ALTERNATIVES: Final = " ?*.-_#0"
_SEPARATORS: Final = ("RECORDPREFIX", "RECORDSUFFIX", "FIELDPREFIX", "FIELDSUFFIX")
_SECTIONS: Final = ("JOIN", "WHERE", "AND", "GROUP", "SUMMARY")
#: Keywords of a column's line, and what has to follow them.
_KEYWORDS: Final = {
    "AS": "column name", "PRINTF": "format", "PRINTAS": "function name",
    "RENDERAS": "function name", "OR": "? or ??", "WIDTH": "number or AUTO",
    "ALWAYS": "", "AUTO": "", "FIT": "", "LEFT": "", "NOPREFIX": "", "NOSUFFIX": "", "RIGHT": "",
    "TRUNCATE": "",
}  # fmt: skip


class BadPrintFormat(ValueError):
    """The file cannot be used; the text says why."""


class Token(NamedTuple):
    """A word of a line, and where it starts; of a quoted one, what is between the quotes."""

    text: str
    start: int
    quoted: bool


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    expression: str
    heading: str
    form: Format | None
    function: Function | None = None
    width: int = 0
    left: bool = False
    grows: bool = True
    cuts: bool = False
    prefix: bool = True
    suffix: bool = True
    #: what stands for no value, in its whole width if it is two characters
    alternative: str = ""
    always: bool = False

    def compute(self, ad: Ad, evaluator: Evaluator) -> Any:
        """Return the value to print, None if there is none that fits the format."""
        form, function = self.form, self.function
        if form is not None and not form.letter and function is None:
            return form.before
        text = evaluator.text(ad, self.expression)
        if text is None and not is_expression(self.expression):
            return None
        if form is not None and function is None and form.letter in "rRsS":
            value = evaluator.value(ad, self.expression if text is None else text)
            if form.letter in "sS" and (text is None or isinstance(value, str)):
                return value if isinstance(value, str) else None
            return "undefined" if text is None else expression_text(text)
        value = evaluator.value(ad, self.expression if text is None else text)
        if function is not None:
            return self._call(function, value, ad, evaluator)
        if form is None or form.letter in "vV":
            return value
        if not is_number(value):
            return None
        return float(value) if form.wants_real else int(number_of(value) or 0)

    def _call(self, function: Function, value: Any, ad: Ad, evaluator: Evaluator) -> Any:
        if function.takes in ("int", "real"):
            number = number_of(value)
            if number is None and function.late and not self.always:
                return None
            value = int(number or 0) if function.takes == "int" else float(number or 0)
        elif function.takes == "str":
            value = value if isinstance(value, str) else ""
        # a text whose width comes late is made when it is printed
        return value if function.late else function.show(value, ad, evaluator)

    def measure(self, value: Any, width: int) -> int:
        """Return the width that a value asks for before it is printed; ``width``: so far."""
        letter = self.form.letter if self.form else ""
        if isinstance(value, str):
            return byte_length(value)
        if isinstance(value, bool) or not is_number(value) or not letter:
            return width
        if letter in "sSvVrR":
            return measure_value(value)
        return len(self._format_number(value, width))

    def format(self, value: Any, width: int, ad: Ad, evaluator: Evaluator) -> str:
        """Return the text of a value, not yet brought to the column's width."""
        form, function = self.form, self.function
        if value is None:
            return self._format_alternative(width)
        if function is not None and function.late:
            return str(function.show(value, ad, evaluator))
        if form is None or not form.letter:
            return value if isinstance(value, str) else ""
        if form.letter in "sSvVrR":
            text = value if form.letter in "rR" else value_text(value, form.letter == "V")
            return form.format_text(text)
        return self._format_number(value, width)

    def _format_number(self, value: float, width: int) -> str:
        form = self.form
        if form is None:
            return ""
        if form.letter in "TY":
            text = show_duration(value) if form.letter == "T" else show_date(value)
        elif form.wants_real:
            text = form.format_real(float(value))
        else:
            text = form.format_integer(int(value))
        return text.rjust(width)

    def _format_alternative(self, width: int) -> str:
        letter = self.alternative[:1]
        if len(self.alternative) < 2:
            return letter.strip()
        if width < 3:
            return letter if width else ""
        return f"[{letter * (width - 2)}]" if letter == "?" else letter * width

    def fit(self, text: str, width: int) -> str:
        """Bring a text to the column's width."""
        if self.cuts and width:
            text = text.encode()[:width].decode(errors="ignore")
        return pad_bytes(text, -width if self.left else width)


@dataclass
class PrintFormat:
    """What the file asks for."""

    columns: list[Column] = field(default_factory=list)
    title: bool = True
    header: bool = True
    summary: bool = False
    where: str = ""
    group_by: list[str] = field(default_factory=list)
    #: RECORDPREFIX and the like → text
    separators: dict[str, str] = field(
        default_factory=lambda: {
            "RECORDPREFIX": "", "FIELDPREFIX": " ", "FIELDSUFFIX": "", "RECORDSUFFIX": "\n",
        }
    )  # fmt: skip
    #: for stderr: what was left out
    warnings: str = ""

    def render(
        self, find: Callable[[], Iterable[Ad]], evaluator: Evaluator, measured: bool
    ) -> Iterator[str]:
        """Yield the headings and a row for each ad.

        :param find: returns the ads, each time anew
        :param measured: whether columns are as wide as their widest value from the first row on
        """
        widths = [column.width for column in self.columns]
        if measured and any(column.grows for column in self.columns):
            for ad in find():
                self._measure(self._compute(ad, evaluator), widths)
        if self.header and any(column.heading for column in self.columns):
            cells = [
                column.heading.ljust(width)
                for column, width in zip(self.columns, widths, strict=True)
            ]
            yield self._join(cells)
        for ad in find():
            values = self._compute(ad, evaluator)
            if not measured:
                self._measure(values, widths)
            yield self._join(self._format(values, widths, ad, evaluator))

    def _compute(self, ad: Ad, evaluator: Evaluator) -> list[Any]:
        return [column.compute(ad, evaluator) for column in self.columns]

    def _measure(self, values: list[Any], widths: list[int]) -> None:
        for number, (column, value) in enumerate(zip(self.columns, values, strict=True)):
            if column.grows and value is not None:
                widths[number] = max(widths[number], column.measure(value, widths[number]))

    def _format(
        self, values: list[Any], widths: list[int], ad: Ad, evaluator: Evaluator
    ) -> Iterator[str]:
        for number, (column, value) in enumerate(zip(self.columns, values, strict=True)):
            text = column.format(value, widths[number], ad, evaluator)
            if column.grows:
                widths[number] = max(widths[number], byte_length(text))
            yield column.fit(text, widths[number])

    def _join(self, cells: Iterable[str]) -> str:
        row = self.separators["RECORDPREFIX"]
        last = len(self.columns) - 1
        for number, (column, cell) in enumerate(zip(self.columns, cells, strict=True)):
            if number and column.prefix:
                row += self.separators["FIELDPREFIX"]
            row += cell
            if number < last and column.suffix:
                row += self.separators["FIELDSUFFIX"]
        return row + self.separators["RECORDSUFFIX"]

    def sort(self, ads: Iterable[Ad], evaluator: Evaluator) -> list[Ad]:
        """Return the ads as GROUP BY sorts them: by the texts of its values; BadPrintFormat."""
        keyed: list[tuple[str, int, Ad]] = []
        for ad in ads:
            if len(keyed) >= MAX_SORTED:
                raise BadPrintFormat(f"GROUP BY sorts at most {MAX_SORTED} jobs; select fewer")
            read = ad.copy()  # what a kept ad was asked for would stay in memory
            values = (evaluator.value(read, each) for each in self.group_by)
            key = "".join(value_text(value, quoted=True) + "\n" for value in values)
            keyed.append((key, len(keyed), ad))
        return [ad for _key, _number, ad in sorted(keyed, key=lambda each: each[:2])]


class _Reader:
    """Reads the lines of a file in order."""

    def __init__(self, functions: Mapping[str, Function], cuts_widths: bool) -> None:
        self._functions = functions
        self._cuts_widths = cuts_widths
        self._label: str | None = None
        self._selects = False
        self.found = PrintFormat()

    def read_line(self, line: str, section: str) -> str:
        """Read a line of a section; return the section of the next one."""
        tokens = list(_split(line))
        if not tokens or tokens[0].text == "#":
            return section
        first = tokens[0].text
        if first == "SELECT":
            self._selects = True
            self._read_select(tokens[1:])
            return first
        if first in _SECTIONS:
            section = first
            if first == "SUMMARY":
                self._read_summary(tokens[1:])
                return section
            tokens = tokens[1:]
            if first == "GROUP" and tokens and tokens[0].text == "BY":
                tokens = tokens[1:]
            if not tokens:
                return section
        if section == "WHERE":
            self.found.where = line[tokens[0].start - tokens[0].quoted :].strip()
        elif section == "GROUP":
            self._read_group(line, tokens)
        elif section in ("JOIN", "AND", "SUMMARY"):
            raise BadPrintFormat(f"columns of {section} are not supported here: {line.strip()}")
        elif not self._selects:
            raise BadPrintFormat(f"its first line has to be SELECT, not {line.strip()}")
        else:
            self._read_column(line, tokens)
        return section

    def _read_select(self, tokens: list[Token]) -> None:
        found, words = self.found, iter(tokens)
        for token in words:
            word = token.text
            if word == "FROM":
                source = next(words, None)
                if source is not None and source.text != "AUTOCLUSTER":
                    continue  # whatever it is called: the ads that there are
            if word in ("FROM", "UNIQUE"):
                raise BadPrintFormat(f"SELECT {word} is not supported here: jobs are not counted")
            if word == "BARE":
                found.title = found.header = found.summary = False
            elif word == "NOTITLE":
                found.title = False
            elif word == "NOHEADER":
                found.header = False
            elif word == "NOSUMMARY":
                found.summary = False
            elif word == "LABEL":
                self._label = " = "
            elif word in _SEPARATORS or (word == "SEPARATOR" and self._label is not None):
                text = unescape(next(words, Token("", 0, False)).text)
                if word == "SEPARATOR":
                    self._label = text
                else:
                    found.separators[word] = text
            else:
                found.warnings += f"Warning: Unknown header argument {word} for SELECT\n"

    def _read_summary(self, tokens: list[Token]) -> None:
        for word in (token.text for token in tokens):
            if word not in ("STANDARD", "NONE"):
                raise BadPrintFormat(f"SUMMARY {word} is not supported here: STANDARD or NONE")
            self.found.summary = word == "STANDARD"

    def _read_group(self, line: str, tokens: list[Token]) -> None:
        end = next(
            (each.start for each in tokens[1:] if each.text in ("AS", "ASCENDING", "DESCENDING")),
            len(line),
        )
        text = line[tokens[0].start - tokens[0].quoted : end].strip()
        if text.startswith("#"):
            return
        expression = convert_old_syntax(text)
        if not is_expression(expression):
            self.found.warnings += f"GROUP BY expression is not valid: {text}\n"
        else:
            self.found.group_by.append(expression)

    def _read_column(self, line: str, tokens: list[Token]) -> None:
        keywords = [each for each in tokens[1:] if each.text in _KEYWORDS]
        end = keywords[0].start - keywords[0].quoted if keywords else len(line)
        text = line[tokens[0].start if keywords else 0 : end].strip()
        if not text or text.startswith("#"):
            return
        expression = convert_old_syntax(text)
        options = self._read_options([each for each in tokens[1:] if each.start >= end])
        if not is_expression(expression):
            self.found.warnings += f"attribute or expression is not valid: {text}\n"
        self.found.columns.append(options.build(text, expression, self._label, self._cuts_widths))

    def _read_options(self, tokens: list[Token]) -> _Options:
        options, words = _Options(), iter(tokens)
        for token in words:
            word = token.text
            value: Token | None = None
            if _KEYWORDS.get(word):
                value = next(words, None)
                if value is None:
                    raise BadPrintFormat(f"expected {_KEYWORDS[word]} after {word}")
            if word in ("PRINTAS", "RENDERAS") and value is not None:
                self._set_function(options, word, value.text)
            elif word == "OR" and value is not None and value.text[:1] not in _ALTERNATIVES:
                self.found.warnings += f"Unknown argument {value.text} for OR\n"
            else:
                options.apply(word, value)
        return options

    def _set_function(self, options: _Options, word: str, name: str) -> None:
        function = self._functions.get(name.upper())
        if name.upper() in REFUSED:
            raise BadPrintFormat(f"{word} {name} is not supported here: no ad has what it prints")
        if function is None:
            self.found.warnings += f"Unknown argument {name} for {word}\n"
            return
        options.function = function
        if word == "PRINTAS" or (options.form == "%v" and function.form):
            options.form = function.form or None


@dataclass
class _Options:
    """What follows the expression of a column's line."""

    name: str = ""
    form: str | None = "%v"
    function: Function | None = None
    width: int | None = None
    alternative: str = ""
    flags: set[str] = field(default_factory=set)

    def apply(self, word: str, value: Token | None) -> None:
        """Apply a keyword and its value."""
        if value is None:
            self.flags.add(word)
            if word in ("LEFT", "RIGHT"):
                self.flags.discard("LEFT" if word == "RIGHT" else "RIGHT")
        elif word == "AS":
            self.name = unescape(value.text) if value.quoted else value.text
        elif word == "PRINTF":
            self.form = value.text
        elif word == "OR":
            two = value.text[:2]
            self.alternative = two if two == two[:1] * 2 else two[:1]
        elif value.text != "AUTO":
            number = _NUMBER.match(value.text)
            self.width = int(number[0]) if number else 0
            if abs(self.width) > MAX_WIDTH:
                raise BadPrintFormat(f"WIDTH {value.text} is wider than {MAX_WIDTH} characters")
            if self.form == "%v":
                self.form = None

    def build(self, text: str, expression: str, label: str | None, cuts_widths: bool) -> Column:
        """Return the column.

        :param text: the expression as the file has it
        :param expression: the same in the new ClassAd syntax
        :param label: what stands between label and value, None where there are headings
        :param cuts_widths: whether a width cuts longer texts
        """
        flags, name = self.flags, self.name or text
        fixed = self.width is not None
        cuts = "FIT" not in flags and ("TRUNCATE" in flags or (fixed and cuts_widths))
        width, form = self.width or 0, self.form
        if label is not None:
            if form is None:
                form = "%" + (_format_width(width, cuts) if width else "")
                form += "s" if self.function else "v"
            form, width = name + label + form, 0
        elif not fixed:
            width = -len(name)
        elif form is None and self.function is None and not width:
            form = "%v"
        elif form is None and self.function is None and cuts_widths:
            form = f"%{_format_width(width, cuts)}v"
        parsed = None if form is None else parse_format(form)
        left = "LEFT" in flags or width < 0
        if parsed is not None and not width:
            width, left = parsed.width, left or "-" in parsed.flags
        return Column(
            expression=expression,
            heading="" if label is not None else name,
            form=parsed,
            function=self.function,
            width=abs(width),
            left=left,
            grows=not fixed,
            cuts=cuts,
            prefix="NOPREFIX" not in flags,
            suffix="NOSUFFIX" not in flags,
            alternative=self.alternative,
            always="ALWAYS" in flags,
        )


def _format_width(width: int, cuts: bool) -> str:
    return f"{width}.{abs(width)}" if cuts else str(width)


def _split(line: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(line):
        quoted = found["quote"] is not None
        name = "quoted" if quoted else "word"
        yield Token(found[name], found.start(name), quoted)


def parse_print_format(
    text: str, functions: Mapping[str, Function] = FUNCTIONS, cuts_widths: bool = True
) -> PrintFormat:
    """Read the text of a print-format file.

    :param text: the file's; a line that ends in a backslash goes on in the next one
    :param functions: those that PRINTAS may name
    :param cuts_widths: whether WIDTH alone cuts longer texts: not so for condor_status
    :raises BadPrintFormat: what is asked for is not supported, or a keyword lacks its value
    :raises BadFormat: of a PRINTF
    """
    if len(text) > MAX_CHARACTERS:
        raise BadPrintFormat(f"it has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    reader = _Reader(functions, cuts_widths)
    section = "SELECT"
    for line in text.replace("\\\n", "").splitlines():
        section = reader.read_line(line.strip(), section)
    return reader.found
