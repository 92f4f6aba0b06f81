"""The output forms that all query commands share, and answers that are sent in chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from vobox.classad.ad import Ad, ParseError
from vobox.classad.expressions import Evaluator, compile_expression
from vobox.client.client import TERMINAL_WIDTH, describe_failure
from vobox.commands.command_line import EarlyExit, Flag, parse_leading_integer
from vobox.rpc.types import Answer, OwnerFiles, QueueView, Request

from .ad_files import read_file
from .formats import Projection, render_json, render_json_lines, render_long, render_xml
from .print_format import BadPrintFormat, PrintFormat, parse_print_format
from .print_functions import FUNCTIONS, Function
from .printf import BadFormat
from .printmask import BadExpression, PrintMask

_WHOLE_AD: Final = ("long", "json", "jsonl", "xml")
_AUTOFORMAT: Final = ("af", "autoformat")
#: condor_status -wide:N with a greater number is laid out as -wide is.
_ANY_WIDTH: Final = 100
#: Characters of stdout that are made before they are sent.
_CHUNK_SIZE: Final = 1 << 16


class Output:
    """The form that the options ask for; the command's own table if they ask for none.

    ``empty_list``: what ``-json`` prints where there is no job; ``xml_gaps``: what ``-xml`` puts
    after each job, and after the head and the tail; ``margin``: by how much rows are narrower than
    what ``-wide:N`` says; ``ids``: the attributes that ``-long`` and the like print with those of
    ``-format`` and ``-af``; ``own_names``: all but ``-long`` spell what ``-attributes`` names as
    the job does; ``contradiction``: what is said of two of ``-json``, ``-jsonl`` and ``-xml``,
    which ``-long`` does not change then; without it the last option counts.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        empty_list: str = "",
        xml_gaps: tuple[str, str] = ("", ""),
        margin: int = 1,
        ids: Sequence[str] = ("ClusterId", "ProcId"),
        own_names: bool = False,
        contradiction: str = "",
    ) -> None:
        self._evaluator = evaluator
        self._contradiction = contradiction
        self._margin = margin
        self._ids = ids
        self._own_names = own_names
        self._xml_gaps = xml_gaps
        self._empty_list = empty_list
        self._form = ""
        self._mask = PrintMask(evaluator)
        self._attributes: list[str] | None = None
        #: what ``-wide`` said: columns, 0 for any number; None: it was not given
        self._width: int | None = None
        self._print_format: PrintFormat | None = None

    @property
    def is_table(self) -> bool:
        """Whether the command prints its own table."""
        return not self._form and not self._mask and self._print_format is None

    @property
    def is_wide(self) -> bool:
        """Whether ``-wide`` was given, with a number that counts as any."""
        return self._width is not None and (not self._width or self._width > _ANY_WIDTH)

    @property
    def print_format(self) -> PrintFormat | None:
        """The table of ``-print-format``, None if another form is printed."""
        return None if self._form else self._print_format

    def read_print_format(
        self,
        flag: Flag,
        request: Request,
        files: OwnerFiles | None,
        functions: Mapping[str, Function] = FUNCTIONS,
        cuts_widths: bool = True,
    ) -> None:
        """Read the file of ``-print-format``; ``!`` is none.

        :param request: whose file it is; see ``read_file``
        :param functions: as of ``parse_print_format``, like ``cuts_widths``
        :raises EarlyExit: it cannot be read or used
        """
        if flag.value == "!":
            return
        if flag.value == "-":
            raise EarlyExit("Error: -print-format -: the schedd reads it; name a file\n")
        if flag.value.startswith("-"):
            raise EarlyExit(f"Error: {flag.option.missing.removeprefix('Error: ')}\n")
        text = read_file(flag.name, flag.value, request, files)
        try:
            self._print_format = parse_print_format(text, functions, cuts_widths)
        except (BadFormat, BadPrintFormat) as bad:
            raise EarlyExit(f"Error: -print-format {flag.value}: {bad}\n") from None

    def check(self) -> None:
        """Check that the options about the form fit together; raises EarlyExit."""
        if self._print_format is not None and self._mask:
            raise EarlyExit("Error: -print-format together with -af or -format is not supported\n")

    def handle_option(self, flag: Flag) -> bool:
        """Do what the option asks if it is about the form, and return whether it is.

        :raises EarlyExit: for text that is not an expression or a format
        """
        name = flag.name
        if name == "long" and flag.letters == "new":
            raise EarlyExit("Error: -long:new is not supported here: use -long or -json\n")
        if name in _WHOLE_AD:
            self._take_form(name, flag.letters)
        elif name == "attributes":
            names = [word for word in re.split(r"[,\s]+", flag.values[0]) if word]
            self._attributes = [*(self._attributes or []), *names]
        elif name == "format":
            self._add_format(*flag.values)
        elif name == "wide":
            self._width = int(re.match(r"[0-9]{0,5}", flag.letters)[0] or 0)  # type: ignore[index]
        elif name in _AUTOFORMAT:
            try:
                self._mask.add_autoformat(flag.values, flag.letters)
            except BadExpression as bad:
                raise EarlyExit(f"Error: invalid expression : {bad}\n") from None
        else:
            return False
        return True

    def _take_form(self, name: str, letters: str) -> None:
        form = self._form if self._contradiction else ""
        if name != "long":
            if form not in ("", "long", name):
                raise EarlyExit(self._contradiction)
            self._form = name
        elif letters in _WHOLE_AD:  # HTCondor takes any other word for -long alone
            self._form = letters
        else:
            self._form = form or name

    def render(self, find: Callable[[], Iterable[Ad]], measured: bool = True) -> Iterator[str]:
        """Print the jobs that ``find`` returns, piece by piece; ``measured`` as of PrintMask."""
        if not self._form:
            return self._mask.render_rows(find, measured)
        ads = find()
        as_named = bool(self._attributes) and (self._form == "long" or not self._own_names)
        projection = Projection(self._find_names(), self._evaluator.extra, as_named)
        if self._form == "json":
            return render_json(ads, projection, self._empty_list)
        if self._form == "jsonl":
            return render_json_lines(ads, projection)
        if self._form == "xml":
            return render_xml(ads, projection, *self._xml_gaps)
        return render_long(ads, projection)

    def read_width(self, env: Mapping[str, str], width: int = 0) -> int:
        """Return the columns for a table, one less than the caller's terminal; 0: any number.

        ``width``: of what is no terminal, 0 for any.
        """
        if self._width is not None:
            return max(self._width - self._margin, 0)
        given = env.get(TERMINAL_WIDTH, "")[:5]
        columns = int(given) if given.isdecimal() else width
        return max(columns - 1, 0)

    def fit_rows(
        self, rows: Iterable[str], env: Mapping[str, str], width: int = 0
    ) -> Iterator[str]:
        """Cut a table's rows to the caller's terminal, unless ``-wide`` was given.

        One column less than it has, as HTCondor does; ``width``: of what is no terminal, 0 for
        any. Footers, which begin with an empty line, are left whole.
        """
        most = self.read_width(env, width)
        if most < 1:
            yield from rows
            return
        for text in rows:
            if len(text) <= most or text.startswith("\n"):
                yield text
            else:
                yield "\n".join(line[:most] for line in text.split("\n"))

    def _add_format(self, text: str, attribute: str) -> None:
        try:
            self._mask.add_format(text, attribute)
        except BadFormat as bad:
            raise EarlyExit(f"Error: -format {text!r}: {bad}\n") from None
        except BadExpression as bad:
            raise EarlyExit(f"Error: invalid expression : {bad}\n") from None

    def _find_names(self) -> list[str] | None:
        """Return what ``-attributes`` names, or else what ``-format`` and ``-af`` refer to.

        None: all attributes.
        """
        if self._attributes is not None:
            return self._attributes or None
        if not self._mask:
            return None
        names = list(self._ids)
        for expression in self._mask.names:
            names.append(expression)
            try:
                names.extend(compile_expression(expression).names)
            except ParseError:
                continue  # an attribute with a name that is no expression
        return names


