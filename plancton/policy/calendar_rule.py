"""The rule of the windows: when pilots may start, and when those that still run must go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from plancton.calendar import periods
from plancton.calendar.syntax import parse_calendar
from plancton.config.model import Config
from plancton.model import HostFacts, Reason

OPEN = "open"
#: ``drain_lead`` before the end: nothing starts any more.
ENDING = "ending"
#: Past the end, within ``window_grace``: pilots are left to end.
GRACE = "grace"
CLOSED = "closed"


@dataclass(frozen=True)
class Phase:
    """Where the node is in its calendar; ``change`` is when that changes (since 1970)."""

    name: str
    #: None: nothing will change
    change: float | None
    #: in one sentence
    text: str

    @property
    def starts(self) -> bool:
        return self.name == OPEN

    @property
    def evicts(self) -> bool:
        return self.name == CLOSED

    def reason(self) -> Reason:
        return Reason("window", None if self.starts else 0, self.text)


def phase(config: Config, facts: HostFacts, wall: float) -> Phase:
    """The phase at ``wall``, seconds since 1970."""
    if not config.windows and not config.stops:
        return Phase(OPEN, None, "No windows are set: the node may be used at any time.")
    times = parse_calendar(config.windows, config.stops, config.timezone or facts.timezone)
    found = periods.look(times, wall)
    end = "" if found.until is None else moment(found.until, times.zone)
    if not found.open:
        then = f"closed until {end}" if end else "closed, and no window will come"
        evicted = wall if found.since is None else found.since + config.window_grace
        if wall < evicted:
            left = f"pilots that still run are evicted in {evicted - wall:.0f} s"
            return Phase(GRACE, _first(evicted, found.until), f"The node is {then}; {left}.")
        return Phase(CLOSED, found.until, f"The node is {then}.")
    if found.until is None:
        return Phase(OPEN, None, "The node is open, and nothing will close it.")
    drain = found.until - config.drain_lead
    if wall >= drain:
        return Phase(
            ENDING, found.until, f"The node is open until {end}: until then pilots only end."
        )
    last = f"; no pilot starts after {moment(drain, times.zone)}" if config.drain_lead else ""
    return Phase(OPEN, drain, f"The node is open until {end}{last}.")


def moment(wall: float, zone: tzinfo) -> str:
    """For people, e.g. ``Mon 2026-11-23 06:00 CET``; days in English, whatever the locale."""
    local = datetime.fromtimestamp(wall, zone)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    return f"{day} {local:%Y-%m-%d %H:%M %Z}".rstrip()


def _first(moment: float, other: float | None) -> float:
    return moment if other is None else min(moment, other)
