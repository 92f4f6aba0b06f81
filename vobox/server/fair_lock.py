"""A lock that is handed on in the order in which it was asked for.

Of all queries, one at a time computes. A query over 100,000 jobs takes seconds of Python, and
there is one interpreter lock: fifty queries at once would leave a fiftieth of the time to the
schedd's own thread, which answers the workers.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class FairLock:
    """First come, first served."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_held = False
        #: each is released when it is its owner's turn
        self._waiting: deque[threading.Lock] = deque()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock for a ``with`` block; waiters get it in the order in which they came."""
        self._acquire()
        try:
            yield
        finally:
            self._release()

    def let_others(self) -> None:
        """Let all that wait now hold it first; called while it is held."""
        if self._waiting:
            self._release()
            self._acquire()

    @contextlib.contextmanager
    def let_go(self) -> Iterator[None]:
        """Let others hold it for the body of a ``with`` statement; called while it is held."""
        self._release()
        try:
            yield
        finally:
            self._acquire()

    def _acquire(self) -> None:
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False
