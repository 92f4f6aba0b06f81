"""condor_status's tables; widths and totals are HTCondor's (contract, section 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator

from .daemon_ads import COUNTS
from .renderers import format_duration
from .tables import sanitize_cell

#: State of a slot: its column among the totals. Pilots know three of them.
_STATES: Final = (
    "Owner", "Claimed", "Unclaimed", "Matched", "Preempting", "Drain", "Backfill", "BkIdle"
)  # fmt: skip
#: The same below ``-state``, where the rows are activities.
_STATES_OF_ACTIVITIES: Final = (
    "Owner", "Unclaimed", "Claimed", "Preempting", "Matched", "Drain", "Backfill", "BkIdle"
)  # fmt: skip
#: Characters that the names in front of the totals have at least.
_KEY_WIDTH: Final = 14


def render_slot_table(
    ads: list[Ad],
    evaluator: Evaluator,
    with_users: bool,
    totals_only: bool,
    is_wide: bool,
    has_room: bool,
) -> str:
    """Render a row for each slot and the totals of each platform; "" without slots.

    ``with_users``: who has them, in place of state and time (``-claimed``); ``is_wide``: as
    ``-wide`` prints it; ``has_room``: for the last column's whole heading.
    """
    if not ads:
        return ""
    totals = "\n" + _render_totals(ads, is_wide=is_wide)
    if totals_only:
        return totals
    if with_users:
        lines = _render_claimed_rows(ads, evaluator)
    else:
        lines = _render_rows(ads, evaluator, has_room)
    header, *rows = lines
    return f"{header}\n\n" + "".join(f"{row}\n" for row in rows) + totals


def _render_rows(ads: list[Ad], evaluator: Evaluator, has_room: bool) -> list[str]:
    # as HTCondor: the numbers are not padded to the widest, only their heading is
    memory = [f"{ad.number('Memory'):6}" if "Memory" in ad else "[????]" for ad in ads]
    ages = [format_duration(evaluator.now - ad.number("EnteredCurrentActivity")) for ad in ads]
    gap, heading = (" ", "ActivityTime") if has_room else ("", " ActvtyTime")
    cells = [mem + gap + age for mem, age in zip(memory, ages, strict=True)]
    columns = (
        *_build_platform_columns(ads),
        _build_column("State", 9, [ad.text("State") for ad in ads], grows=True),
        _build_column("Activity", 8, [ad.text("Activity") for ad in ads]),
        ["LoadAv", *(_render_load(ad, evaluator) for ad in ads)],
        [f"{'Mem':<{max(map(len, memory))}} {heading}", *cells],
    )
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _render_claimed_rows(ads: list[Ad], evaluator: Evaluator) -> list[str]:
    columns = (
        *_build_platform_columns(ads),
        ["LoadAv", *(_render_load(ad, evaluator) for ad in ads)],
        _build_column("RemoteUser", 20, [ad.text("RemoteUser") for ad in ads]),
        _build_column("ClientMachine", 16, [ad.text("ClientMachine") for ad in ads]),
    )
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _build_platform_columns(ads: list[Ad]) -> tuple[list[str], list[str], list[str]]:
    return (
        _build_column("Name", 34, [ad.text("Name") for ad in ads], grows=True),
        _build_column("OpSys", 10, [ad.text("OpSys") for ad in ads]),
        _build_column("Arch", 8, [ad.text("Arch") for ad in ads]),
    )


def _build_column(heading: str, width: int, texts: list[str], *, grows: bool = False) -> list[str]:
    """Pad heading and cells to ``width``; to the widest of them where the column ``grows``."""
    cells = [heading, *map(sanitize_cell, texts)]
    if grows:
        width = max(width, *map(len, cells))
    return [f"{each:<{width}}" for each in cells]


def _render_load(ad: Ad, evaluator: Evaluator) -> str:
    if "LoadAvg" not in ad:
        return "[????]"
    return f"{evaluator.number(ad, 'LoadAvg'):6.3f}"


def _get_platform(ad: Ad) -> str:
    arch, system = ad.text("Arch"), ad.text("OpSys")
    return f"{arch}/{system}" if arch and system else ""


def _render_totals(
    ads: Iterable[Ad],
    get_key: Callable[[Ad], str] = _get_platform,
    states: Sequence[str] = _STATES,
    is_wide: bool = False,
) -> str:
    """Render how many slots are in each state.

    ``get_key``: returns the row that counts a slot, "" for none; ``states``: the columns;
    ``is_wide``: with ``-wide``, HTCondor pads the names to the longest of them alone.
    """
    rows: dict[str, list[int]] = {}
    malformed = 0
    for ad in ads:
        key, state = get_key(ad), ad.text("State")
        if not key or state not in states:
            malformed += 1
            continue
        counts = rows.setdefault(sanitize_cell(key), [0] * len(states))
        counts[states.index(state)] += 1
    width = max([len("Total") if is_wide else _KEY_WIDTH, *map(len, rows)])
    widths = [max(len(state), 6 if state == "Drain" else 0) for state in states]
    headings = zip(states, widths, strict=True)
    lines = [f"{'':{width}} Total " + " ".join(f"{name:>{size}}" for name, size in headings), ""]
    everything = [sum(column) for column in zip(*rows.values(), strict=True)] or [0] * len(states)
    for name, counts in [*sorted(rows.items()), ("", []), ("Total", everything)]:
        numbers = " ".join(f"{n:{size}}" for n, size in zip(counts, widths, strict=False))
        lines.append(f"{name:>{width}}{sum(counts):6} {numbers}" if counts else "")
    if malformed:
        note = f"(Omitted {malformed} malformed ads in computed attribute totals)"
        lines += ["", f"{'':{width}}{note}", ""]
    return "".join(f"{line}\n" for line in lines)


def render_schedd_table(ads: Iterable[Ad], totals_only: bool, is_wide: bool) -> str:
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
    width = len("Total") if is_wide else _KEY_WIDTH
    totals = (
        f"\n{'':{width}}{COUNTS[0]:>18} {COUNTS[1]:>18} {COUNTS[2]:>18}\n\n{'':{width}}\n"
        f"{'Total':>{width}}{running_jobs:>18} {idle_jobs:>18} {held_jobs:>18}\n"
    )
    return totals if totals_only else listing + totals


def render_schedd_run_table(ads: Iterable[Ad], totals_only: bool) -> str:
    """Render the schedd's jobs and those that run; what only a schedd of HTCondor counts is empty.

    ``totals_only``: nothing, as there are no totals.
    """
    names = [(sanitize_cell(ad.text("Name")), ad) for ad in ads]
    if not names or totals_only:
        return "\n" * totals_only
    width = max(15, *(len(name) for name, _ad in names))
    table = f"{'Name':<{width}} TotalJobs Shadows ActiveDAGs IdleDAGs RcntDone RcntStart\n\n"
    for name, ad in names:
        total, running = ad.number("TotalJobAds"), ad.number(COUNTS[0])
        table += f"{name:<{width}} {total:>9} {running:>7} {0:>10} {0:>8} {'':>8} {'':>9}\n"
    return table


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
    rows = [(ad.text("Name"), ad.text("Machine"), ad) for ad in ads]
    name_width = max([18, *(len(name) for name, _machine, _ad in rows)])
    width = max([18, *(len(machine) for _name, machine, _ad in rows)])
    lines = [f"{'Name':<{name_width}} {'Machine':<{width}} RunningJobs   IdleJobs HostsTotal", ""]
    for name, machine, ad in rows:
        run, idle, hosts = (ad.number(count) for count in ("RunningJobs", "IdleJobs", "HostsTotal"))
        lines.append(f"{name:<{name_width}} {machine:<{width}} {run:>11} {idle:>10} {hosts:>10}")
    return "".join(f"{line}\n" for line in lines)


def render_name_table(ads: list[Ad]) -> str:
    """Render the name of each daemon; "" without any."""
    return "".join(f"{line}\n" for line in ["Name", "", *_list_names(ads)]) if ads else ""


def _list_names(ads: Iterable[Ad]) -> list[str]:
    return [sanitize_cell(ad.text("Name")) for ad in ads]


def render_any_table(ads: list[Ad], is_wide: bool) -> str:
    """Render the type and the name of each ad; "" without any."""
    if not ads:
        return ""
    kinds = [ad.text("MyType") for ad in ads]
    names = _list_names(ads)
    width = max([41, *map(len, names)]) if is_wide else 41
    lines = [f"{'MyType':<18} {'TargetType':<18} {'Name':<{width}}", ""]
    for kind, name in zip(kinds, names, strict=True):
        target = "Job" if kind == "Machine" else "None"
        lines.append(f"{kind:<18} {target:<18} {name:<{width}}")
    return "".join(f"{line}\n" for line in lines)


def render_submitter_table(ads: list[Ad], totals_only: bool) -> str:
    """Render the numbers of each submitter's jobs, and the totals; "" without submitters."""
    if not ads:
        return ""
    counts = ("RunningJobs", "IdleJobs", "HeldJobs")
    names, machines = _list_names(ads), [ad.text("Machine") for ad in ads]
    numbers = [[ad.number(count) for count in counts] for ad in ads]
    key = max(map(len, names))
    width, machine_width = max(15, key), max(12, *map(len, machines))
    titles = "RunningJobs   IdleJobs   HeldJobs\n\n"
    listing = f"{'Name':<{width}} {'Machine':<{machine_width}} {titles}"
    totals = f"\n{'':{key}}{titles}"
    for name, machine, (run, idle, held) in zip(names, machines, numbers, strict=True):
        cells = f"{run:>11} {idle:>10} {held:>10}\n"
        listing += f"{name:<{width}} {machine:<{machine_width}} {cells}"
        totals += f"{name:>{key}}{cells}"
    run, idle, held = (sum(column) for column in zip(*numbers, strict=True))
    totals += f"\n{'Total':>{key}}{run:>11} {idle:>10} {held:>10}\n"
    return totals if totals_only else listing + totals


