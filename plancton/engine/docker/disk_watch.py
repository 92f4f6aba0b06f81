"""Measure now and then how much of the disk each container has filled.

The engine looks at every file of a container for that, so it is asked beside the loop, for one
container after the other, and the less often the longer it takes: it has at most a fiftieth of the
time for it.  Where a container cannot be measured it is asked again soon: whoever makes paths that
are too long for the engine, or files without number, must not escape its limit.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection

from plancton.errors import EngineError, EngineUnavailable, NotThere
from plancton.model import DiskUse

from .threads import start_thread

_log = logging.getLogger("plancton")

#: Seconds between two looks, and how many times what a look takes.
INTERVAL, TIMES = 20.0, 50.0
#: Seconds to the next look while a container cannot be measured.
AGAIN = 5.0


class DiskWatch:
    """What was found last.

    ``read`` returns the bytes of a container; None where the engine answers, but cannot tell.
    """

    def __init__(
        self, read: Callable[[str], int | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._clock = read, clock
        self._found: dict[str, DiskUse] = {}
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def look(self, containers: Collection[str]) -> None:
        """Measure these in a thread, if that is due; returns at once."""
        if self._clock() >= self._next and (self._thread is None or not self._thread.is_alive()):
            with contextlib.suppress(EngineUnavailable):  # no thread: the next look tries again
                self._thread = start_thread(self._measure, "disk", containers)

    def find(self, container: str) -> DiskUse:
        """Return what a container had filled at the last look."""
        return self._found.get(container, DiskUse())

    def close(self) -> None:
        """Wait for a look that is under way, but not for long."""
        if self._thread is not None:
            self._thread.join(1.0)

    def _measure(self, containers: Collection[str]) -> None:
        began = self._clock()
        failures = {one: self.find(one).failures for one in containers}
        found = {one: DiskUse(None, failed) for one, failed in failures.items()}
        try:
            for one in containers:
                try:
                    size = self._read(one)
                except NotThere:
                    continue
                found[one] = DiskUse(size, failures[one] + 1 if size is None else 0)
        except EngineError as error:
            _log.warning("how much disk the pilots use is not known: %s", error)
        self._found = found
        now = self._clock()
        again = any(use.failures for use in found.values())
        self._next = now + (AGAIN if again else max(INTERVAL, TIMES * (now - began)))
