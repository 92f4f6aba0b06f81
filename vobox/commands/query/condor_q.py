"""condor_q: what is in the queue (contract, section 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.commands.command_line import (
    EarlyExit,
    Flag,
    Word,
    answers_early,
    check_expression,
)
from vobox.commands.schedd_names import format_address, get_host, is_pool, is_schedd
from vobox.jobs.status import HELD, IDLE, RUNNING, SUSPENDED, TRANSFERRING_OUTPUT
from vobox.rpc.types import Answer, OwnerFiles, QueueView, Request

from . import tables
from .ad_files import FileView, read_ads_from
from .analysis import render_analysis
from .batch import render_batch_table
from .condor_q_options import COMMAND_LINE, USAGE
from .kept_ads import keep_ads
from .output import Output, parse_positive, stream_answer, warn_if_outdated
from .print_format import BadPrintFormat, PrintFormat
from .print_functions import FUNCTIONS, QUEUE_FUNCTIONS
from .renderers import format_title_date
from .selection import Selection
from .totals import build_summary_ad, render_footer, render_totals_line

_TRUE: Final = {"true", "t", "yes", "y", "1"}
_FALSE: Final = {"false", "f", "no", "n", "0"}
#: Options that select jobs by their status, and those of them that have a table of their own.
_STATUSES: Final = {
    "run": (RUNNING, TRANSFERRING_OUTPUT, SUSPENDED),
    "hold": (HELD,),
    "held": (HELD,),
    "idle": (IDLE,),
}
#: Jobs that left the queue whose owners still count as submitters.
RECENT_JOBS: Final = 1000
_ANALYSES: Final = ("better-analyze", "better-analyse", "analyze", "analyse")
_CLOCKS: Final[Mapping[str, tables.Clock]] = {"cputime": "cpu", "currentrun": "current"}


@answers_early
def answer(
    request: Request, view: QueueView, now: float, files: OwnerFiles | None = None
) -> Answer:
    """Carry out condor_q.

    :param now: epoch seconds
    :param files: reads the files of options with the caller's rights, see ``read_file``
    """
    evaluator = Evaluator(now, {"ServerTime": str(int(now))}, request.charge)
    query = _parse(request, view, evaluator, files)
    table = query.output.print_format
    warnings = table.warnings if table is not None else ""
    stderr = "" if query.file else warn_if_outdated("condor_q", view)
    if query.submitter and not _is_submitter(query.submitter, view):
        raise EarlyExit("Error: Collector has no record of schedd/submitter\n")
    if query.file:
        ads = read_ads_from(*query.file, request, files, view)
        return stream_answer(_render(query, request, FileView(ads, view), evaluator), warnings)
    # The CE's health check: only it asks whether the queue can be relied on.
    code = 1 if stderr and not request.argv else 0
    return stream_answer(_render(query, request, view, evaluator), warnings + stderr, code)


def _is_submitter(user: str, view: QueueView) -> bool:
    """Return whether the user has jobs, or had some of the last ``RECENT_JOBS`` that ended."""
    owner = user.partition("@")[0]
    if any(view.count_jobs(owner).values()):
        return True
    ended = islice(view.read_history(), RECENT_JOBS)
    return any(ad.text("Owner").lower() == owner.lower() for ad in ended)


@dataclass
class _Query:
    output: Output
    selection: Selection = field(default_factory=Selection)
    everybody: bool = False
    #: whether the caller's own jobs are asked for because he named nobody's
    own: bool = False
    every_schedd: bool = False
    #: "", or the user that -submitter names
    submitter: str = ""
    #: an option that names a file of ads, and that file
    file: tuple[str, str] | None = None
    #: run, hold, idle, totals, factory or analysis; "": the table that batch names
    kind: str = ""
    #: whether there is a row for each batch, not for each job
    batch: bool = True
    #: whether -batch said so: it then counts more than ``kind``
    chose_batch: bool = False
    dag: bool = False
    clock: tables.Clock = "wall"

    @property
    def table(self) -> str:
        """Return the kind of table: ``kind``, batch or queue."""
        if self.chose_batch and self.kind != "analysis":
            return "batch"
        return self.kind or ("batch" if self.batch else "queue")


def _parse(
    request: Request, view: QueueView, evaluator: Evaluator, files: OwnerFiles | None
) -> _Query:
    batch = _read_setting(request.env, "CONDOR_Q_DASH_BATCH_IS_DEFAULT", True)
    both = "Error: Cannot print as both XML and JSON\n"
    query = _Query(Output(evaluator, contradiction=both), batch=batch)
    for argument in COMMAND_LINE.parse(request.argv):
        if isinstance(argument, Word):
            query.selection.add_word(argument.text)
        elif argument.name == "print-format":
            functions = {**FUNCTIONS, **QUEUE_FUNCTIONS}
            query.output.read_print_format(argument, request, files, functions)
        elif not query.output.handle_option(argument):
            _apply_option(argument, query, view)
    query.output.check()
    selection = query.selection
    if query.output.print_format is not None and query.output.print_format.where:
        _apply_value("constraint", query.output.print_format.where, query, view)
    # root is a superuser of the queue, to whom all jobs are shown
    everybody = query.everybody or query.file is not None or request.uid == 0
    own = _read_setting(request.env, "CONDOR_Q_ONLY_MY_JOBS", True) and not everybody
    if own and not selection.ids and not selection.owners:
        selection.owners.append(request.user)
        query.own = True
    return query


def _read_setting(env: Mapping[str, str], name: str, default: bool) -> bool:
    """Return a setting of HTCondor's configuration, which ``_CONDOR_NAME`` in ``env`` overrides.

    ARC sets ``_condor_CONDOR_Q_ONLY_MY_JOBS=false``; both cases of both parts count.
    """
    wanted = "_condor_" + name.lower()
    word = next((value for key, value in env.items() if key.lower() == wanted), "")
    word = word.strip().lower()
    return word in _TRUE if word in _TRUE | _FALSE else default


def _apply_option(flag: Flag, query: _Query, view: QueueView) -> None:
    if flag.option.ignored:
        return
    if flag.values:
        _apply_value(flag.name, flag.value, query, view)
    else:
        _apply_plain(flag.name, query)


def _apply_value(name: str, value: str, query: _Query, view: QueueView) -> None:
    if name == "constraint":
        error = f"Error: Failed to parse constraint: {value}\n"
        query.selection.constraints.append(check_expression(value, error))
    elif name == "submitter":
        query.selection.owners.append(value.partition("@")[0])
        query.submitter = value
    elif name in ("userlog", "jobads"):
        query.file = (name, value)
    elif name == "limit":
        query.selection.limit = parse_positive(value, "-limit")
    elif name == "name" and not is_schedd(value, view.schedd_name):
        raise EarlyExit("Error: Collector has no record of schedd/submitter\n")
    elif name == "pool" and not is_pool(value, view.schedd_name):
        raise EarlyExit(
            f"Error: Couldn't contact the condor_collector on {value}.\n\n"
            f"Extra Info: this schedd is its own pool and answers to -pool {view.schedd_name}.\n"
        )
    elif name == "direct" and value != "schedd":
        raise EarlyExit(f"Error: -direct {value}: there is only the schedd to ask\n")


def _apply_plain(name: str, query: _Query) -> None:
    if name in ("allusers", "all-users"):
        query.everybody = True
    elif name == "global":
        query.every_schedd = True
    elif name in _STATUSES:
        statuses = frozenset(map(str, _STATUSES[name]))
        if query.selection.statuses not in (None, statuses):
            raise EarlyExit("-run and -hold/held or -idle are incompatible\n", stdout=USAGE)
        query.selection.statuses = statuses
        if query.kind != "totals":
            query.kind = "hold" if name == "held" else name
    elif name in _ANALYSES:
        query.kind = "analysis"
    elif name == "totals":
        query.kind, query.chose_batch = name, False
    elif name == "factory":
        query.kind = name
    elif name in _CLOCKS:
        query.clock = _CLOCKS[name]
    elif name == "dag":
        query.dag = True
    else:
        query.batch = query.chose_batch = name == "batch"


def _render(
    query: _Query, request: Request, view: QueueView, evaluator: Evaluator
) -> Iterator[str]:
    if query.every_schedd and not any(view.count_jobs().values()):
        yield "All queues are empty\n"
        return
    selection = query.selection
    if query.output.print_format is not None:
        yield from _render_print_format(query.output.print_format, query, request, view, evaluator)
        return
    if query.output.is_table:
        yield _render_title(query, view, evaluator)
        if query.table == "totals":
            # HTCondor ends here with one more empty line; AliEn reads the last line.
            counts = _count_statuses(query, view, evaluator)
            yield _render_footer(counts, query, request, view)
        else:
            rows = _render_table(query, request, view, evaluator)
            is_whole = query.table in ("analysis", "hold")
            yield from rows if is_whole else query.output.fit_rows(rows, request.env)
        return
    if query.table == "totals":
        counts = _count_statuses(query, view, evaluator)
        ad = build_summary_ad(counts, *_count_users(query, request, view))
        yield from query.output.render(lambda: [ad])
        return
    yield from query.output.render(lambda: selection.find(view, evaluator))


def _render_print_format(
    table: PrintFormat, query: _Query, request: Request, view: QueueView, evaluator: Evaluator
) -> Iterator[str]:
    def find() -> Iterable[Ad]:
        return query.selection.find(view, evaluator)

    try:
        ads = table.sort(keep_ads(find(), view), evaluator) if table.group_by else None
    except BadPrintFormat as bad:
        raise EarlyExit(f"Error: -print-format: {bad}\n") from None
    if table.title:
        yield _render_title(query, view, evaluator)
    if table.columns:
        # of a copy: what a kept ad was asked for would stay in memory
        again = find if ads is None else lambda: (ad.copy() for ad in ads)
        rows = table.render(again, evaluator, measured=True)
        yield from query.output.fit_rows(rows, request.env)
    if table.summary:
        counts = _count_statuses(query, view, evaluator)
        yield "\n" + _render_footer(counts, query, request, view) + "\n"


def _render_table(
    query: _Query, request: Request, view: QueueView, evaluator: Evaluator
) -> Iterator[str]:
    rows = tables.TableRows(evaluator, query.clock, query.dag)
    clock = "CPU" if query.clock == "cpu" else "RUN"
    totals: Counter[int] = Counter()

    def counted() -> Iterator[Ad]:
        totals.clear()
        for ad in query.selection.find(view, evaluator):
            totals[ad.number("JobStatus")] += 1
            yield ad

    if query.table == "run":
        yield tables.RUN_HEADER % clock
        yield from map(rows.render_run, counted())
        return
    if query.table == "idle":
        yield tables.IDLE_HEADER
        yield from map(rows.render_idle, counted())
        return
    if query.table == "analysis":
        yield from render_analysis(counted(), view, evaluator.now, not query.file)
        return
    if query.table == "factory":  # all jobs are made when they are submitted
        yield tables.FACTORY_HEADER
        return
    if query.table == "batch":
        whole = query.selection.is_whole_clusters
        jobs = query.selection.find(view, evaluator)
        yield from render_batch_table(jobs, evaluator, whole, totals)
    elif query.table == "hold":
        yield tables.HOLD_HEADER
        yield from map(rows.render_hold, counted())
    else:
        yield (tables.DAG_HEADER if query.dag else tables.QUEUE_HEADER) % clock
        yield from map(rows.render_queue, counted())
    yield "\n" + _render_footer(totals, query, request, view) + "\n"


def _count_statuses(query: _Query, view: QueueView, evaluator: Evaluator) -> Mapping[int, int]:
    """Count the jobs that are asked for by JobStatus."""
    if query.selection.is_whole_owners:
        # Nothing but numbers: the ledger knows them without reading a job.
        return _count_owners(query.selection, view)
    return Counter(ad.number("JobStatus") for ad in query.selection.find(view, evaluator))


def _count_owners(selection: Selection, view: QueueView) -> Mapping[int, int]:
    """Count all jobs of some owners by JobStatus."""
    if not selection.owners:
        return view.count_jobs()
    totals: dict[int, int] = {}
    for owner in dict.fromkeys(selection.owners):
        for status, number in view.count_jobs(owner).items():
            totals[status] = totals.get(status, 0) + number
    return totals


def _render_footer(
    counts: Mapping[int, int], query: _Query, request: Request, view: QueueView
) -> str:
    """Render the totals; ``counts``: of the jobs that are asked for."""
    if query.file:
        return f"{render_totals_line('query', counts)}\n"
    return render_footer(counts, *_count_users(query, request, view))


def _count_users(
    query: _Query, request: Request, view: QueueView
) -> tuple[str, Mapping[int, int] | None, Mapping[int, int]]:
    """Return the caller's name, the counts of his jobs if his own are meant, and of everybody's."""
    own = view.count_jobs(request.user) if query.own else None
    return f"{request.user}@{get_host(view.schedd_name)}", own, view.count_jobs()


def _render_title(query: _Query, view: QueueView, evaluator: Evaluator) -> str:
    """Return two empty lines and whose queue this is."""
    where = format_address(view.address)
    when = "" if query.table == "analysis" else f" @ {format_title_date(evaluator.now)}"
    if query.file:
        option, name = query.file
        return f"\n\n-- {option.capitalize()}: {tables.sanitize_cell(name)}{when}\n"
    if not query.submitter:
        return f"\n\n-- Schedd: {view.schedd_name} : {where}{when}\n"
    host = get_host(view.schedd_name)
    user = tables.sanitize_cell(query.submitter)
    user = user if "@" in user else f"{user}@{host}"
    return f"\n\n-- Submitter: {user} : {where} : {host}{when}\n"
