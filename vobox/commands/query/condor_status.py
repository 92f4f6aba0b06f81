"""condor_status: the pilots as slots, and the schedd's counts (contract, section 4.4).

AliEn and JAliEn steer their submission by two numbers of ``-schedd -af``, and
would read an error's digits as such a number: whatever goes wrong, stdout
stays empty and the exit code is 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator, number_of
from vobox.commands.command_line import (
    EarlyExit,
    Flag,
    Word,
    answers_early,
    check_expression,
)
from vobox.commands.schedd_names import is_pool, is_schedd
from vobox.rpc.types import Answer, OwnerFiles, QueueView, Request

from .condor_status_options import COMMAND_LINE, OTHER_ADS
from .condor_status_tables import (
    render_any_table,
    render_collector_table,
    render_compact_table,
    render_name_table,
    render_schedd_run_table,
    render_schedd_table,
    render_slot_table,
    render_state_table,
    render_submitter_table,
)
from .daemon_ads import build_collector_ad, build_master_ads, build_schedd_ad, build_submitter_ads
from .kept_ads import keep_ads
from .output import Output, parse_limit, stream_answer

_KINDS: Final = {"startd": "slots", "slots": "slots", "schedd": "schedd"} | {
    name: name
    for name in (
        "claimed", "avail", "collector", "master", "any", "negotiator", "submitters",
        "run", "state",
    )
} | {name: "other" for name, _least in OTHER_ADS}  # fmt: skip
#: Kinds that show the schedd's ad.
_SCHEDD: Final = ("schedd", "run")
#: What the kind of query itself asks of a slot.
_IMPLIED: Final = {
    "claimed": 'State == "Claimed"',
    "avail": 'State == "Unclaimed" && Cpus > 0',
}
#: Characters that are left of a first column, as HTCondor leaves of Name and Machine.
_NAME_WIDTH: Final = 12
_NO_ORDER: Final = ("false", "0", "no", "none")
#: Columns with room for the whole heading of the last one.
_ROOM: Final = 100
_DIGITS: Final = re.compile(r"(\d+)", re.ASCII)
#: Numbers before texts, what has no value last; then the value, then a text's parts.
SortKey = tuple[int, float, list[tuple[str, int]]]


@answers_early
def answer(
    request: Request, view: QueueView, now: float, files: OwnerFiles | None = None
) -> Answer:
    """Carry out condor_status.

    :param now: epoch seconds
    :param files: reads ``-print-format`` with the caller's rights, see ``read_file``
    """
    evaluator = Evaluator(now, charge=request.charge)
    query = _Query(Output(evaluator, xml_gaps=("\n", "")))
    _parse(request, query, files)
    if query.pool and not is_pool(query.pool, view.schedd_name):
        raise EarlyExit(f"Error: Couldn't contact the condor_collector on {query.pool}.\n")
    trouble = " ".join(view.trouble.split())
    if trouble:
        what = "job counts" if query.kind in _SCHEDD else "slots"
        raise EarlyExit(f"Error: communication error\nThe {what} are not known: {trouble}\n")
    ads = _select(query, view, evaluator, now)
    table = query.output.print_format
    if table is not None:
        rows = table.render(lambda: _pausing(ads, view), evaluator, measured=True)
        return stream_answer(query.output.fit_rows(rows, request.env), table.warnings)
    if not query.output.is_table:
        return stream_answer(query.output.render(lambda: _pausing(ads, view)))
    width = query.output.read_width(request.env)
    text = _render_table(query, ads, evaluator, width)
    return Answer(_fit_rows(text, width) if width else text)


@dataclass
class _Query:
    output: Output
    kind: str = "slots"
    names: list[str] = field(default_factory=list)
    direct: str = ""
    pool: str = ""
    constraints: list[str] = field(default_factory=list)
    sort: list[str] = field(default_factory=list)
    sorted: bool = True
    limit: int | None = None
    totals_only: bool = False
    compact: bool = False  #: a row for each machine


def _parse(request: Request, query: _Query, files: OwnerFiles | None) -> None:
    for argument in COMMAND_LINE.parse(request.argv):
        if isinstance(argument, Word):
            query.names.append(argument.text)
        elif argument.name == "print-format":
            query.output.read_print_format(argument, request, files, cuts_widths=False)
        elif not query.output.handle_option(argument):
            _apply_option(argument, query)
    query.output.check()
    table = query.output.print_format
    if table is not None and table.where:
        _apply_value("constraint", table.where, query)


def _apply_option(flag: Flag, query: _Query) -> None:
    if flag.name in _KINDS:
        query.kind = _KINDS[flag.name]
    elif flag.name == "compact":
        query.compact = True
    elif flag.name in ("total", "totals"):
        query.totals_only = True
    elif flag.values:
        _apply_value(flag.name, flag.value, query)


def _apply_value(name: str, value: str, query: _Query) -> None:
    if name == "name":
        query.names.append(value)
    elif name == "pool":
        query.pool = value
    elif name == "direct":
        query.direct = value
    elif name == "limit":
        query.limit = parse_limit(value)
    elif name == "sort" and value.lower() in _NO_ORDER:
        query.sorted = False
    elif name == "sort":
        query.sort.append(check_expression(value, f"Error:  Parse error of: {value}\n"))
    elif name == "constraint":
        query.constraints.append(check_expression(value, "Error: invalid constraint\n\n"))


def _select(query: _Query, view: QueueView, evaluator: Evaluator, now: float) -> list[Ad]:
    """Return the ads that were asked for, in order; raises EarlyExit if ``-direct`` finds none."""
    names = {name.lower() for name in query.names}
    found = keep_ads(_find_ads(query.kind, view, now), view)
    ads = [ad for ad in _pausing(found, view) if _is_named(ad, names, view)]
    if query.direct:
        ads = [ad for ad in ads if _is_named(ad, {query.direct.lower()}, view)]
        if not ads:
            daemon = "schedd" if query.kind in _SCHEDD else "startd"
            raise EarlyExit(f"Error: Failed to locate {daemon} {query.direct}\n")
    by = [f"({expression}) =!= undefined" for expression in query.sort if query.sorted]
    for constraint in (_IMPLIED.get(query.kind, ""), *query.constraints, *by):
        if constraint:
            ads = [ad for ad in _pausing(ads, view) if evaluator.holds(ad, constraint)]
    if query.sorted and not query.totals_only:
        expressions = query.sort or ["Machine", "Name"]

        def key(ad: Ad) -> list[SortKey]:
            view.pause()
            return [build_sort_key(evaluator.value(ad, expression)) for expression in expressions]

        ads.sort(key=key)
    return list(islice(ads, query.limit))


def _find_ads(kind: str, view: QueueView, now: float) -> Iterable[Ad]:
    if kind in _SCHEDD:
        return [build_schedd_ad(view, now)]
    if kind == "collector":
        return [build_collector_ad(view, now)]
    if kind == "master":
        return build_master_ads(view, now)
    if kind == "submitters":
        return build_submitter_ads(view, now)
    if kind in ("negotiator", "other"):
        return ()  # nothing is negotiated
    if kind == "any":
        return [
            build_collector_ad(view, now), build_schedd_ad(view, now),
            *build_master_ads(view, now), *build_submitter_ads(view, now), *view.read_slots(),
        ]  # fmt: skip
    return view.read_slots()


def _pausing(ads: Iterable[Ad], view: QueueView) -> Iterator[Ad]:
    for ad in ads:
        view.pause()
        yield ad


def _is_named(ad: Ad, names: Set[str], view: QueueView) -> bool:
    """Return whether the ad is meant: by its name, or by its machine's name, long or short.

    ``names``: in lower case; none: all are meant.
    """
    if not names:
        return True
    if ad.text("MyType") in ("Scheduler", "Collector"):
        return any(is_schedd(name, view.schedd_name) for name in names)
    machine = ad.text("Machine").lower()
    return not names.isdisjoint((ad.text("Name").lower(), machine, machine.partition(".")[0]))


def _render_table(query: _Query, ads: list[Ad], evaluator: Evaluator, width: int) -> str:
    is_wide = query.output.is_wide
    if query.kind == "schedd":
        return render_schedd_table(ads, query.totals_only, is_wide)
    if query.kind == "run":
        return render_schedd_run_table(ads, query.totals_only)
    if query.kind == "collector":
        return render_collector_table(ads)
    if query.kind in ("master", "negotiator"):
        return render_name_table(ads)
    if query.kind == "any":
        return render_any_table(ads, is_wide)
    if query.kind == "submitters":
        return render_submitter_table(ads, query.totals_only)
    if query.compact and query.kind in ("slots", "avail"):
        return render_compact_table(ads, evaluator, query.totals_only)
    if query.kind == "state":
        return render_state_table(ads, evaluator, query.totals_only, is_wide)
    has_room = is_wide or width >= _ROOM
    return render_slot_table(
        ads, evaluator, query.kind == "claimed", query.totals_only, is_wide, has_room
    )


def _fit_rows(table: str, width: int) -> str:
    """Shorten a table's first column, and cut what is still wider; its totals are left whole."""
    heading, *parts = table.split("\n\n", 2)
    if not parts or not heading[:1].strip():  # only totals, or nothing
        return table
    rows = [heading, *parts[0].split("\n")]
    column = len(heading) - len(heading.partition(" ")[2].lstrip()) - 1
    kept = max(_NAME_WIDTH, column - max(0, len(heading) - width))
    rows = [(row[:kept] + row[column:])[:width] for row in rows]
    return "\n\n".join([rows[0], "\n".join(rows[1:]), *parts[1:]])


def build_sort_key(value: Any) -> SortKey:
    """Return a key that orders values as HTCondor's natural sort does: slot2 before slot10."""
    if isinstance(value, str):
        parts = _DIGITS.split(value)
        numbers = [int(digits[:18]) for digits in parts[1::2]] + [-1]
        return 1, 0.0, list(zip(parts[::2], numbers, strict=True))
    number = number_of(value)
    return (2, 0.0, []) if number is None else (0, float(number), [])
