"""condor_q: what is in the queue (contract, section 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.commands.common import answered, checked_constraint, cleaned, ended, positive, warning
from vobox.commands.errors import Ended, refused
from vobox.commands.option_parser import Flag, MissingValue, UnknownOption, Word, parse_arguments
from vobox.commands.schedd_names import host_of, is_pool, is_schedd, open_address
from vobox.commands.version import VERSION_TEXT
from vobox.jobs.status import HELD, IDLE, RUNNING, SUSPENDED, TRANSFERRING_OUTPUT
from vobox.rpc.types import Answer, QueueView, Request

from . import knobs, tables
from .batch import NAMES as BATCH_NAMES
from .batch import batch_table
from .condor_q_options import OPTIONS, USAGE
from .output import Output
from .selection import Selection
from .times import title_date
from .totals import footer, summary

_RUN_STATES: Final = (RUNNING, TRANSFERRING_OUTPUT, SUSPENDED)


def answer(request: Request, view: QueueView, now: float) -> Answer:
    """Never raises for anything that a user can type; ``now``: epoch seconds."""
    evaluator = Evaluator(now, {"ServerTime": str(int(now))})
    try:
        query = _read(request, view, evaluator)
    except Ended as early:
        return ended(early)
    stderr = warning("condor_q", view)
    # The CE's health check: only it asks whether the queue can be relied on.
    code = 1 if stderr and not request.argv else 0
    return answered(_print(query, request, view, evaluator), stderr, code)


@dataclass
class _Query:
    output: Output
    selection: Selection = field(default_factory=Selection)
    everybody: bool = False
    every_schedd: bool = False
    #: "", or the user that -submitter names
    submitter: str = ""
    table: str = "batch"  #: batch, queue, run, hold or totals
    clock: tables.Clock = "wall"


def _read(request: Request, view: QueueView, evaluator: Evaluator) -> _Query:
    batch = knobs.boolean(request.env, "CONDOR_Q_DASH_BATCH_IS_DEFAULT", True)
    query = _Query(Output(evaluator), table="batch" if batch else "queue")
    try:
        for argument in parse_arguments(cleaned(request.argv), OPTIONS):
            if isinstance(argument, Word):
                query.selection.add_word(argument.text)
            elif not query.output.take(argument):
                _obey(argument, query, view)
    except UnknownOption as unknown:
        raise Ended(f"Error: unrecognized argument {unknown.spelled}\n{USAGE}") from None
    except MissingValue as missing:
        raise refused(missing.flag.option.missing) from None
    selection = query.selection
    own = knobs.boolean(request.env, "CONDOR_Q_ONLY_MY_JOBS", True) and not query.everybody
    if own and not selection.ids and not selection.owners:
        selection.owners.append(request.user)
    return query


def _obey(flag: Flag, query: _Query, view: QueueView) -> None:
    option = flag.option
    if option.refused:
        raise refused(f"{flag.spelled} is not supported here: {option.refused}")
    if option.ignored:
        return
    if option.values:
        _obey_with_value(option.name, flag.values[0], query, view)
    elif option.name in _PLAIN:
        _PLAIN[option.name](query)
    elif option.name == "version":
        raise Ended(stdout=VERSION_TEXT, code=0)
    else:
        raise Ended(stdout=USAGE, code=0)


def _obey_with_value(name: str, value: str, query: _Query, view: QueueView) -> None:
    if name == "constraint":
        message = f"Failed to parse constraint: {value}"
        query.selection.constraints.append(checked_constraint(value, message))
    elif name == "submitter":
        query.selection.owners.append(value.partition("@")[0])
        query.submitter = value
    elif name == "limit":
        query.selection.limit = positive(value, "-limit")
    elif name == "name" and not is_schedd(value, view.schedd_name):
        raise refused("Collector has no record of schedd/submitter")
    elif name == "pool" and not is_pool(value, view.schedd_name):
        raise Ended(
            f"Error: Couldn't contact the condor_collector on {value}.\n\n"
            f"Extra Info: this schedd is its own pool and answers to -pool {view.schedd_name}.\n"
        )
    elif name == "direct" and value != "schedd":
        raise refused(f"-direct {value}: there is only the schedd to ask")


def _global(query: _Query) -> None:
    query.everybody = query.every_schedd = True


def _allusers(query: _Query) -> None:
    query.everybody = True


def _run(query: _Query) -> None:
    query.selection.narrow(map(str, _RUN_STATES))
    query.table = "run"


def _hold(query: _Query) -> None:
    query.selection.narrow([str(HELD)])
    query.table = "hold"


def _idle(query: _Query) -> None:
    query.selection.narrow([str(IDLE)])


def _nobatch(query: _Query) -> None:
    if query.table == "batch":
        query.table = "queue"


def _batch(query: _Query) -> None:
    if query.table == "queue":
        query.table = "batch"


def _totals(query: _Query) -> None:
    query.table = "totals"


def _cputime(query: _Query) -> None:
    _nobatch(query)
    query.clock = "cpu"


def _currentrun(query: _Query) -> None:
    _nobatch(query)
    query.clock = "current"


_PLAIN: Final = {
    "allusers": _allusers,
    "batch": _batch,
    "cputime": _cputime,
    "currentrun": _currentrun,
    "global": _global,
    "held": _hold,
    "hold": _hold,
    "idle": _idle,
    "nobatch": _nobatch,
    "run": _run,
    "totals": _totals,
}


def _print(query: _Query, request: Request, view: QueueView, evaluator: Evaluator) -> Iterator[str]:
    if query.every_schedd and not any(view.counts().values()):
        yield "All queues are empty\n"
        return
    selection = query.selection
    if query.output.is_table:
        yield _title(query, view, evaluator)
        if query.table == "totals":
            # HTCondor ends here with one more empty line; AliEn reads the last line.
            yield "\n" + _footer(_counts(query, view, evaluator), request, view)
        else:
            yield from _table(query, request, view, evaluator)
        return
    row = query.output.simple_rows()
    texts = None if row is None else selection.texts(view, evaluator, row)
    if texts is not None:
        yield from texts
        return
    names = query.output.looked_at()
    if query.table == "totals" and query.output.is_whole_ads:
        counts = _counts(query, view, evaluator)
        ad = summary(counts, view.counts(request.user), view.counts())
        yield from query.output.text(lambda: [ad])
        return
    yield from query.output.text(lambda: selection.find(view, evaluator, names))


def _table(query: _Query, request: Request, view: QueueView, evaluator: Evaluator) -> Iterator[str]:
    rows = tables.Rows(evaluator, query.clock)
    totals: Counter[int] = Counter()

    def counted(names: Collection[str] | None = None) -> Iterator[Ad]:
        totals.clear()
        for ad in query.selection.find(view, evaluator, names):
            totals[ad.number("JobStatus")] += 1
            yield ad

    if query.table == "run":
        yield tables.RUN_HEADER
        yield from map(rows.run, counted())
        return
    if query.table == "batch":
        whole = query.selection.is_whole_clusters
        yield from batch_table(lambda: counted(BATCH_NAMES), evaluator, whole)
    elif query.table == "hold":
        yield tables.HOLD_HEADER
        yield from map(rows.hold, counted())
    else:
        yield tables.CPU_HEADER if query.clock == "cpu" else tables.QUEUE_HEADER
        yield from map(rows.queue, counted())
    yield "\n" + _footer(totals, request, view) + "\n"


def _counts(query: _Query, view: QueueView, evaluator: Evaluator) -> Mapping[int, int]:
    """JobStatus to number of the jobs that are asked for."""
    if query.selection.is_whole_owners:
        # Nothing but numbers: the ledger knows them without reading a job.
        return _owned(query.selection, view)
    found = query.selection.find(view, evaluator, {"jobstatus"})
    return Counter(ad.number("JobStatus") for ad in found)


def _owned(selection: Selection, view: QueueView) -> Mapping[int, int]:
    """JobStatus counts of whole owners."""
    if not selection.owners:
        return view.counts()
    totals: dict[int, int] = {}
    for owner in dict.fromkeys(selection.owners):
        for status, number in view.counts(owner).items():
            totals[status] = totals.get(status, 0) + number
    return totals


def _footer(query: Mapping[int, int], request: Request, view: QueueView) -> str:
    return footer(query, request.user, view.counts(request.user), view.counts())


def _title(query: _Query, view: QueueView, evaluator: Evaluator) -> str:
    """Two empty lines, then whose queue this is."""
    where, when = open_address(view.address), title_date(evaluator.now)
    if not query.submitter:
        return f"\n\n-- Schedd: {view.schedd_name} : {where} @ {when}\n"
    host = host_of(view.schedd_name)
    user = tables.cell(query.submitter)
    user = user if "@" in user else f"{user}@{host}"
    return f"\n\n-- Submitter: {user} : {where} : {host} @ {when}\n"
