"""How long a pilot may expect to live: learned from how long the node's idle periods last.

A node that its owner leaves for a lunch break and one that he leaves for the weekend look alike at
first; what tells them apart is how long they have been idle, and the hour of the week.  An idle
period is the time for which the node has room for a first pilot, for a second, and so on: each of
these counts.  From the periods seen so far follows how many of them end at each age (the hazard,
as of a life table), and how much more often than that they end in each hour of the week.

Pure: the record is a value, and so is the time.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from plancton.config.model import Config
from plancton.model import Capacity, Expectation, History, IdleRecord, IdleSince

from .calendar_rule import CalendarPhase

HOUR = 3600.0
WEEK_HOURS = 168
#: Ages (s) at which a class of ages begins: each is longer than the last by the square root of 2,
#: as a minute matters to a period of five minutes and not to one of a day.  The last: 9 days.
AGES = (0.0, *(30.0 * math.sqrt(2.0) ** step for step in range(30)))
#: Before any period was seen, one that has lasted for a time is as likely as not to last that long
#: again (a hazard of 1 by age); that counts as much as one period in each class.
PRIOR_ENDS = 1.0
#: An hour is taken to be like the others as long as fewer periods than this ended in it.
PRIOR_HOUR = 1.0
#: Seconds after which what was seen counts for 1/e: two months, so that a weekly habit is known by
#: eight weeks, and a habit of last year is forgotten.
MEMORY = 60 * 86400.0
#: Fewer periods than this say nothing.
FEWEST_ENDS = 5.0
#: Seconds between two counts of the periods that go on.
COUNT_INTERVAL = 600.0
#: However often nothing fits, at least every other pilot lives as long as it is told.
LEAST_CONFIDENCE = 0.5
#: No pilot is told that it will live longer than this (s): no job is, and nobody can know.
LONGEST_LIFE = 7 * 86400.0
#: For no more pilots than this are idle periods followed.
MOST_LEVELS = 512


def follow_idle(
    history: History,
    capacity: Capacity,
    shortage: int | None,
    config: Config,
    now: float,
    wall: float,
) -> History:
    """Return the history with the node's idle periods followed, and those that ended learned.

    Args:
        history: what the last decision passed on.
        capacity: for how many pilots the node has room now.
        shortage: bytes that are missing to the owner's reserve of memory; None: not known.
        config: says after which time (``grace_kill``) having room for fewer ends a period.
        now: seconds of the monotonic clock.
        wall: the same moment in seconds since 1970.
    """
    keep = capacity.keep
    if keep is None:
        return history
    keep = min(keep, MOST_LEVELS)
    idle = history.idle
    left = len(idle.since)
    fewer_since, fewer = idle.fewer_since, idle.fewer
    if keep >= left:
        fewer_since = None
    elif shortage:
        # Memory evicts at once.
        left, fewer_since = keep, None
    else:
        if fewer_since is None:
            fewer_since, fewer = now, keep
        fewer = max(fewer, keep)
        if now - fewer_since >= config.grace_kill:
            left, fewer_since = fewer, None
    record, counted = history.record, idle.counted
    if left < len(idle.since) or now - counted >= COUNT_INTERVAL:
        record = learn_periods(history.record, idle, left, now, wall)
        counted = now
    since = idle.since[:left] + (now,) * (keep - left)
    if since == idle.since and (counted, fewer_since, fewer) == (
        idle.counted, idle.fewer_since, idle.fewer
    ):  # fmt: skip
        return history
    return replace(history, record=record, idle=IdleSince(since, counted, fewer_since, fewer))


def learn_periods(
    record: IdleRecord, idle: IdleSince, left: int, now: float, wall: float
) -> IdleRecord:
    """Return the record with the periods of ``idle`` counted up to ``now``.

    Those after the first ``left`` end now.  ``now`` is of the monotonic clock, and ``wall`` the
    same moment in seconds since 1970.
    """
    fade = math.exp(-max(0.0, now - idle.counted) / MEMORY) if idle.counted else 1.0
    ended, watched = _faded(record.ended, len(AGES), fade), _faded(record.watched, len(AGES), fade)
    hour_ended = _faded(record.hour_ended, WEEK_HOURS, fade)
    hour_expected = _faded(record.hour_expected, WEEK_HOURS, fade)
    # What was seen alone: a guess must not be held against an hour.
    hazards = _hazards(record, prior_ends=0.0)
    for since, number in Counter(idle.since).items():
        begin = max(0.0, idle.counted - since)
        for age, at, seconds in _steps(begin, now - since, wall - now + since):
            watched[age] += number * seconds
            hour_expected[at] += number * seconds * hazards[age]
    over = idle.since[left:]
    for since in over:
        ended[_class_of(now - since)] += 1.0
        hour_ended[_hour_of(wall)] += 1.0
    return IdleRecord(
        record.ends * fade + bool(over),
        tuple(ended),
        tuple(watched),
        tuple(hour_ended),
        tuple(hour_expected),
    )


def expect_more(record: IdleRecord, age: float, wall: float, confidence: float) -> float | None:
    """Return for how many more seconds an idle period lasts; None while too little is known.

    Args:
        record: the periods seen so far.
        age: for how many seconds this one has lasted.
        wall: the present, in seconds since 1970.
        confidence: the share of such periods that last that long or longer, above 0 and below 1.
    """
    if record.ends < FEWEST_ENDS:
        return None
    hazards, allowed = _hazards(record), -math.log(confidence)
    lasted = 0.0
    for at_age, at_hour, seconds in _steps(age, age + LONGEST_LIFE, wall - age):
        hazard = hazards[at_age] * _hour_factor(record, at_hour)
        if hazard * seconds >= allowed:
            return lasted + allowed / hazard
        allowed -= hazard * seconds
        lasted += seconds
    return LONGEST_LIFE


def expect_life(
    history: History, config: Config, phase: CalendarPhase, place: int, now: float, wall: float
) -> Expectation | None:
    """Return for how long a pilot that starts now may expect to live; None: not known.

    Args:
        history: with the idle periods and the record of this node.
        config: says how sure it shall be, and the least that is told.
        phase: where the node is in its calendar.
        place: how many pilots run before it, which are evicted after it.
        now: seconds of the monotonic clock.
        wall: the same moment in seconds since 1970.
    """
    known = []
    if config.lifetime_confidence:
        since = history.idle.since
        age = now - since[place] if place < len(since) else 0.0
        sure = _confidence(config, history)
        more = expect_more(history.record, age, wall, sure)
        if more is not None:
            why = (
                f"{sure:.0%} of the idle periods that had lasted "
                f"{format_duration(age)} at this hour of the week lasted that much longer"
            )
            if more < config.lifetime_min:
                more, why = config.lifetime_min, "the least that is told (lifetime_min)"
            known.append(Expectation(more, why))
    if "max_ttl" in config.model_fields_set:
        known.append(Expectation(config.max_ttl, "max_ttl"))
    unclosed = min((one.seconds for one in known), default=None)
    if phase.end is not None:
        known.append(Expectation(max(0.0, phase.end - wall), "until the node closes"))
    found = min(known, key=lambda one: one.seconds, default=None)
    return None if found is None else replace(found, unclosed=unclosed)


def _confidence(config: Config, history: History) -> float:
    """Return how sure it must be: less with each probe that finds no work.

    If nothing fits, a longer job that may be lost is worth more than an idle node.
    """
    doubled = math.pow(config.lifetime_confidence, 2 ** min(history.no_work.level, 8))
    return max(doubled, min(config.lifetime_confidence, LEAST_CONFIDENCE))


def format_duration(seconds: float) -> str:
    """Return a time for people, e.g. ``3 h 20 min``."""
    minutes = int(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    days, hours = minutes // 1440, minutes % 1440 // 60
    parts = ((days, "d"), (hours, "h"), (0 if days else minutes % 60, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _hazards(record: IdleRecord, prior_ends: float = PRIOR_ENDS) -> list[float]:
    """Return how many periods end in a second, by class of age."""
    ended = record.ended or (0.0,) * len(AGES)
    watched = record.watched or (0.0,) * len(AGES)
    return [
        (one + prior_ends) / (seconds + PRIOR_ENDS * middle)
        for one, seconds, middle in zip(ended, watched, _MIDDLES, strict=True)
    ]


#: A typical age (s) of each class.
_MIDDLES = (AGES[1], *(age * 2.0**0.25 for age in AGES[1:]))


def _hour_factor(record: IdleRecord, hour: int) -> float:
    """Return how much more often than in other hours periods end in this one."""
    return (record.hour_ended[hour] + PRIOR_HOUR) / (record.hour_expected[hour] + PRIOR_HOUR)


def _steps(begin: float, end: float, born: float) -> Iterator[tuple[int, int, float]]:
    """Yield the class of age, the hour of the week and the seconds of each part of a life.

    The life is from the age ``begin`` to the age ``end`` of a period that began at ``born``, in
    seconds since 1970.
    """
    age = begin
    while age < end:
        number, hour = _class_of(age), math.floor((born + age) / HOUR)
        until = min(end, (hour + 1) * HOUR - born)
        if number + 1 < len(AGES):
            until = min(until, AGES[number + 1])
        # A rounding error must not keep it where it is.
        until = max(until, age + 1e-3)
        yield number, hour % WEEK_HOURS, until - age
        age = until


def _class_of(age: float) -> int:
    return max(0, bisect_right(AGES, age) - 1)


def _hour_of(wall: float) -> int:
    return math.floor(wall / HOUR) % WEEK_HOURS


def _faded(values: tuple[float, ...], number: int, fade: float) -> list[float]:
    return [value * fade for value in values] if values else [0.0] * number
