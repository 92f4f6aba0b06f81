"""The columns of ``-format`` and ``-autoformat``.

Both may be mixed on one command line; their columns then make one row. Only
``-autoformat`` puts anything between columns and ends rows with a newline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from vobox.classad.ad import Ad, convert_old_syntax
from vobox.classad.expressions import Evaluator, is_expression

from .printf import byte_length, measure_value, pad_bytes, parse_format
from .renderers import RAW, Renderer, Renderers, is_name

#: Characters of an expression that is a heading without ``h``.
_LONG_HEADING = 16


class BadExpression(ValueError):
    """What was asked for is neither an attribute nor an expression."""


@dataclass(frozen=True)
class Column:
    """One column of a row."""

    render: Renderer
    #: where there is one, the column is as wide as it and its widest value
    heading: str | None = None
    #: the value that the width is measured by, else it is the text
    value: Callable[[Ad], object] | None = None


class PrintMask:
    """The columns asked for, in order, and what stands between them."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._renderers = Renderers(evaluator)
        self._columns: list[Column] = []
        self._row_prefix = self._column_prefix = self._column_suffix = self._row_suffix = ""
        self._headings = False
        #: what was named, for the forms that print whole ads
        self.names: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._columns)

    def add_format(self, text: str, attribute: str) -> None:
        """Add the column of ``-format TEXT ATTRIBUTE``; raises BadFormat and BadExpression."""
        form = parse_format(text)
        expression = self._add_name(attribute)
        self._columns.append(Column(self._renderers.build_printf(form, expression)))

    def add_autoformat(self, attributes: Sequence[str], letters: str) -> None:
        """Add the columns of ``-autoformat:LETTERS ATTRIBUTES``; raises BadExpression."""
        row_prefix, prefix, suffix = "", " ", ""
        for letter in letters:
            if letter == ",":
                suffix = ","
            elif letter == "n":
                suffix = "\n"
            elif letter == "g":
                row_prefix, prefix = "\n", ""
            elif letter == "t":
                prefix = "\t"
        self._row_prefix, self._column_prefix = row_prefix, prefix
        self._column_suffix, self._row_suffix = suffix, "\n"
        own_headings = "h" in letters
        self._headings = self._headings or own_headings
        if "j" in letters:
            self._add_job_id(labelled="l" in letters)
        by_value = not RAW.union("TY").intersection(letters)
        for attribute in attributes:
            expression = self._add_name(attribute)
            show = self._renderers.build_autoformat(expression, letters)
            if self._headings:
                is_short = own_headings or len(attribute) <= _LONG_HEADING
                heading = attribute if is_short or is_name(attribute) else "(expr)"
                value = partial(self._renderers.evaluate, attribute=expression)
                column = Column(show, heading, value if by_value else None)
            elif "l" in letters:
                column = Column(_add_label(attribute, show))
            else:
                column = Column(show)
            self._columns.append(column)

    def render_rows(self, find: Callable[[], Iterable[Ad]], measured: bool = True) -> Iterator[str]:
        """Yield the text of each job, with its newline if it has one; headings first.

        ``measured``: ``find`` is called twice where there are headings: columns are as wide as
        their widest value, and are not all held in memory; else they grow from row to row.
        """
        shows = [column.render for column in self._columns]
        if self._headings:
            yield from self._align(find, measured)
            return
        separator = self._column_suffix + self._column_prefix
        prefix, suffix = self._row_prefix, self._row_suffix
        for ad in find():
            yield prefix + separator.join([show(ad) for show in shows]) + suffix

    def _align(self, find: Callable[[], Iterable[Ad]], measured: bool) -> Iterator[str]:
        columns = self._columns
        # as HTCondor's: in the first columns, whichever of them have none
        headings = [column.heading for column in columns if column.heading is not None]
        widths = [len(column.heading or "") for column in columns]
        headed = [number for number, column in enumerate(columns) if column.heading is not None]
        separator = self._column_suffix + self._column_prefix

        def measure(ad: Ad, row: list[str]) -> None:
            for number in headed:
                value = columns[number].value
                width = byte_length(row[number]) if value is None else measure_value(value(ad))
                widths[number] = max(widths[number], width)

        def align(row: list[str]) -> str:
            cells = map(pad_bytes, row, (-width for width in widths))
            return self._row_prefix + separator.join(cells) + self._row_suffix

        for ad in find() if measured else ():
            measure(ad, [column.render(ad) for column in columns])
        yield align(headings)
        for ad in find():
            row = [column.render(ad) for column in columns]
            measure(ad, row)
            yield align(row)
            for number in headed:  # what was printed counts whole, its quotes, too
                widths[number] = max(widths[number], byte_length(row[number]))

    def _add_job_id(self, labelled: bool) -> None:
        label = "ID = " if labelled else ""
        cluster = self._renderers.build_printf(parse_format(label + "%d."), "ClusterId")
        proc = self._renderers.build_printf(parse_format("%d"), "ProcId")
        heading = " ID" if self._headings else None

        def show(ad: Ad) -> str:
            if "ClusterId" not in ad and "JobId" in ad:  # a slot
                return label + ad.text("JobId")
            return cluster(ad) + proc(ad)

        # a label does not count for the column's width
        self._columns.append(Column(show, heading, lambda ad: show(ad)[len(label) :]))

    def _add_name(self, attribute: str) -> str:
        """Note an attribute or expression as typed; return it in the new ClassAd syntax."""
        expression = convert_old_syntax(attribute)
        if not is_name(attribute) and not is_expression(expression):
            raise BadExpression(attribute)
        self.names.append(expression)
        return expression


def _add_label(attribute: str, show: Renderer) -> Renderer:
    label = attribute + " = "
    return lambda ad: label + show(ad)
