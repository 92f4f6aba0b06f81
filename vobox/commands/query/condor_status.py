"""condor_status: the pilots as slots, and the schedd's counts (contract, section 4.4).

AliEn and JAliEn steer their submission by two numbers of ``-schedd -af``, and
would read an error's digits as such a number: whatever goes wrong, stdout
stays empty and the exit code is 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.commands.common import checked_constraint, cleaned, ended, positive
from vobox.commands.errors import Ended, refused
from vobox.commands.option_parser import Flag, MissingValue, UnknownOption, Word, parse_arguments
from vobox.commands.schedd_names import is_pool, is_schedd
from vobox.commands.version import VERSION_TEXT
from vobox.rpc.types import Answer, QueueView, Request

from .condor_status_options import OPTIONS, USAGE
from .condor_status_tables import collector_table, schedd_table, slot_table
from .daemon_ads import collector_ad, master_ads, schedd_ad
from .natural import SortKey, sort_key
from .output import Output

_KINDS: Final = {"startd": "slots", "slots": "slots", "schedd": "schedd"} | {
    name: name for name in ("claimed", "avail", "collector", "master")
}
#: What the kind of query itself asks of a slot.
_IMPLIED: Final = {
    "claimed": 'State == "Claimed"',
    "avail": 'State == "Unclaimed" && Cpus > 0',
}
_NO_ORDER: Final = ("false", "0", "no", "none")


def answer(request: Request, view: QueueView, now: float) -> Answer:
    """Never raises for anything that a user can type; ``now``: epoch seconds."""
    evaluator = Evaluator(now)
    query = _Query(Output(evaluator))
    try:
        _read(request, query)
        if query.pool and not is_pool(query.pool, view.schedd_name):
            raise Ended(f"Error: Couldn't contact the condor_collector on {query.pool}.\n")
        trouble = " ".join(view.trouble().split())
        if trouble:
            what = "job counts" if query.kind == "schedd" else "slots"
            raise Ended(f"Error: communication error\nThe {what} are not known: {trouble}\n")
        ads = _selected(query, view, evaluator, now)
        return Answer(_printed(query, ads, evaluator))
    except Ended as early:
        return ended(early)


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


def _read(request: Request, query: _Query) -> None:
    try:
        for argument in parse_arguments(cleaned(request.argv), OPTIONS):
            if isinstance(argument, Word):
                query.names.append(argument.text)
            elif not query.output.take(argument):
                _obey(argument, query)
    except UnknownOption as unknown:
        raise Ended(f"Error:  Unknown option {unknown.spelled}\n{USAGE}") from None
    except MissingValue as missing:
        flag = missing.flag
        text = flag.option.missing.format(flag.spelled)
        raise Ended(f'Error: {text}\nUse "condor_status -help" for details\n') from None


def _obey(flag: Flag, query: _Query) -> None:
    name = flag.option.name
    if flag.option.refused:
        raise refused(f"{flag.spelled} is not supported here: {flag.option.refused}")
    if name in _KINDS:
        query.kind = _KINDS[name]
    elif name in ("total", "totals"):
        query.totals_only = True
    elif flag.values:
        _obey_with_value(name, flag.values[0], query)
    elif name == "version":
        raise Ended(stdout=VERSION_TEXT, code=0)
    elif name == "help":
        raise Ended(stdout=USAGE, code=0)


def _obey_with_value(name: str, value: str, query: _Query) -> None:
    if name == "name":
        query.names.append(value)
    elif name == "pool":
        query.pool = value
    elif name == "direct":
        query.direct = value
    elif name == "limit":
        query.limit = positive(value, "-limit")
    elif name == "sort" and value.lower() in _NO_ORDER:
        query.sorted = False
    elif name == "sort":
        query.sort.append(checked_constraint(value, f" Parse error of: {value}"))
    elif name == "constraint":
        message = f"Failed to parse constraint: {value}"
        query.constraints.append(checked_constraint(value, message))


def _selected(query: _Query, view: QueueView, evaluator: Evaluator, now: float) -> list[Ad]:
    """The ads that were asked for, in order; raises Ended where ``-direct`` finds nobody."""
    ads = [ad for ad in _ads(query.kind, view, now) if _is_named(ad, query, view)]
    if query.direct:
        ads = [ad for ad in ads if _is(ad, query.direct, view)]
        if not ads:
            daemon = "schedd" if query.kind == "schedd" else "startd"
            raise refused(f"Failed to locate {daemon} {query.direct}")
    for constraint in (_IMPLIED.get(query.kind, ""), *query.constraints):
        if constraint:
            ads = [ad for ad in ads if evaluator.holds(ad, constraint)]
    if query.sorted and not query.totals_only:
        expressions = query.sort or ["Machine", "Name"]

        def key(ad: Ad) -> list[SortKey]:
            return [sort_key(evaluator.value(ad, expression)) for expression in expressions]

        ads.sort(key=key)
    return list(islice(ads, query.limit))


def _ads(kind: str, view: QueueView, now: float) -> Iterable[Ad]:
    if kind == "schedd":
        return [schedd_ad(view, now)]
    if kind == "collector":
        return [collector_ad(view, now)]
    if kind == "master":
        return master_ads(view, now)
    return view.slots()


def _is_named(ad: Ad, query: _Query, view: QueueView) -> bool:
    return not query.names or any(_is(ad, name, view) for name in query.names)


def _is(ad: Ad, name: str, view: QueueView) -> bool:
    """Whether the ad is meant: by its name, or by its machine's name, long or short."""
    if ad.text("MyType") in ("Scheduler", "Collector"):
        return is_schedd(name, view.schedd_name)
    machine = ad.text("Machine").lower()
    return name.lower() in (ad.text("Name").lower(), machine, machine.partition(".")[0])


def _printed(query: _Query, ads: list[Ad], evaluator: Evaluator) -> str:
    if not query.output.is_table:
        return "".join(query.output.text(lambda: ads))
    if query.kind == "schedd":
        return schedd_table(ads, query.totals_only)
    if query.kind == "collector":
        return collector_table(ads)
    if query.kind == "master":
        raise refused("-master has no table here: print attributes with -af or -format")
    return slot_table(ads, evaluator, query.kind == "claimed", query.totals_only)
