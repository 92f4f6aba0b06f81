"""condor_history: the jobs that left the queue (contract, section 4.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.commands.command_line import (
    EarlyExit,
    Flag,
    Word,
    answers_early,
    check_expression,
)
from vobox.commands.schedd_names import is_pool, is_schedd
from vobox.rpc.types import Answer, OwnerFiles, QueueView, Request

from .ad_files import read_ads_from, read_file, read_history
from .condor_history_options import COMMAND_LINE
from .output import Output, parse_limit, stream_answer, warn_if_outdated
from .selection import Selection
from .tables import HISTORY_HEADER, TableRows

#: Columns of what is no terminal: -print-format is cut there, too.
OTHER_WIDTH = 80
_LITERAL = re.compile(
    r'[\s(]*(-?[\d.]+(e[-+]?\d+)?|"[^"]*"|true|false|undefined|error)[\s)]*\Z', re.I
)


@answers_early
def answer(
    request: Request, view: QueueView, now: float, files: OwnerFiles | None = None
) -> Answer:
    """Carry out condor_history.

    :param now: epoch seconds
    :param files: reads ``-file`` with the caller's rights; without it the file is read only for
        a caller who is the user that this process runs as
    """
    evaluator = Evaluator(now, charge=request.charge)
    query = _Query(
        Output(
            evaluator,
            empty_list="[\n]\n",
            xml_gaps=("\n", "\n"),
            margin=0,
            ids=(),
            own_names=True,
            contradiction="Error: Cannot use more than one of XML and JSON[L]\n",
        )
    )
    _parse(request, query, files)
    _check_place(query, view)
    ads = _open_history(query, request, view, files)

    def find() -> Iterator[Ad]:
        return query.selection.filter(_limit_scan(ads(), query, evaluator), evaluator)

    stderr = "" if query.file else warn_if_outdated("condor_history", view)
    # HTCondor prints each job as it finds it: columns grow from row to row
    if (custom := query.output.print_format) is not None:
        # HTCondor always prints headings
        custom.header = True
        texts = custom.render(find, evaluator, measured=False)
        table = query.output.fit_rows(texts, request.env, OTHER_WIDTH)
        return stream_answer(table, custom.warnings + stderr)
    if query.output.is_table:
        rows = map(TableRows(evaluator).render_history, find())
        table = query.output.fit_rows(chain([HISTORY_HEADER], rows), request.env)
        return stream_answer(table, stderr)
    return stream_answer(query.output.render(find, measured=False), stderr)


@dataclass
class _Query:
    output: Output
    selection: Selection = field(default_factory=Selection)
    forwards: bool = False
    file: str = ""
    is_user_log: bool = False
    name: str = ""
    pool: str = ""
    #: look at so many jobs at most; None for all
    scan: int | None = None
    #: stop at the first job that this is true of
    since: str = ""

    @property
    def looks_at_all(self) -> bool:
        """Whether jobs that are not selected count as well: with -since and -scanlimit."""
        return bool(self.since) or self.scan is not None


def _parse(request: Request, query: _Query, files: OwnerFiles | None) -> None:
    has_since = False
    for argument in COMMAND_LINE.parse(request.argv):
        if isinstance(argument, Word):
            query.selection.add_word(argument.text)
            continue
        has_since |= argument.name == "since"
        if argument.name == "print-format":
            query.output.read_print_format(argument, request, files)
        elif not query.output.handle_option(argument):
            _apply_option(argument, query)
    query.output.check()
    table = query.output.print_format
    if table is not None and table.where:
        query.selection.constraints.append(table.where)
    if has_since and query.forwards:
        raise EarlyExit("Error: Argument -forwards cannot be combined with -since.\n")
    every = " && ".join(f"({text})" for text in query.selection.constraints)
    query.selection.constraints = [
        check_expression(text, f"Error:  could not parse constraint ( {every} )\n")
        for text in query.selection.constraints
    ]


def _apply_option(flag: Flag, query: _Query) -> None:
    if flag.values:
        _apply_value(flag.name, flag.value, query)
    elif flag.name == "backwards":
        query.forwards = False
    elif flag.name in ("forwards", "nobackwards"):
        query.forwards = True


def _apply_value(name: str, value: str, query: _Query) -> None:
    if name == "constraint":
        query.selection.constraints.append(value)
    elif name == "submitter":
        query.selection.owners.append(value.partition("@")[0])
    elif name in ("match", "limit"):
        query.selection.limit = parse_limit(value)
    elif name == "scanlimit":
        query.scan = parse_limit(value)
    elif name == "since":
        query.since = _parse_since(value)
    elif name == "completedsince":
        error = f"Error: '{value}' not valid parameter for -completedsince "
        query.since = check_expression(f"CompletionDate <= {value}", error)
    elif name in ("file", "userlog"):
        query.file = value
        query.is_user_log = name == "userlog"
    elif name == "name":
        query.name = value
    elif name == "pool":
        query.pool = value


def _parse_since(value: str) -> str:
    """Return the constraint of ``-since``: a job id, a cluster, or an expression."""
    job = Selection()
    job.add_word(value)
    if job.ids:
        cluster, proc = job.ids[0]
        constraint = f"ClusterId == {cluster}"
        return constraint if proc is None else f"{constraint} && ProcId == {proc}"
    error = f"Error: invalid -since constraint: {value}\n"
    error += "\tconstraint must be a job-id, or expression."
    if _LITERAL.match(value):
        raise EarlyExit(error)
    return check_expression(value, error)


def _check_place(query: _Query, view: QueueView) -> None:
    name_fits = not query.name or is_schedd(query.name, view.schedd_name)
    # A schedd that is named needs no pool to be found in.
    pool_fits = not query.pool or bool(query.name) or is_pool(query.pool, view.schedd_name)
    if not name_fits or not pool_fits:
        raise EarlyExit(
            f"Unable to locate remote schedd (name={query.name}, pool={query.pool}).\n",
            stdout=HISTORY_HEADER if query.output.is_table else "",
        )


def _open_history(
    query: _Query, request: Request, view: QueueView, files: OwnerFiles | None
) -> Callable[[], Iterator[Ad]]:
    """Return what finds the jobs to look at, each time again; raises EarlyExit for a bad file."""
    if not query.file:
        # -since and -scanlimit look at the other clusters' jobs, too.
        clusters = None if query.looks_at_all else query.selection.find_clusters()
        return lambda: view.read_history(clusters, query.forwards)
    if query.is_user_log:
        ads = read_ads_from("userlog", query.file, request, files, view)
        return lambda: iter(ads)  # in the order of ids, whatever is asked for
    text = read_file("file", query.file, request, files)
    return lambda: read_history(text, query.forwards, view.pause)


def _limit_scan(ads: Iterator[Ad], query: _Query, evaluator: Evaluator) -> Iterator[Ad]:
    """Return only the jobs that -scanlimit and -since leave to look at."""
    if query.scan is not None:
        ads = islice(ads, query.scan)
    if query.since:
        ads = takewhile(_not_yet(evaluator, query.since), ads)
    return ads


def _not_yet(evaluator: Evaluator, since: str) -> Callable[[Ad], bool]:
    return lambda ad: not evaluator.holds(ad, since)
