"""Which records the stream may soon forget: those that half of its retention has passed since.

The stream keeps its records for some days, and some bytes. Marks in it, with the time and the
number of bytes read before each, tell how old a record at any offset is at least. It may keep them
for less than it was declared with: an operator's policy is not told to clients. So the oldest
record that it has is looked at as well.
"""

from __future__ import annotations

import json
from typing import Final

from thyme.broker import Retention

#: Marks within the whole retention, and in all: it is reached by bytes or by time.
_MARKS: Final = 64
_MOST_MARKS: Final = 4 * _MARKS


class StreamAge:
    """Marks in the stream. They are kept in the ledger as text."""

    def __init__(self, text: str, retention: Retention) -> None:
        """``text``: as ``format`` returned it; "" for none."""
        self._declared = self._retention = retention
        #: offset, epoch seconds and bytes before it, of each mark
        self._marks: list[tuple[int, float, int]] = []
        #: bytes of all records that were read
        self._bytes = 0
        if text:
            self._bytes, marks = json.loads(text)
            self._marks = [(offset, time, size) for offset, time, size in marks]

    def format(self) -> str:
        """Return all that is known, as text."""
        return json.dumps([self._bytes, self._marks], separators=(",", ":"))

    def read(self, offset: int, size: int, time: float | None) -> None:
        """Note a record of so many bytes.

        :param time: when it was published, epoch seconds; None where that cannot be trusted
        """
        self._bytes += size
        if not self._marks:
            passed = time is not None
        else:
            _offset, since, before = self._marks[-1]
            passed = self._bytes - before >= self._retention.bytes / _MARKS
            passed |= time is not None and time - since >= self._retention.seconds / _MARKS
            time = since if time is None else time
        if passed and time is not None:
            self._marks.append((offset, time, self._bytes - size))
            del self._marks[:-_MOST_MARKS]

    def compare_with_first(self, first: int, now: float) -> Retention | None:
        """Believe what the stream has kept, if it is less than half of what was declared.

        :param first: offset of the oldest record that it has, if it had others before
        :param now: epoch seconds
        :return: what it has kept then; None if there is nothing to say
        """
        self._retention = self._declared
        before = sum(offset <= first for offset, _time, _bytes in self._marks)
        if before == 0:
            return None
        del self._marks[: before - 1]  # of what is forgotten they tell nothing more
        _offset, time, size = self._marks[0]
        kept = Retention(now - time, float(self._bytes - size))
        declared = self._declared
        if kept.seconds >= declared.seconds / 2 or kept.bytes >= declared.bytes / 2:
            return None
        self._retention = kept
        return kept

    def find_old(self, now: float) -> int:
        """Return the last offset that half of the retention has passed since; -1: none.

        ``now``: epoch seconds. What is before the first mark counts as old as that.
        """
        is_old = [
            now - time >= self._retention.seconds / 2
            or self._bytes - before >= self._retention.bytes / 2
            for _offset, time, before in self._marks
        ]
        number = is_old.index(False) if False in is_old else len(is_old)
        if number == 0:
            return -1
        return self._marks[number][0] - 1 if number < len(self._marks) else 2**62