def stream_answer(text: Iterable[str], stderr: str = "", code: int = 0) -> Answer:
    """Return the answer with this stdout: all of it if it is short, else the rest as it is made.

    ``text``: parts of the stdout, made as they are asked for; ``code``: the exit code.
    """
    chunks = _join_chunks(text)
    first = next(chunks, "")
    second = next(chunks, None)
    if second is None:
        return Answer(first, stderr, code)
    rest = (Answer(each, code=code) for each in chain([second], chunks))
    return Answer(first, stderr, code, rest)


def _join_chunks(text: Iterable[str]) -> Iterator[str]:
    chunk: list[str] = []
    size = 0
    for each in text:
        chunk.append(each)
        size += len(each)
        if size >= _CHUNK_SIZE:
            yield "".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield "".join(chunk)


def warn_if_outdated(command: str, view: QueueView) -> str:
    """Return a line for stderr if the answer may be out of date, else "".

    Raises EarlyExit, with what is said without a schedd, where jobs are missing: a CE takes a job
    that is not there for one that is gone.
    """
    trouble = " ".join(view.trouble.split())
    if view.is_partial:
        why = f"the schedd's ledger is still being made: {trouble}; try again"
        raise EarlyExit(describe_failure(command, [], view.address.strip("<>"), why))
    if not trouble:
        return ""
    return f"{command}: warning: answered from the ledger, which may be out of date: {trouble}\n"


def parse_limit(text: str) -> int | None:
    """Return the number that the text begins with, as C's atoi; None (no limit) if below 1."""
    number, _ = parse_leading_integer(text)
    return number if number > 0 else None


def parse_positive(text: str, option: str) -> int:
    """Return the number of ``-limit N``; raises EarlyExit with HTCondor's words."""
    number, rest = parse_leading_integer(text)
    if rest:
        raise EarlyExit(f"Error: Unable to convert ({text}) to a number for {option}.\n")
    if number <= 0:
        raise EarlyExit(f"Error: {number} is not a valid for {option}.\n")
    return number
