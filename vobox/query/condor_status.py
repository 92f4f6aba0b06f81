"""condor_status -schedd: how many jobs run and wait (contract, section 4.4).

AliEn and JAliEn steer their submission by two numbers of this command, and
would read an error's digits as such a number: whatever goes wrong, stdout
stays empty and the exit code is 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from vobox.ads import Ad, quote
from vobox.rpc_types import Answer, QueueView, Request
from vobox.status import HELD, IDLE, REMOVED, SUSPENDED

from .command import checked_constraint, cleaned, ended, positive
from .condor_status_options import OPTIONS, USAGE
from .errors import Ended, refused
from .expressions import Evaluator
from .options import Flag, MissingValue, UnknownOption, Word, parse_arguments
from .output import Output
from .schedds import host_of, is_pool, is_schedd
from .totals import running
from .version import CONDOR_PLATFORM, CONDOR_VERSION, VERSION_TEXT

_COUNTS = ("TotalRunningJobs", "TotalIdleJobs", "TotalHeldJobs")


def answer(request: Request, view: QueueView, now: float) -> Answer:
    """Never raises for anything that a user can type; ``now``: epoch seconds."""
    evaluator = Evaluator(now)
    query = _Query(Output(evaluator))
    try:
        _read(request, query)
        if not query.schedds:
            raise refused("no machine reports here: pilots come and go; use condor_status -schedd")
        if query.pool and not is_pool(query.pool, view.schedd_name):
            raise Ended(f"Error: Couldn't contact the condor_collector on {query.pool}.\n")
        trouble = " ".join(view.trouble().split())
        if trouble:
            raise Ended(f"Error: communication error\nThe job counts are not known: {trouble}\n")
    except Ended as early:
        return ended(early)
    ads = _selected(query, schedd_ad(view, now), view, evaluator)
    if query.output.is_table:
        return Answer(_table(ads, query.totals_only))
    return Answer("".join(query.output.text(ads)))


def schedd_ad(view: QueueView, now: float) -> Ad:
    """What a collector would know of our schedd; the counts are of all users' jobs."""
    counts = view.counts()
    moment = str(int(now))
    return Ad(
        {
            "MyType": quote("Scheduler"),
            "Name": quote(view.schedd_name),
            "Machine": quote(host_of(view.schedd_name)),
            "MyAddress": quote(view.address),
            "ScheddIpAddr": quote(view.address),
            "CondorVersion": quote(CONDOR_VERSION),
            "CondorPlatform": quote(CONDOR_PLATFORM),
            "MyCurrentTime": moment,
            "LastHeardFrom": moment,
            **{name: str(number) for name, number in _totals(counts).items()},
            "TotalRemovedJobs": str(counts.get(REMOVED, 0)),
            "TotalJobAds": str(sum(counts.values())),
        }
    )


def _totals(counts: Mapping[int, int]) -> dict[str, int]:
    # A suspended job has its pilot still; AliEn means pilots by "running".
    on_a_node = running(counts) + counts.get(SUSPENDED, 0)
    return dict(zip(_COUNTS, (on_a_node, counts.get(IDLE, 0), counts.get(HELD, 0)), strict=True))


@dataclass
class _Query:
    output: Output
    schedds: bool = False
    names: list[str] = field(default_factory=list)
    pool: str = ""
    constraints: list[str] = field(default_factory=list)
    totals_only: bool = False


def _read(request: Request, query: _Query) -> None:
    try:
        for argument in parse_arguments(cleaned(request.argv), OPTIONS):
            if isinstance(argument, Word):
                query.names.append(argument.text)
            elif not query.output.take(argument):
                _obey(argument, query)
    except UnknownOption as unknown:
        raise Ended(f"Error: unrecognized argument {unknown.spelled}\n{USAGE}") from None
    except MissingValue as missing:
        flag = missing.flag
        raise refused(flag.option.missing.format(flag.spelled)) from None


def _obey(flag: Flag, query: _Query) -> None:
    option = flag.option
    if option.refused:
        raise refused(f"{flag.spelled} is not supported here: {option.refused}")
    if option.name == "schedd":
        query.schedds = True
    elif option.name in ("total", "totals"):
        query.totals_only = True
    elif option.name == "name":
        query.names.append(flag.values[0])
    elif option.name == "pool":
        query.pool = flag.values[0]
    elif option.name == "limit":
        positive(flag.values[0], "-limit")  # there is one schedd: any limit lets it through
    elif option.name == "constraint":
        message = f"Failed to parse constraint: {flag.values[0]}"
        query.constraints.append(checked_constraint(flag.values[0], message))
    elif option.name == "version":
        raise Ended(stdout=VERSION_TEXT, code=0)
    elif option.name == "help":
        raise Ended(stdout=USAGE, code=0)


def _selected(query: _Query, ad: Ad, view: QueueView, evaluator: Evaluator) -> list[Ad]:
    named = not query.names or any(is_schedd(name, view.schedd_name) for name in query.names)
    wanted = all(evaluator.holds(ad, constraint) for constraint in query.constraints)
    return [ad] if named and wanted else []


def _table(ads: Iterable[Ad], totals_only: bool) -> str:
    """Name, machine and the three counts of each; below them the totals."""
    rows = [_row(ad) for ad in ads]
    if not rows:
        return ""
    names = max([15, *(len(row.name) for row in rows)])
    machines = max([12, *(len(row.machine) for row in rows)])
    listing = f"{'Name':<{names}} {'Machine':<{machines}} RunningJobs   IdleJobs   HeldJobs\n\n"
    for row in rows:
        listing += f"{row.name:<{names}} {row.machine:<{machines}} "
        listing += f"{row.running:>11} {row.idle:>10} {row.held:>10}\n"
    running_jobs, idle_jobs, held_jobs = (
        sum(column) for column in zip(*(row[2:] for row in rows), strict=True)
    )
    totals = (
        f"{'':20}{_COUNTS[0]:>18} {_COUNTS[1]:>18} {_COUNTS[2]:>18}\n\n"
        f"{'Total':>20}{running_jobs:>18} {idle_jobs:>18} {held_jobs:>18}\n"
    )
    return totals if totals_only else listing + "\n" + totals


class _Row(NamedTuple):
    name: str
    machine: str
    running: int
    idle: int
    held: int


def _row(ad: Ad) -> _Row:
    run, idle, held = (ad.number(name) for name in _COUNTS)
    return _Row(ad.text("Name"), ad.text("Machine"), run, idle, held)
