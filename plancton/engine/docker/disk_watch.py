"""Measure now and then how much of the disk each container has filled.

The engine looks at every file of every container for that, so it is asked beside the loop, and the
less often the longer it takes: it has at most a fiftieth of the time for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from plancton.errors import EngineError

_log = logging.getLogger("plancton")

#: Seconds between two looks, and how many times what a look takes.
INTERVAL, TIMES = 20.0, 50.0


class DiskWatch:
    """What was found last; ``read`` returns the bytes of each container by its id."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read, clock
        self._sizes: Mapping[str, int] = {}
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Measure in a thread, if that is due; returns at once."""
        if self._clock() >= self._next and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._measure, name="disk", daemon=True)
            self._thread.start()

    def find(self, container: str) -> int | None:
        """Return the bytes that a container had filled at the last look; None: not known."""
        return self._sizes.get(container)

    def close(self) -> None:
        """Wait for a look that is under way, but not for long."""
        if self._thread is not None:
            self._thread.join(1.0)

    def _measure(self) -> None:
        began = self._clock()
        try:
            self._sizes = dict(self._read())
        except EngineError as error:
            self._sizes = {}
            _log.info("how much disk the pilots use is not known: %s", error)
        now = self._clock()
        self._next = now + max(INTERVAL, TIMES * (now - began))
