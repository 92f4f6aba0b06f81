"""Parse the periods of ``windows`` and ``stops``.

mon-fri 20:00-06:00             each of these days; an end not after its begin is on the
                                next day
sat,sun                         whole days
daily 00:00-24:00               every day
fri 18:00 - mon 06:00           once a week, over several days
2026-12-24                      one date
2026-12-24 18:00-23:00          some hours of it
2026-12-24 - 2027-01-02         the last day included
2026-12-24 18:00 - 2027-01-02 08:00
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hostfiles.regular_file import open_regular

from .periods import DAY_MINUTES, WEEK_MINUTES, Calendar, Dated, Period, Weekly

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {name[:length]: n for n, name in enumerate(_DAYS) for length in (3, len(name))}
_TIME = r"(\d{1,2}):(\d{2})"
_DATE = r"(\d{4}-\d{2}-\d{2})"
_TO = r"\s*(?:-|\bto\b)\s*"
_WEEKLY = re.compile(rf"([a-z]+(?:\s*[-,]\s*[a-z]+)*)(?:\s+{_TIME}{_TO}{_TIME})?", re.ASCII)
_OVER_DAYS = re.compile(rf"([a-z]+)\s+{_TIME}{_TO}([a-z]+)\s+{_TIME}", re.ASCII)
_HOURS = re.compile(rf"{_DATE}(?:\s+{_TIME}{_TO}{_TIME})?", re.ASCII)
_DATES = re.compile(rf"{_DATE}(?:\s+{_TIME})?{_TO}{_DATE}(?:\s+{_TIME})?", re.ASCII)
_FORMS = (
    "write e.g. 'mon-fri 20:00-06:00', 'sat,sun', 'fri 18:00 - mon 06:00' "
    "or '2026-12-24 18:00 - 2027-01-02 08:00'"
)


class BadPeriod(ValueError):
    """The text is not a period, or the time zone is unknown; the message says why."""


@lru_cache(maxsize=8)
def parse_calendar(windows: tuple[str, ...], stops: tuple[str, ...], zone_name: str) -> Calendar:
    """Return the calendar of the keys ``windows``, ``stops`` and ``timezone``.

    Raises BadPeriod, which a checked configuration does not.
    """
    return Calendar(
        tuple(map(parse_period, windows)), tuple(map(parse_period, stops)), find_zone(zone_name)
    )


@lru_cache(maxsize=8)
def find_zone(name: str) -> tzinfo:
    """Return the time zone called ``name``: one of the tz database, or a file in its format.

    Raises BadPeriod.
    """
    if name == "UTC":
        return timezone.utc
    try:
        if name.startswith("/"):
            with open(name, "rb", opener=open_regular) as file:
                return ZoneInfo.from_file(file, key=name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise BadPeriod(f"{name!r} is no time zone known here; write e.g. Europe/Zurich") from error


def parse_period(text: str) -> Period:
    """Return the period that ``text`` describes.  Raises BadPeriod."""
    words = text.strip().lower()
    if found := _OVER_DAYS.fullmatch(words):
        return _over_days(found)
    if found := _WEEKLY.fullmatch(words):
        return _weekly(found)
    if found := _HOURS.fullmatch(words):
        return _hours(found)
    if found := _DATES.fullmatch(words):
        return _dates(found)
    raise BadPeriod(f"{text!r} is no period of time; {_FORMS}")


def _weekly(found: re.Match[str]) -> Weekly:
    days: set[int] = set()
    for part in re.split(r"\s*,\s*", found[1]):
        first, _, last = (word.strip() for word in part.partition("-"))
        if first == "daily" and not last:
            days.update(range(7))
            continue
        begin, end = _day(first), _day(last or first)
        days.update((begin + n) % 7 for n in range((end - begin) % 7 + 1))
    if found[2] is None:
        return Weekly(tuple(sorted(days)), 0, DAY_MINUTES)
    begin, end = _minutes(found[2], found[3]), _minutes(found[4], found[5])
    if begin == DAY_MINUTES:
        raise BadPeriod("24:00 is an end, not a begin; write 00:00 and the next day")
    return Weekly(tuple(sorted(days)), begin, _length(begin, end))


def _over_days(found: re.Match[str]) -> Weekly:
    first, last = _day(found[1]), _day(found[4])
    begin = _minutes(found[2], found[3])
    length = (last - first) % 7 * DAY_MINUTES + _minutes(found[5], found[6]) - begin
    return Weekly((first,), begin, length if length > 0 else length + WEEK_MINUTES)


def _hours(found: re.Match[str]) -> Dated:
    begin, minutes = _date(found[1]), (0, DAY_MINUTES)
    if found[2] is not None:
        minutes = (_minutes(found[2], found[3]), _minutes(found[4], found[5]))
    length = _length(*minutes)
    begin += timedelta(minutes=minutes[0])
    return Dated(begin, begin + timedelta(minutes=length))


def _dates(found: re.Match[str]) -> Dated:
    begin, end = _date(found[1]), _date(found[4])
    if found[2] is not None:
        begin += timedelta(minutes=_minutes(found[2], found[3]))
    # Without a time, the last day is part of it.
    end += timedelta(minutes=DAY_MINUTES if found[5] is None else _minutes(found[5], found[6]))
    if end <= begin:
        raise BadPeriod(f"{found[0]!r} ends before it begins")
    return Dated(begin, end)


def _length(begin: int, end: int) -> int:
    return end - begin if end > begin else end - begin + DAY_MINUTES


def _day(name: str) -> int:
    if name not in _NUMBERS:
        raise BadPeriod(
            f"{name!r} is no day; the days are mon, tue, wed, thu, fri, sat, sun, daily"
        )
    return _NUMBERS[name]


def _minutes(hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > DAY_MINUTES:
        raise BadPeriod(f"{hours}:{minutes} is no time of day")
    return total


def _date(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadPeriod(f"{text} is no date") from None
    return datetime(day.year, day.month, day.day)
