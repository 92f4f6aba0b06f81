"""What pilots were told about their end, and what ``explain`` says of each of them.

A pilot is told once how long it may live, when it starts.  When the node closes is told anew
wherever that changes: an end that was announced and is taken back is no end any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from plancton.config.model import Config
from plancton.model import History, Pilot, PilotState, ToldPilot

from .capacity import format_pilots
from .lifetime import format_duration

#: Seconds of its life that the owner must have taken from a pilot to be worth a word.
_NOTABLE = 1.0


def find_told(history: History, pilot: str) -> ToldPilot | None:
    """Return what is remembered of a pilot, by its id; None for one of another daemon."""
    return next((one for one in history.told if one.id == pilot), None)


def note_told(history: History, told: ToldPilot) -> History:
    """Return the history with what one pilot was told."""
    others = tuple(one for one in history.told if one.id != told.id)
    return replace(history, told=(*others, told))


def note_stop(history: History, pilot: str, reason: str) -> History:
    """Return the history with the reason why a pilot was asked to end."""
    told = find_told(history, pilot) or ToldPilot(pilot)
    return note_told(history, replace(told, stop_reason=reason))


def forget_gone(history: History, pilots: Iterable[Pilot]) -> History:
    """Return the history without what was told to pilots that are not there any more."""
    there = {pilot.id for pilot in pilots}
    return replace(history, told=tuple(one for one in history.told if one.id in there))


def follow_end(history: History, closes: float | None, is_open: bool, wall: float) -> History:
    """Return the history with the end that pilots are told of, and one that is taken back.

    Args:
        history: what the last decision passed on.
        closes: when the node closes, in seconds since 1970; None: never, or not known.
        is_open: whether the node is open; while it is not, its end stays what it was.
        wall: the present, in seconds since 1970.
    """
    told, withdrawn = history.told_end, history.withdrawn_end
    if not is_open:
        return history
    if told is not None and told > wall and (closes is None or closes > told):
        withdrawn = told
    if withdrawn is not None and (withdrawn <= wall or (closes or math.inf) <= withdrawn):
        withdrawn = None
    return replace(history, told_end=closes, withdrawn_end=withdrawn)


def describe_pilot(
    pilot: Pilot,
    pilots: Iterable[Pilot],
    history: History,
    config: Config,
    *,
    protected: bool,
    wall: float,
) -> str:
    """Return what ``explain`` says of a pilot that starts, runs or ends.

    Args:
        pilot: the pilot.
        pilots: all that the engine lists.
        history: what they were told, and what each of them got of the CPU.
        config: says when a pilot that gets none is given up.
        protected: whether pilots get the CPU only when nothing else wants it (``cpu.idle``).
        wall: the present, in seconds since 1970.
    """
    told = find_told(history, pilot.id)
    if pilot.state is PilotState.STOPPING:
        reason = told.stop_reason if told is not None else ""
        return f"It was asked to end: {reason}." if reason else "It was asked to end."
    share = _describe_share(pilot, pilots, history, config if protected else None)
    return f"{_describe_life(told, wall)} {share}"


def _describe_life(told: ToldPilot | None, wall: float) -> str:
    if told is None:
        return "What it was told is not known: another daemon started it."
    if told.life is None:
        return "It was not told how long it may live."
    left = told.started + told.life.seconds - wall
    then = (
        f"{format_duration(left)} of that are left"
        if left >= 0
        else f"it has outlived that by {format_duration(-left)}"
    )
    return (
        f"When it started it was told {format_duration(told.life.seconds)} ({told.life.why}); "
        f"{then}."
    )


def _describe_share(
    pilot: Pilot, pilots: Iterable[Pilot], history: History, config: Config | None
) -> str:
    """Say what the owner took; ``config``: of a node where the oldest come first, else None."""
    share = next((one for one in history.shares if one.id == pilot.id), None)
    if share is None:
        return "What it got of the CPU is not known yet."
    if share.squeezed < _NOTABLE:
        return "The owner took no CPU from it."
    taken = f"The owner took {format_duration(share.squeezed)} of its CPU time"
    if not share.starved:
        return f"{taken}; it gets part of what the owner leaves."
    starved = f"{taken}; it has got none for {format_duration(share.starved)}"
    if config is None:
        return f"{starved}."
    limit = "it is kept, as squeeze_limit is 0"
    if config.squeeze_limit:
        limit = f"after {format_duration(config.squeeze_limit)} it is given up (squeeze_limit)"
    age = pilot.age or 0.0
    older = sum(one.state is PilotState.RUNNING and (one.age or 0.0) > age for one in pilots)
    first = f"{format_pilots(older)} that started before" if older else "it first"
    return f"{starved}: what the owner leaves goes to {first}; {limit}."
