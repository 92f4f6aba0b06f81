"""condor_status's tables; widths and totals are HTCondor's (contract, section 4.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator

from .daemon_ads import COUNTS
from .renderers import format_duration
from .tables import sanitize_cell

#: State of a slot → its column among the totals. Pilots know three of them.
_STATES: Final = ("Owner", "Claimed", "Unclaimed", "Matched", "Preempting", "Drain", "Backfill")
_WIDTHS: Final = (5, 7, 9, 7, 10, 6, 8, 6)
#: Characters that the names in front of the totals have at least.
_KEY_WIDTH: Final = 14


def render_slot_table(
    ads: list[Ad], evaluator: Evaluator, with_users: bool, totals_only: bool
) -> str:
    """Render a row for each slot and the totals of each platform; "" without slots.

    ``with_users``: who has them, in place of state and time (``-claimed``).
    """
    if not ads:
        return ""
    totals = "\n" + _render_totals(ads)
    if totals_only:
        return totals
    lines = _render_claimed_rows(ads, evaluator) if with_users else _render_rows(ads, evaluator)
    header, *rows = lines
    return f"{header}\n\n" + "".join(f"{row}\n" for row in rows) + totals


def _render_rows(ads: list[Ad], evaluator: Evaluator) -> list[str]:
    # as HTCondor: the numbers are not padded to the widest, only their heading is
    memory = [f"{ad.number('Memory'):4}" if "Memory" in ad else "[??]" for ad in ads]
    ages = [format_duration(evaluator.now - ad.number("EnteredCurrentActivity")) for ad in ads]
    cells = [mem + age for mem, age in zip(memory, ages, strict=True)]
    columns = (
        *_build_platform_columns(ads, 10),
        _build_column("State", 9, [ad.text("State") for ad in ads]),
        _build_column("Activity", 8, [ad.text("Activity") for ad in ads]),
        ["LoadAv", *(_render_load(ad, evaluator) for ad in ads)],
        [f"{'Mem':<{max(map(len, memory))}}  ActvtyTime", *cells],
    )
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _render_claimed_rows(ads: list[Ad], evaluator: Evaluator) -> list[str]:
    columns = (
        *_build_platform_columns(ads, 11),
        ["LoadAv", *(_render_load(ad, evaluator) for ad in ads)],
        _build_column("RemoteUser", 20, [ad.text("RemoteUser") for ad in ads]),
        _build_column("ClientMachine", 16, [ad.text("ClientMachine") for ad in ads]),
    )
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _build_platform_columns(
    ads: list[Ad], system_width: int
) -> tuple[list[str], list[str], list[str]]:
    return (
        _build_column("Name", 34, [ad.text("Name") for ad in ads]),
        _build_column("OpSys", system_width, [ad.text("OpSys") for ad in ads]),
        _build_column("Arch", 8, [ad.text("Arch") for ad in ads]),
    )


def _build_column(heading: str, width: int, texts: list[str]) -> list[str]:
    """Pad heading and cells to the widest, and to ``width``; an unknown cell is ``[???]``."""
    cells = [heading, *(sanitize_cell(text) or f"[{'?' * (width - 2)}]" for text in texts)]
    width = max(width, *map(len, cells))
    return [f"{each:<{width}}" for each in cells]


def _render_load(ad: Ad, evaluator: Evaluator) -> str:
    if "LoadAvg" not in ad:
        return "[????]"
    return f"{evaluator.number(ad, 'LoadAvg'):6.3f}"


def _render_totals(ads: Iterable[Ad]) -> str:
    platforms: dict[str, list[int]] = {}
    malformed = 0
    for ad in ads:
        arch, system, state = ad.text("Arch"), ad.text("OpSys"), ad.text("State")
        if not arch or not system or state not in _STATES:
            malformed += 1
            continue
        counts = platforms.setdefault(sanitize_cell(f"{arch}/{system}"), [0] * len(_WIDTHS))
        counts[_STATES.index(state)] += 1
    width = max([_KEY_WIDTH, *map(len, platforms)])
    headings = zip((*_STATES, "BkIdle"), _WIDTHS, strict=True)
    lines = [f"{'':{width}} Total " + " ".join(f"{name:>{size}}" for name, size in headings), ""]
    for platform in sorted(platforms):
        lines.append(_render_total(platform, platforms[platform], width))
    everything = [sum(column) for column in zip(*platforms.values(), strict=True)]
    lines += ["", _render_total("Total", everything or [0] * len(_WIDTHS), width), ""]
    if malformed:
        note = f"(Omitted {malformed} malformed ads in computed attribute totals)"
        lines += [f"{'':{width}}{note}", ""]
    return "".join(f"{line}\n" for line in lines)


def _render_total(name: str, counts: list[int], width: int) -> str:
    numbers = zip(counts, _WIDTHS, strict=True)
    return f"{name:>{width}}{sum(counts):6} " + " ".join(f"{n:{size}}" for n, size in numbers)


def render_schedd_table(ads: Iterable[Ad], totals_only: bool) -> str:
    """Render name, machine and three counts for each schedd, and below them the totals."""
    rows = [_build_schedd_row(ad) for ad in ads]
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
        f"{'':20}{COUNTS[0]:>18} {COUNTS[1]:>18} {COUNTS[2]:>18}\n\n"
        f"{'Total':>20}{running_jobs:>18} {idle_jobs:>18} {held_jobs:>18}\n"
    )
    return totals if totals_only else listing + "\n" + totals


class _ScheddRow(NamedTuple):
    name: str
    machine: str
    running: int
    idle: int
    held: int


def _build_schedd_row(ad: Ad) -> _ScheddRow:
    run, idle, held = (ad.number(name) for name in COUNTS)
    return _ScheddRow(ad.text("Name"), ad.text("Machine"), run, idle, held)


def render_collector_table(ads: Iterable[Ad]) -> str:
    """Render a row for each collector."""
    lines = [f"{'Name':<34} {'Machine':<34} RunningJobs IdleJobs HostsTotal", ""]
    for ad in ads:
        run, idle, hosts = (ad.number(name) for name in ("RunningJobs", "IdleJobs", "HostsTotal"))
        name, machine = ad.text("Name"), ad.text("Machine")
        lines.append(f"{name:<34} {machine:<34} {run:>11} {idle:>8} {hosts:>10}")
    return "".join(f"{line}\n" for line in lines)
