"""condor_history: the jobs that left the queue (contract, section 4.2)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile
from pathlib import Path

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator, is_expression
from vobox.commands.common import answered, cleaned, ended, positive, warning
from vobox.commands.errors import Ended, refused
from vobox.commands.option_parser import Flag, MissingValue, UnknownOption, Word, parse_arguments
from vobox.commands.schedd_names import is_pool, is_schedd
from vobox.commands.version import VERSION_TEXT
from vobox.rpc.types import Answer, OwnerFiles, QueueView, Request

from .condor_history_options import OPTIONS, USAGE
from .history_file import read_history
from .output import Output
from .selection import Selection
from .tables import HISTORY_HEADER, Rows


def answer(
    request: Request, view: QueueView, now: float, files: OwnerFiles | None = None
) -> Answer:
    """Never raises for anything that a user can type; ``now``: epoch seconds.

    ``files`` reads ``-file`` with the caller's rights. Without it the file is
    read only for a caller who is the user that this process runs as.
    """
    evaluator = Evaluator(now)
    query = _Query(Output(evaluator, empty_list="[\n]\n"))
    try:
        _read(request, query)
        _check_place(query, view)
        ads = _history(query, request, view, files)
    except Ended as early:
        return ended(early)

    def find() -> Iterator[Ad]:
        scanned = _scanned(ads(), query, evaluator)
        in_order = reversed(list(scanned)) if query.turns_round else scanned
        return query.selection.of(in_order, evaluator)

    stderr = "" if query.file else warning("condor_history", view)
    if query.output.is_table:
        return answered(chain([HISTORY_HEADER], map(Rows(evaluator).history, find())), stderr)
    return answered(query.output.text(find), stderr)


@dataclass
class _Query:
    output: Output
    selection: Selection = field(default_factory=Selection)
    forwards: bool = False
    file: str = ""
    name: str = ""
    pool: str = ""
    #: look at so many jobs at most; None for all
    scan: int | None = None
    #: stop at the first job that this is true of
    since: str = ""

    @property
    def looks_at_all(self) -> bool:
        """Whether other jobs than the selected ones count: newest first, up to some place."""
        return bool(self.since) or self.scan is not None

    @property
    def turns_round(self) -> bool:
        """Whether the jobs come newest first and are wanted the other way."""
        return self.forwards and (bool(self.file) or self.looks_at_all)


def _read(request: Request, query: _Query) -> None:
    try:
        for argument in parse_arguments(cleaned(request.argv), OPTIONS):
            if isinstance(argument, Word):
                query.selection.add_word(argument.text)
            elif not query.output.take(argument):
                _obey(argument, query)
    except UnknownOption as unknown:
        raise Ended(f"Error: Unknown argument {unknown.spelled}\n", stdout=USAGE) from None
    except MissingValue as missing:
        flag = missing.flag
        raise refused(flag.option.missing.format(flag.spelled)) from None
    for constraint in query.selection.constraints:
        if not is_expression(constraint):
            raise Ended(f"Error:  could not parse constraint ( {constraint} )\n")


def _obey(flag: Flag, query: _Query) -> None:
    option = flag.option
    if option.refused:
        raise refused(f"{flag.spelled} is not supported here: {option.refused}")
    if option.values:
        _obey_with_value(option.name, flag.values[0], query)
    elif option.name == "backwards":
        query.forwards = False
    elif option.name in ("forwards", "nobackwards"):
        query.forwards = True
    elif option.name == "version":
        raise Ended(stdout=VERSION_TEXT, code=0)
    elif option.name == "help":
        raise Ended(stdout=USAGE, code=0)


def _obey_with_value(name: str, value: str, query: _Query) -> None:
    if name == "constraint":
        query.selection.constraints.append(value)
    elif name == "submitter":
        query.selection.owners.append(value.partition("@")[0])
    elif name in ("match", "limit"):
        query.selection.limit = positive(value, f"-{name}")
    elif name == "scanlimit":
        query.scan = positive(value, "-scanlimit")
    elif name == "since":
        query.since = _since(value)
    elif name == "file":
        query.file = value
    elif name == "name":
        query.name = value
    elif name == "pool":
        query.pool = value


def _since(value: str) -> str:
    """``-since``: a job id, a cluster, or an expression; as a constraint."""
    job = Selection()
    job.add_word(value)
    if job.ids:
        cluster, proc = job.ids[0]
        constraint = f"ClusterId == {cluster}"
        return constraint if proc is None else f"{constraint} && ProcId == {proc}"
    if not is_expression(value):
        raise refused(f"could not parse the -since expression ( {value} )")
    return value


def _check_place(query: _Query, view: QueueView) -> None:
    name_fits = not query.name or is_schedd(query.name, view.schedd_name)
    # A schedd that is named needs no pool to be found in.
    pool_fits = not query.pool or bool(query.name) or is_pool(query.pool, view.schedd_name)
    if not name_fits or not pool_fits:
        raise Ended(
            f"Unable to locate remote schedd (name={query.name}, pool={query.pool}).\n",
            stdout=HISTORY_HEADER if query.output.is_table else "",
        )


def _history(
    query: _Query, request: Request, view: QueueView, files: OwnerFiles | None
) -> Callable[[], Iterator[Ad]]:
    """What finds the jobs to look at, as often as it is called; raises Ended for a bad file."""
    if not query.file:
        # -since and -scanlimit look at the other clusters' jobs, too.
        clusters = None if query.looks_at_all else query.selection.clusters()
        oldest_first = query.forwards and not query.turns_round
        return lambda: view.history(clusters, oldest_first)
    path = os.path.join(request.cwd, query.file)  # noqa: PTH118 - a joined text, not a path to walk
    if files is None and request.uid != os.geteuid():
        raise refused(f"-file {query.file}: this schedd cannot read files with your rights")
    try:
        content = files.read(path) if files is not None else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise refused(f"-file {query.file}: {reason}") from None
    return lambda: read_history(content.decode("utf-8", "replace"))


def _scanned(ads: Iterator[Ad], query: _Query, evaluator: Evaluator) -> Iterator[Ad]:
    """The jobs that are looked at."""
    if query.scan is not None:
        ads = islice(ads, query.scan)
    if query.since:
        ads = takewhile(_not_yet(evaluator, query.since), ads)
    return ads


def _not_yet(evaluator: Evaluator, since: str) -> Callable[[Ad], bool]:
    return lambda ad: not evaluator.holds(ad, since)
