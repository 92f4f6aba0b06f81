"""Keep what was learned of the node's idle periods over restarts of the daemon and of the node.

A few kilobytes, written again every ten minutes and at the end.  Periods that go on are kept with
their age: a daemon that is back soon takes them to have gone on.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from hostfiles.regular_file import open_regular
from hostfiles.replace_file import replace_file
from plancton.model import History, IdleRecord, IdleSince
from plancton.policy.lifetime import AGES, MOST_LEVELS, WEEK_HOURS

_log = logging.getLogger("plancton")

_VERSION = 1
#: Seconds between two writes.
SAVE_INTERVAL = 600.0
#: Seconds without a daemon after which nobody knows whether the node was idle: two missed writes.
MAX_GAP = 1200.0
#: Largest file that is read (bytes): forty times what is written.
_MAX_SIZE = 1_000_000


class IdleStore:
    """The file with the record of one node."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved_at: float | None = None

    def look(self, history: History, now: float, wall: float) -> None:
        """Write the record if that is due; a failure is logged and tried again.

        ``history`` is what to save; ``now``: monotonic seconds, ``wall``: seconds since 1970.
        """
        if self._saved_at is None:
            self._saved_at = now
        if now - self._saved_at >= SAVE_INTERVAL:
            self.save(history, now, wall)

    def save(self, history: History, now: float, wall: float) -> None:
        """Write the record whole or not at all; a failure is logged.

        ``history`` is what to save; ``now``: monotonic seconds, ``wall``: seconds since 1970.
        """
        self._saved_at = now
        record, idle = history.record, history.idle
        content = {
            "version": _VERSION,
            "wall": wall,
            "ages": [now - since for since in idle.since],
            "counted": now - idle.counted,
            "ends": record.ends,
            "ended": record.ended,
            "watched": record.watched,
            "hour_ended": record.hour_ended,
            "hour_expected": record.hour_expected,
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(content))
        except OSError as error:
            _log.error("%s: cannot be written: %s", self._path, error.strerror)

    def load(self, history: History, now: float, wall: float) -> History:
        """Return the history with what was saved; one that cannot be used is logged.

        ``history`` is what is known already; ``now``: monotonic seconds, ``wall``: seconds since
        1970.
        """
        try:
            with open(self._path, encoding="utf-8", opener=open_regular) as file:
                content = json.loads(file.read(_MAX_SIZE))
            if content["version"] != _VERSION:
                raise ValueError("it is of another version")
            record, idle = _read(content, now, wall)
        except FileNotFoundError:
            return history
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            _log.warning(
                "%s: cannot be used, idle periods are learned again: %s", self._path, error
            )
            return history
        return replace(history, record=record, idle=idle)


def _read(content: dict[str, Any], now: float, wall: float) -> tuple[IdleRecord, IdleSince]:
    record = IdleRecord(
        _number(content["ends"]),
        _numbers(content["ended"], len(AGES)),
        _numbers(content["watched"], len(AGES)),
        _numbers(content["hour_ended"], WEEK_HOURS),
        _numbers(content["hour_expected"], WEEK_HOURS),
    )
    gap = wall - float(content["wall"])
    if not 0 <= gap <= MAX_GAP:
        return record, IdleSince()
    ages = [_number(age) for age in content["ages"][:MOST_LEVELS]]
    since = tuple(sorted(now - age - gap for age in ages))
    return record, IdleSince(since, now - gap - _number(content["counted"]))


def _numbers(values: Any, length: int) -> tuple[float, ...]:
    if len(values) not in (0, length):
        raise ValueError(f"{len(values)} values and not {length}")
    return tuple(_number(value) for value in values)


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no number of 0 or more")
    return float(value)