def render_compact_table(ads: list[Ad], evaluator: Evaluator, totals_only: bool) -> str:
    """Render a row for each machine, with what its slots have and what is free; then the totals.

    ``ads``: of slots; ``totals_only``: leave out the rows.
    """
    if not ads:
        return ""
    machines: dict[str, list[Ad]] = {}
    for ad in ads:
        machines.setdefault(ad.text("Machine"), []).append(ad)
    width = max([17, *map(len, machines)])
    platform_width = max([12, *(len(_describe_platform(each[0])) for each in machines.values())])
    lines = [
        f"{'Machine':<{width}} {'Platform':<{platform_width}} Slots Cpus Gpus "
        " TotalGb FreCpu  FreeGb  CpuLoad ST Jobs/Min MaxSlotGb",
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
            f"{sanitize_cell(name):<{width}} {_describe_platform(slots[0]):<{platform_width}} "
            f"{len(slots):5} {cpus:4} {'':4} {sum(gb):8.2f} {free_cpus:6} {free_gb:7.2f} "
            f"{load:8.2f} {_describe_states(slots)} {'':8} {max(gb):9.2f}"
        )
    if totals_only:
        return "\n" + _render_totals(ads)
    return "".join(f"{line}\n" for line in [*lines, ""]) + _render_totals(ads, _describe_platform)


