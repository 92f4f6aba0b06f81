"""A lock that users take in turn, and each user's threads in the order in which they asked.

Of all queries, one at a time computes. A query over 100,000 jobs takes seconds of Python, and
there is one interpreter lock: fifty queries at once would leave a fiftieth of the time to the
schedd's own thread, which answers the workers. And who sends five hundred keeps nobody waiting for
all of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class FairLock:
    """One thread holds it at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        #: the uid of the user whose thread holds it; None: nobody does
        self._holder: int | None = None
        #: by uid, the next one first: each is released when it is its thread's turn
        self._waiting: dict[int, deque[threading.Lock]] = {}

    @contextlib.contextmanager
    def hold(self, uid: int) -> Iterator[None]:
        """Hold the lock for a ``with`` block, on behalf of this user."""
        self._acquire(uid)
        try:
            yield
        finally:
            self._release()

    @contextlib.contextmanager
    def let_go(self) -> Iterator[None]:
        """Let others hold it for the body of a ``with`` statement; called while it is held.

        Even for no body, one thread of each other user who waits holds it meanwhile.
        """
        uid = self._release()
        try:
            yield
        finally:
            self._acquire(uid)

    def _acquire(self, uid: int) -> None:
        with self._guard:
            if self._holder is None:
                self._holder = uid
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.setdefault(uid, deque()).append(mine)
        mine.acquire()

    def _release(self) -> int:
        """Hand it on; returns the uid of who held it."""
        with self._guard:
            before, self._holder = self._holder, next(iter(self._waiting), None)
            assert before is not None  # noqa: S101
            if self._holder is not None:
                waiting = self._waiting.pop(self._holder)
                waiting.popleft().release()
                if waiting:
                    self._waiting[self._holder] = waiting  # behind all others
            return before
