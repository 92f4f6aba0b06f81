"""Dates and durations as the tables print them (local time, no locale)."""

from __future__ import annotations

import time

_LATEST = 253402300799  # 9999-12-31, the last second that has a date


def short_date(epoch: float) -> str:
    """``%2d/%02d %02d:%02d``, 11 wide: month/day hour:minute."""
    moment = time.localtime(min(max(epoch, 0), _LATEST))
    return f"{moment.tm_mon:2}/{moment.tm_mday:02} {moment.tm_hour:02}:{moment.tm_min:02}"


def duration(seconds: float) -> str:
    """``%3d+%02d:%02d:%02d``, 12 wide: days+hours:minutes:seconds; never below 0."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days:3}+{hour:02}:{minute:02}:{second:02}"


def title_date(now: float) -> str:
    """``MM/DD/YY HH:MM:SS``."""
    return time.strftime("%m/%d/%y %H:%M:%S", time.localtime(now))