def _describe_platform(ad: Ad) -> str:
    arch = {"X86_64": "x64"}.get(ad.text("Arch"), ad.text("Arch"))
    return sanitize_cell(f"{arch}/{ad.text('OpSysAndVer') or ad.text('OpSys')}")


def _describe_states(slots: Iterable[Ad]) -> str:
    """Return the letters of State and Activity, * where the slots differ."""
    letters = {
        (ad.text("State")[:1] or "?", ad.text("Activity")[:1].lower() or "?") for ad in slots
    }
    return "".join(
        each.pop() if len(each) == 1 else "*" for each in map(set, zip(*letters, strict=True))
    )


def render_state_table(
    ads: list[Ad], evaluator: Evaluator, totals_only: bool, is_wide: bool
) -> str:
    """Render how long each slot has been in its state; then the totals. "" without slots.

    ``ads``: of slots; ``totals_only``: leave out the rows.
    """
    if not ads:
        return ""
    heading, *names = _build_column("Name", 34, [ad.text("Name") for ad in ads], grows=True)
    width = max([5, *(len(ad.text("Activity")) for ad in ads)]) + 1
    listing = f"{heading} Cpu  Mem  LoadAv   KbdIdle    State     StateTime  "
    listing += f"{'Activ':<{width}}  ActvtyTime\n\n"
    for name, ad in zip(names, ads, strict=True):
        state, activity = (sanitize_cell(ad.text(each)) for each in ("State", "Activity"))
        in_state, active = (
            format_duration(evaluator.now - ad.number(f"EnteredCurrent{each}"))
            for each in ("State", "Activity")
        )
        # no pilot looks at keyboards; the state is not padded, as with HTCondor
        listing += (
            f"{name} {ad.number('Cpus'):<3} {ad.number('Memory'):5} {_render_load(ad, evaluator)} "
            f"[??????????] {state} {in_state:>12} {activity:<{width}}{active}\n"
        )
    totals = "\n" + _render_totals(
        ads, lambda ad: ad.text("Activity"), _STATES_OF_ACTIVITIES, is_wide
    )
    return totals if totals_only else listing + totals
