"""Tell from windows and stops when pilots may start, and when those that still run must end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from plancton.calendar import periods
from plancton.calendar.syntax import parse_calendar
from plancton.config.model import Config
from plancton.model import HostFacts

OPEN = "open"
#: ``drain_lead`` before the end: nothing starts any more.
ENDING = "ending"
#: Past the end, within ``window_grace``: pilots are left to end.
GRACE = "grace"
CLOSED = "closed"


@dataclass(frozen=True)
class CalendarPhase:
    """Where the node is in its calendar."""

    name: str
    #: when the phase changes, in seconds since 1970; None: never
    change: float | None
    #: in one sentence
    text: str
    #: while the node is open: when it closes, in seconds since 1970; None: not known, or never
    end: float | None = None

    @property
    def starts(self) -> bool:
        """Whether pilots may start."""
        return self.name == OPEN

    @property
    def evicts(self) -> bool:
        """Whether pilots that still run are stopped."""
        return self.name == CLOSED


def find_phase(config: Config, facts: HostFacts, wall: float) -> CalendarPhase:
    """Return the phase of this node at ``wall``, in seconds since 1970.

    ``config``: its windows and stops, ``facts``: the node's time zone.
    """
    if not config.windows and not config.stops:
        return CalendarPhase(OPEN, None, "No windows are set: the node may be used at any time.")
    times = parse_calendar(config.windows, config.stops, config.timezone or facts.timezone)
    found = periods.find_opening(times, wall)
    end = "" if found.until is None else format_time(found.until, times.zone)
    if not found.open:
        then = f"closed until {end}" if end else "closed, and no window will come"
        evicted = wall if found.since is None else found.since + config.window_grace
        if wall < evicted:
            left = f"pilots that still run are evicted in {evicted - wall:.0f} s"
            return CalendarPhase(
                GRACE, _first(evicted, found.until), f"The node is {then}; {left}."
            )
        return CalendarPhase(CLOSED, found.until, f"The node is {then}.")
    if found.until is None:
        return CalendarPhase(OPEN, None, "The node is open, and nothing will close it.")
    drain = found.until - config.drain_lead
    if wall >= drain:
        return CalendarPhase(
            ENDING,
            found.until,
            f"The node is open until {end}: until then pilots only end.",
            found.until,
        )
    last = f"; no pilot starts after {format_time(drain, times.zone)}" if config.drain_lead else ""
    return CalendarPhase(OPEN, drain, f"The node is open until {end}{last}.", found.until)


def format_time(wall: float, zone: tzinfo) -> str:
    """Return a time for people, e.g. ``Mon 2026-11-23 06:00 CET``, in English in any locale."""
    local = datetime.fromtimestamp(wall, zone)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    return f"{day} {local:%Y-%m-%d %H:%M %Z}".rstrip()


def _first(moment: float, other: float | None) -> float:
    return moment if other is None else min(moment, other)
