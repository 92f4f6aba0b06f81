"""How many pilots the node can hold: by the owner's CPU load, by memory, and by ``max_docks``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from plancton.config.computed_keys import max_docks
from plancton.config.model import Config
from plancton.model import (
    Capacity,
    History,
    HostFacts,
    HostLoad,
    Pilot,
    PilotShare,
    PilotState,
)

#: Time constants (s) of the owner's smoothed load.  A burst of the owner must count within
#: seconds; a pause between two steps of one job of the owner must not fill the node with
#: pilots that are evicted again a minute later.  Where pilots are not evicted for CPU
#: (``cpu.idle``), a pause may be used as readily as a burst is yielded to.
OWNER_RISE = 5.0
OWNER_FALL = 60.0
PROTECTED_FALL = 5.0
#: Seconds for which a rise of the owner's load is ignored while pilots start and end: most of
#: it is the engine's own work on them, and it would stop the filling of a node half way.
#: Pilots yield the CPU in any case, so an owner who comes back just then loses nothing.
CHURN_PATIENCE = 30.0
#: Shortest time (s) over which the owner's growth in memory is measured, and the time (s) for
#: which it is assumed to go on: an eviction takes that long to give memory back.
GROWTH_INTERVAL, GROWTH_AHEAD = 0.2, 1.5
#: Pilots are counted to the nearest whole one: with idle priority, half a CPU too much costs
#: the owner nothing, while rounding down would lose one pilot to every background process.
ROUNDING = 0.5
#: A running pilot is kept until this much more (in pilots) is missing than would have let
#: it start: without the gap, a load close to the limit would evict and start in turns.
SLACK = 0.25
#: More pilots than any node has.
NO_LIMIT = 10**9
#: With less than this share of its CPUs idle a node is full: who wants CPU has to wait for it.
FULL = 0.95
#: A pilot that gets less than this many CPUs gets none: its supervisor alone uses that much.
NOTHING = 0.01
#: Shortest time (s) over which a pilot's share is measured: the kernel counts in ticks of 10 ms.
SHARE_INTERVAL = 1.0


@dataclass(frozen=True)
class Limit:
    """How many pilots one resource allows; the numbers are None where a reading is missing."""

    start: int | None  #: up to here pilots are started
    keep: int | None  #: with more than this many for ``grace_kill`` seconds, pilots are evicted
    name: str  #: of the resource, e.g. ``CPU``
    detail: str  #: how it was computed; the whole sentence where a reading is missing

    def describe(self, in_use: int) -> str:
        """Return one sentence for people; ``in_use`` is how many pilots there are."""
        if self.start is None:
            return self.detail
        used = f", and {in_use} {'is' if in_use == 1 else 'are'} in use" if in_use else ""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.name} allows {format_pilots(self.start)}{used}{detail}."


def format_pilots(number: int) -> str:
    """Return "1 pilot", "2 pilots"."""
    return "1 pilot" if number == 1 else f"{number} pilots"


def format_gb(size: int) -> str:
    """Return bytes as gigabytes, e.g. ``1.5 GB``, with three digits where one is not exact."""
    value = round(size / 1e9, 3)
    return f"{value:.1f} GB" if value >= 100 or value == round(value, 1) else f"{value:.3g} GB"


def smooth_owner(
    history: History, load: HostLoad, now: float, *, keep_running: bool = False
) -> History:
    """Return the history with the owner's CPU load followed: quickly up, slowly down.

    With ``keep_running`` no pilot is evicted for CPU, and it is followed quickly down too.
    """
    current = load.owner_cpus
    if current is None:
        return history
    if history.owner_cpus is None:
        return replace(history, owner_cpus=current, owner_at=now)
    churning = history.churn_since is not None and now - history.churn_since < CHURN_PATIENCE
    if churning and current > history.owner_cpus:
        return replace(history, owner_at=now)
    fall = PROTECTED_FALL if keep_running else OWNER_FALL
    constant = OWNER_RISE if current > history.owner_cpus else fall
    weight = 1.0 - math.exp(-max(0.0, now - history.owner_at) / constant)
    owner = history.owner_cpus + weight * (current - history.owner_cpus)
    return replace(history, owner_cpus=owner, owner_at=now)


def track_memory_growth(history: History, load: HostLoad, now: float) -> History:
    """Return the history with the speed at which the owner takes memory.

    ``load``: the node's reading now; ``now``: monotonic seconds.
    """
    if load.mem_available is None or load.pilots_mem is None:
        return replace(history, room=None, room_loss=0.0)
    room = load.mem_available + load.pilots_mem
    if history.room is None:
        return replace(history, room=room, room_at=now)
    passed = now - history.room_at
    if passed < GROWTH_INTERVAL:
        return history
    loss = max(0.0, (history.room - room) / passed)
    return replace(history, room=room, room_at=now, room_loss=loss)


def track_churn(history: History, starting: bool, now: float) -> History:
    """Return the history with the time since when pilots start or end in every pass.

    ``starting`` tells whether one starts now.
    """
    if not (history.acted or starting):
        return replace(history, churn_since=None)
    return history if history.churn_since is not None else replace(history, churn_since=now)


def track_shares(
    history: History,
    pilots: Iterable[Pilot],
    config: Config,
    facts: HostFacts,
    load: HostLoad,
    now: float,
) -> History:
    """Return the history with what each running pilot got of the CPU that it could use.

    A pilot that sleeps while the owner takes its CPU counts as squeezed too: the two look alike.
    """
    before = {share.id: share for share in history.shares}
    running = [one for one in pilots if one.state is PilotState.RUNNING]
    pressed = is_pressed(len(running) * config.cpus_per_dock, facts, load)
    shares = []
    for pilot in running:
        last = before.get(pilot.id)
        if pilot.cpu_seconds is None or (last is not None and now - last.at < SHARE_INTERVAL):
            shares += [] if last is None else [last]
            continue
        if last is None:
            # Started by a daemon of before: its life so far tells whether it is stuck.
            age = pilot.age or 0.0
            unused = age if pilot.cpu_seconds < NOTHING * age else 0.0
            shares.append(PilotShare(pilot.id, pilot.cpu_seconds, now, unused=unused))
            continue
        if pressed is None:
            # Time of which nothing is known counts neither way.
            shares.append(replace(last, cpu_seconds=pilot.cpu_seconds, at=now))
            continue
        passed = now - last.at
        got = max(0.0, pilot.cpu_seconds - last.cpu_seconds) / passed
        missed = passed * max(0.0, 1.0 - got / config.cpus_per_dock) if pressed else 0.0
        starved = last.starved + passed if pressed and got < NOTHING else 0.0
        unused = passed if not pressed and got < NOTHING else 0.0
        shares.append(
            PilotShare(
                pilot.id,
                pilot.cpu_seconds,
                now,
                starved,
                last.squeezed + missed,
                last.unused + unused,
            )
        )
    return replace(history, shares=tuple(shares))


def is_pressed(wanted: float, facts: HostFacts, load: HostLoad) -> bool | None:
    """Tell whether the owner uses CPU that pilots could use; None where that is not known.

    ``wanted`` is the number of CPUs that all pilots may use.
    """
    if load.busy_cpus is None or load.owner_cpus is None:
        return None
    full = load.busy_cpus >= FULL * facts.ncpus
    return full and load.owner_cpus + wanted > facts.ncpus + ROUNDING


def track_excess(history: History, capacity: Capacity, active: int, now: float) -> History:
    """Return the history with the time since when more pilots run than the node can hold.

    ``active`` is how many start or run.
    """
    if capacity.keep is None or active <= capacity.keep:
        return replace(history, over_since=None)
    return history if history.over_since is not None else replace(history, over_since=now)


def limit_by_max_docks(config: Config, facts: HostFacts) -> Limit:
    """Return what the admin allows."""
    most = max_docks(config, facts)
    detail = ""
    if isinstance(config.max_docks, str):
        detail = f"{config.max_docks!r} with ncpus = {facts.ncpus}"
    return Limit(most, most, "max_docks", detail)


def limit_by_cpu(
    config: Config,
    facts: HostFacts,
    load: HostLoad,
    history: History,
    *,
    keep_running: bool = False,
) -> Limit:
    """Return what the CPUs allow that the owner leaves; unknown until they were read twice.

    With ``keep_running`` no pilot is evicted for CPU: the kernel gives pilots what the owner
    leaves, and nothing else (``cpu.idle``).
    """
    if load.owner_cpus is None or history.owner_cpus is None:
        text = "The CPU load is not known yet: nothing is started and nothing is evicted for it."
        return Limit(None, None, "CPU", text)
    free = facts.ncpus - config.cpu_reserve - history.owner_cpus
    slots = free / config.cpus_per_dock
    start = max(0, math.floor(slots + ROUNDING))
    keep = max(0, math.floor(slots + ROUNDING + SLACK))
    detail = (
        f"{facts.ncpus} CPUs, {history.owner_cpus:.2f} used by the owner, "
        f"{config.cpu_reserve:g} in reserve, {config.cpus_per_dock:g} a pilot"
    )
    if keep_running:
        keep = NO_LIMIT
        detail += "; running ones are kept, as they get only what the owner leaves"
    return Limit(start, keep, "CPU", detail)


def limit_by_memory(config: Config, load: HostLoad, pilots: int) -> Limit:
    """Return what memory allows; ``pilots`` is how many use memory now, ending ones included.

    Starting is bounded twice: each pilot may grow to ``max_dock_mem``, and a pilot
    that uses more than that leaves less for the next one.
    """
    if load.mem_available is None or load.pilots_mem is None:
        text = "Free memory is not known: nothing is started and nothing is evicted for it."
        return Limit(None, None, "Memory", text)
    room = load.mem_available + load.pilots_mem - config.mem_reserve
    start = math.floor(room / config.max_dock_mem)
    now = pilots + math.floor((load.mem_available - config.mem_reserve) / config.max_dock_mem)
    keep = math.floor(room / config.max_dock_mem + SLACK)
    detail = (
        f"{format_gb(load.mem_available)} available, {format_gb(load.pilots_mem)} used by pilots, "
        f"{format_gb(config.mem_reserve)} in reserve, {format_gb(config.max_dock_mem)} a pilot"
    )
    return Limit(max(0, min(start, now)), max(0, keep), "Memory", detail)


def combine_limits(limits: Iterable[Limit]) -> Capacity:
    """Return the smallest of the limits; unknown where one of them is unknown."""
    limits = tuple(limits)
    starts = [limit.start for limit in limits]
    keeps = [limit.keep for limit in limits]
    return Capacity(
        None if None in starts else min(value for value in starts if value is not None),
        None if None in keeps else min(value for value in keeps if value is not None),
    )


def find_memory_shortage(config: Config, load: HostLoad) -> int | None:
    """Return the bytes missing to the owner's reserve (0: none); None when not known."""
    if load.mem_available is None:
        return None
    return max(0, config.mem_reserve - load.mem_available)


def is_stalled(config: Config, load: HostLoad) -> bool:
    """Tell whether tasks wait for memory (PSI).  Never, on a kernel without PSI."""
    return load.memory_stall is not None and load.memory_stall >= config.memory_stall
