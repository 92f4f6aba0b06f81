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


def render_name_table(ads: list[Ad]) -> str:
    """Render the name of each daemon; "" without any."""
    return "".join(f"{line}\n" for line in ["Name", "", *_list_names(ads)]) if ads else ""


def _list_names(ads: Iterable[Ad]) -> list[str]:
    return [sanitize_cell(ad.text("Name")) for ad in ads]


def render_any_table(ads: list[Ad]) -> str:
    """Render the type and the name of each ad; "" without any."""
    if not ads:
        return ""
    kinds = [ad.text("MyType") for ad in ads]
    rows = zip(kinds, _list_names(ads), strict=True)
    lines = [f"{'MyType':<18} {'TargetType':<18} Name", ""]
    lines += [f"{kind:<18} {'None':<18} {name}" for kind, name in rows]
    return "".join(f"{line}\n" for line in lines)


def render_submitter_table(ads: list[Ad], totals_only: bool) -> str:
    """Render the numbers of each submitter's jobs, and the totals; "" without submitters."""
    if not ads:
        return ""
    counts = ("RunningJobs", "IdleJobs", "HeldJobs")
    names, machines = _list_names(ads), [ad.text("Machine") for ad in ads]
    numbers = [[ad.number(count) for count in counts] for ad in ads]
    width, machine_width = max(28, *map(len, names)), max(18, *map(len, machines))
    listing = f"{'Name':<{width}} {'Machine':<{machine_width}} RunningJobs IdleJobs HeldJobs\n\n"
    for name, machine, (run, idle, held) in zip(names, machines, numbers, strict=True):
        listing += f"{name:<{width}} {machine:<{machine_width}} {run:>11} {idle:>8} {held:>8}\n"
    everything = [sum(column) for column in zip(*numbers, strict=True)]
    totals = f"{'':20}{counts[0]:>18} {counts[1]:>18} {counts[2]:>18}\n\n"
    for name, (run, idle, held) in zip(names, numbers, strict=True):
        totals += f"{name:>20}{run:>18} {idle:>18} {held:>18}\n"
    run, idle, held = everything
    totals += f"\n{'Total':>20}{run:>18} {idle:>18} {held:>18}\n"
    return totals if totals_only else f"{listing}\n{totals}"


def render_compact_table(ads: list[Ad], evaluator: Evaluator, totals_only: bool) -> str:
    """Render a row for each machine, with what its slots have and what is free; then the totals.

    ``ads``: of slots; ``totals_only``: leave out the rows.
    """
    if not ads:
        return ""
    machines: dict[str, list[Ad]] = {}
    for ad in ads:
        machines.setdefault(ad.text("Machine"), []).append(ad)
    width = max([18, *map(len, machines)])
    lines = [
        f"{'Machine':<{width}} {'Platform':<11} Slots Cpus Gpus  TotalGb FreCpu  FreeGb  CpuLoad ST"
        " Jobs/Min MaxSlotGb",
        "",
    ]
    for name in sorted(machines):
        slots = machines[name]
        free = [ad for ad in slots if ad.text("State") == "Unclaimed"]
        load = max(evaluator.number(ad, "LoadAvg") for ad in slots)
        gb = [evaluator.number(ad, "Memory") / 1024 for ad in slots]
        free_gb = sum(evaluator.number(ad, "Memory") / 1024 for ad in free)
        cpus, free_cpus = (sum(ad.number("Cpus") for ad in group) for group in (slots, free))
        lines.append(
            f"{sanitize_cell(name):<{width}} {_describe_platform(slots[0]):<11} {len(slots):5} "
            f"{cpus:4} {'':4} {sum(gb):8.2f} {free_cpus:6} {free_gb:7.2f} {load:8.2f} "
            f"{_describe_states(slots)} {'':8} {max(gb):9.2f}"
        )
    totals = "\n" + _render_totals(ads)
    return totals if totals_only else "".join(f"{line}\n" for line in lines) + totals


def _describe_platform(ad: Ad) -> str:
    arch = {"X86_64": "x64"}.get(ad.text("Arch"), ad.text("Arch"))
    return sanitize_cell(f"{arch}/{ad.text('OpSysAndVer') or ad.text('OpSys')}")


def _describe_states(slots: Iterable[Ad]) -> str:
    """Return the letters of State and Activity, # where the slots differ."""
    letters = {
        (ad.text("State")[:1] or "?", ad.text("Activity")[:1].lower() or "?") for ad in slots
    }
    return "".join(
        each.pop() if len(each) == 1 else "#" for each in map(set, zip(*letters, strict=True))
    )


def render_state_table(ads: list[Ad], evaluator: Evaluator, totals_only: bool) -> str:
    """Render how long each slot has been in its state; then the totals. "" without slots.

    ``ads``: of slots; ``totals_only``: leave out the rows.
    """
    if not ads:
        return ""
    columns = (
        _build_column("Name", 34, [ad.text("Name") for ad in ads]),
        ["Cpu", *(f"{ad.number('Cpus'):3}" for ad in ads)],
        ["Mem  ", *(f"{ad.number('Memory'):5}" for ad in ads)],
        ["LoadAv", *(_render_load(ad, evaluator) for ad in ads)],
        ["   KbdIdle", *("[????????]" for _ad in ads)],
        _build_column("State", 9, [ad.text("State") for ad in ads]),
        ["   StateTime", *(_render_age(ad, "EnteredCurrentState", evaluator) for ad in ads)],
        _build_column("Activ", 8, [ad.text("Activity") for ad in ads]),
        ["  ActvtyTime", *(_render_age(ad, "EnteredCurrentActivity", evaluator) for ad in ads)],
    )
    header, *rows = (" ".join(parts) for parts in zip(*columns, strict=True))
    totals = "\n" + _render_totals(ads)
    listing = f"{header}\n\n" + "".join(f"{row}\n" for row in rows)
    return totals if totals_only else listing + totals


def _render_age(ad: Ad, name: str, evaluator: Evaluator) -> str:
    return f"{format_duration(evaluator.now - ad.number(name)):>12}"
