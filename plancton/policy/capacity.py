"""How many pilots the node can hold: by the owner's CPU load, by memory, by the admin's word.

The number of pilots is rounded to the nearest whole number: the owner's load is never exactly
zero, and pilots yield the CPU in any case. A running pilot is kept until another quarter of its
CPUs is missing, so that a load at the edge does not evict and start in turns. Once memory is
short, the rate at which it shrinks is extrapolated, because an eviction takes about a second.
"""

from __future__ import annotations

import math
from dataclasses import replace

from plancton.config.computed_keys import max_docks
from plancton.config.model import Config
from plancton.model import Capacity, History, HostFacts, HostLoad, Reason

#: Time constants (s) of the owner's smoothed load.  A burst of the owner must count within
#: seconds; a pause between two steps of one job of the owner must not fill the node with
#: pilots that are evicted again a minute later.
OWNER_RISE = 5.0
OWNER_FALL = 60.0
#: Seconds for which a rise of the owner's load is not believed while pilots come and go: it is
#: mostly the engine's own work on them, which would make a fill of the node stop half way.
#: Pilots yield the CPU in any case, so an owner who comes back just then loses nothing.
CHURN_PATIENCE = 30.0
#: Shortest time (s) over which the owner's appetite for memory is measured, and the time for
#: which it is taken to last: so long does an eviction take until the memory is there.
ROOM_INTERVAL, ROOM_AHEAD = 0.2, 1.5
#: Pilots are counted to the nearest whole one: with idle priority, half a CPU too much costs
#: the owner nothing, while rounding down would lose one pilot to every background process.
ROUNDING = 0.5
#: A pilot that runs is kept until this much more (in pilots) is missing than would have let
#: it start: without the gap, a load that rests at the edge would evict and start in turns.
SLACK = 0.25


def count(pilots: int) -> str:
    """ "1 pilot", "2 pilots"."""
    return "1 pilot" if pilots == 1 else f"{pilots} pilots"


def smooth_owner(history: History, load: HostLoad, now: float) -> History:
    """The history with the owner's CPU load followed: quick up, slow down."""
    current = load.owner_cpus
    if current is None:
        return history
    if history.owner_cpus is None:
        return replace(history, owner_cpus=current, owner_at=now)
    churning = history.churn_since is not None and now - history.churn_since < CHURN_PATIENCE
    if churning and current > history.owner_cpus:
        return replace(history, owner_at=now)
    constant = OWNER_RISE if current > history.owner_cpus else OWNER_FALL
    weight = 1.0 - math.exp(-max(0.0, now - history.owner_at) / constant)
    owner = history.owner_cpus + weight * (current - history.owner_cpus)
    return replace(history, owner_cpus=owner, owner_at=now)


def note_room(history: History, load: HostLoad, now: float) -> History:
    """The history with how fast the owner takes memory."""
    if load.mem_available is None or load.pilots_mem is None:
        return replace(history, room=None, room_loss=0.0)
    room = load.mem_available + load.pilots_mem
    if history.room is None:
        return replace(history, room=room, room_at=now)
    passed = now - history.room_at
    if passed < ROOM_INTERVAL:
        return history
    loss = max(0.0, (history.room - room) / passed)
    return replace(history, room=room, room_at=now, room_loss=loss)


def note_churn(history: History, starting: bool, now: float) -> History:
    """The history with whether pilots come or go."""
    if not (history.acted or starting):
        return replace(history, churn_since=None)
    return history if history.churn_since is not None else replace(history, churn_since=now)


def by_admin(config: Config, facts: HostFacts) -> tuple[Capacity, str]:
    most = max_docks(config, facts)
    told = f"max_docks allows {count(most)}"
    if isinstance(config.max_docks, str):
        told += f" ({config.max_docks!r} with ncpus = {facts.ncpus})"
    return Capacity(most, most), told + "."


def by_cpu(
    config: Config, facts: HostFacts, load: HostLoad, history: History
) -> tuple[Capacity, str]:
    """What the CPUs allow that the owner leaves; unknown until they were read twice."""
    if load.owner_cpus is None or history.owner_cpus is None:
        return (
            Capacity(None, None),
            "The CPU load is not known yet: nothing is started and nothing is evicted for it.",
        )
    free = facts.ncpus - config.cpu_reserve - history.owner_cpus
    slots = free / config.cpus_per_dock
    start = max(0, math.floor(slots + ROUNDING))
    keep = max(0, math.floor(slots + ROUNDING + SLACK))
    return Capacity(start, keep), (
        f"CPU allows {count(start)}: {facts.ncpus} CPUs, {history.owner_cpus:.2f} used by the "
        f"owner, {config.cpu_reserve:g} in reserve, {config.cpus_per_dock:g} a pilot."
    )


def by_memory(config: Config, load: HostLoad, pilots: int) -> tuple[Capacity, str]:
    """What memory allows; ``pilots`` is how many use memory now, those that end included.

    Starting is bounded twice: each pilot may grow to ``max_dock_mem``, and a pilot
    that uses more than that leaves less for the next one.
    """
    if load.mem_available is None or load.pilots_mem is None:
        return (
            Capacity(None, None),
            "Free memory is not known: nothing is started and nothing is evicted for it.",
        )
    room = load.mem_available + load.pilots_mem - config.mem_reserve
    start = math.floor(room / config.max_dock_mem)
    now = pilots + math.floor((load.mem_available - config.mem_reserve) / config.max_dock_mem)
    keep = math.floor(room / config.max_dock_mem + SLACK)
    most = max(0, min(start, now))
    return Capacity(most, max(0, keep)), (
        f"Memory allows {count(most)}: {_gb(load.mem_available)} available, "
        f"{_gb(load.pilots_mem)} used by pilots, {_gb(config.mem_reserve)} in reserve, "
        f"{_gb(config.max_dock_mem)} a pilot."
    )


def combined(parts: list[Capacity]) -> Capacity:
    """The smallest; unknown if one of them is unknown."""
    starts = [part.start for part in parts]
    keeps = [part.keep for part in parts]
    return Capacity(
        None if None in starts else min(value for value in starts if value is not None),
        None if None in keeps else min(value for value in keeps if value is not None),
    )


def memory_shortage(config: Config, load: HostLoad) -> int | None:
    """Bytes missing to the owner's reserve (0: none); None when not known."""
    if load.mem_available is None:
        return None
    return max(0, config.mem_reserve - load.mem_available)


def stalled(config: Config, load: HostLoad) -> bool:
    """The kernel says that tasks wait for memory.  Without PSI this is never the case."""
    return load.memory_stall is not None and load.memory_stall >= config.memory_stall


def describe_shortage(config: Config, load: HostLoad, missing: int | None) -> Reason:
    """The memory-pressure rule in one sentence."""
    if missing is None:
        return Reason("pressure", 0, "Whether memory is short is not known.")
    if missing:
        return Reason(
            "pressure",
            0,
            f"Memory is short: {_gb(missing)} are missing to the owner's reserve of "
            f"{_gb(config.mem_reserve)}; pilots are evicted at once.",
        )
    if stalled(config, load):
        return Reason(
            "pressure",
            0,
            f"Tasks waited for memory {load.memory_stall:.0f} % of the last 10 s (limit "
            f"{config.memory_stall:g} %); pilots are evicted one after the other.",
        )
    return Reason("pressure", None, "Memory is not short.")


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
