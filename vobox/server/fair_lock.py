"""Whose turn it is: of all queries, one at a time computes.

A query over 100,000 jobs is seconds of Python, and there is one interpreter
lock. Fifty such queries at once must not leave the schedd's own thread, which
answers the workers, a fiftieth of the time: they share one half of it.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class Turns:
    """A lock that is handed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        #: each is released when its owner's turn has come
        self._waiting: deque[threading.Lock] = deque()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        self._take()
        try:
            yield
        finally:
            self._give()

    def pause(self) -> None:
        """Let the others have theirs; for whoever has the turn."""
        if self._waiting:
            self._give()
            self._take()

    def _take(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def _give(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
