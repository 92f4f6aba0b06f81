"""Compute from weekly windows, dates and stops when the node may be used, on its own clock.

Pure: ``syntax`` parses periods from the configuration, ``policy.calendar_rule`` makes a rule of
them. Periods are written in local time, which twice a year skips an hour or shows one twice. The
owner is favoured both times:

    skipped    a time that the clock never shows is the moment at which it jumps over it
    twice      a window begins at the second and ends at the first, a stop the other way round

Periods that touch are joined before that, so that two windows which meet in such an hour
leave no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
#: Days around today for which weekly periods are laid out.  A change farther away than this,
#: that no date brings about, does not exist: weekly periods repeat after 7.
_AROUND = 9
#: A weekly period may have begun this many days before it matters.
_LONGEST = 7
#: Days ahead to which dates are followed.
_FARTHEST = 800

_Local = tuple[datetime, datetime]
_Span = tuple[float, float]


@dataclass(frozen=True)
class Weekly:
    """A period that begins on each of ``days`` (0 is Monday).

    ``begin`` is in minutes of the day and ``length`` in minutes.

    ``length`` is what the clock shows: a night with a changed clock is longer or shorter.
    """

    days: tuple[int, ...]
    begin: int
    length: int


@dataclass(frozen=True)
class Dated:
    """A period that occurs once, from ``begin`` to ``end``, both without a time zone."""

    begin: datetime
    end: datetime


Period = Weekly | Dated


@dataclass(frozen=True)
class Calendar:
    """The periods of a node: no ``windows`` means always; ``stops`` win over windows."""

    windows: tuple[Period, ...] = ()
    stops: tuple[Period, ...] = ()
    zone: tzinfo = timezone.utc


@dataclass(frozen=True)
class Opening:
    """Whether the node may be used, since when and until when, in seconds since 1970.

    ``since`` is None when that was more than a week ago, ``until`` when nothing changes.
    """

    open: bool
    since: float | None = None
    until: float | None = None


def find_opening(calendar: Calendar, wall: float) -> Opening:
    """Return whether the node may be used at ``wall``, in seconds since 1970."""
    if not calendar.windows and not calendar.stops:
        return Opening(True)
    spans, known = _laid_out(calendar, datetime.fromtimestamp(wall, calendar.zone).date())
    before = [edge for span in spans for edge in span if edge <= wall]
    after = [edge for span in spans for edge in span if edge > wall]
    since, until = max(before, default=None), min(after, default=None)
    return Opening(
        open=any(begin <= wall < end for begin, end in spans),
        since=since if since is not None and since >= known[0] else None,
        until=until if until is not None and until <= known[1] else None,
    )


@lru_cache(maxsize=4)
def _laid_out(calendar: Calendar, today: date) -> tuple[tuple[_Span, ...], _Span]:
    """Return the open spans around ``today``, and the span for which these are complete."""
    farthest = today + timedelta(_FARTHEST)
    dates = [p.end.date() for p in calendar.windows + calendar.stops if isinstance(p, Dated)]
    last = min(max([today, *dates]), farthest) + timedelta(_AROUND)
    first = today - timedelta(_AROUND)
    known = (_moment(_midnight(first), calendar.zone), _moment(_midnight(last), calendar.zone))
    days = [first + timedelta(number) for number in range(-_LONGEST, (last - first).days + 1)]
    open_spans: list[_Span] = [(float("-inf"), float("inf"))]
    if calendar.windows:
        open_spans = [
            (_moment(begin, calendar.zone, second=True), _moment(end, calendar.zone))
            for begin, end in _joined(_occurrences(calendar.windows, days))
        ]
    stop_spans = [
        (_moment(begin, calendar.zone), _moment(end, calendar.zone, second=True))
        for begin, end in _joined(_occurrences(calendar.stops, days))
    ]
    return tuple(_without(open_spans, stop_spans)), known


def _occurrences(periods: Iterable[Period], days: Sequence[date]) -> Iterable[_Local]:
    for period in periods:
        if isinstance(period, Dated):
            yield period.begin, period.end
            continue
        for day in days:
            if day.weekday() in period.days:
                begin = _midnight(day) + timedelta(minutes=period.begin)
                yield begin, begin + timedelta(minutes=period.length)


def _joined(spans: Iterable[_Local]) -> list[_Local]:
    joined: list[_Local] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _without(spans: Iterable[_Span], holes: Iterable[_Span]) -> Iterable[_Span]:
    left = [span for span in spans if span[0] < span[1]]
    for begin, end in holes:
        left = [
            part
            for span in left
            for part in ((span[0], min(span[1], begin)), (max(span[0], end), span[1]))
            if part[0] < part[1]
        ]
    return left


def _moment(local: datetime, zone: tzinfo, *, second: bool = False) -> float:
    """Return when the clock shows ``local``: the first time, or the ``second`` if it does twice."""
    first, other = (local.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first <= other:
        return other if second else first
    # Skipped: ``other`` lies before the jump and ``first`` behind it.
    before, behind = int(other), int(first)
    offset = datetime.fromtimestamp(before, zone).utcoffset()
    while behind - before > 1:
        middle = (before + behind) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            before = middle
        else:
            behind = middle
    return float(behind)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())
