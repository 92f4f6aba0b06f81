"""Which records the stream may soon forget: those that half of its retention has passed since.

The stream keeps its records for some days, and some bytes. Marks in it, with the time and the
number of bytes read before each, tell how old a record at any offset is at least.
"""

from __future__ import annotations

import json
from typing import Final

from thyme.broker import Retention

#: Marks within the whole retention.
_MARKS: Final = 64


class StreamAge:
    """Marks in the stream. They are kept in the ledger as text."""

    def __init__(self, text: str, retention: Retention) -> None:
        """``text``: as ``format`` returned it; "" for none."""
        self._retention = retention
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
        # older marks than the last old one tell nothing more
        del self._marks[: number - 1]
        return self._marks[1][0] - 1 if len(self._marks) > 1 else 2**62
