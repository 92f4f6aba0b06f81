"""Limit the connections at once, so that no user keeps out the others.

A connection costs a thread and, for a query, a few open files. A client that opens
thousands of connections must not use up those of the process.
"""

from __future__ import annotations

import resource
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

#: Connections at once, of all users, where the limit of open files allows it.
MAX_CONNECTIONS = 1024
#: Open files that a command needs at most: connection, ledger with its log, a job's file.
FILES_PER_CONNECTION = 8


def raise_connection_limit() -> int:
    """Raise the limit of open files as far as needed; returns the connections that it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS * FILES_PER_CONNECTION
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == unlimited:
        return MAX_CONNECTIONS
    return max(min(MAX_CONNECTIONS, soft // FILES_PER_CONNECTION), 1)


class ConnectionLimit:
    """At most so many connections of all users.

    A user who is not root has at most as many as are free then: alone half of all, and a second
    one half of the rest, so that no number of users leaves nothing to the next.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: Counter[int] = Counter()

    @contextmanager
    def enter(self, uid: int) -> Iterator[str]:
        """Count a connection in a ``with`` statement; yields "" or why it is refused."""
        with self._lock:
            why = self._explain_refusal(uid)
            self._open[uid] += not why
        try:
            yield why
        finally:
            if not why:
                with self._lock:
                    self._open[uid] -= 1
                    if not self._open[uid]:
                        del self._open[uid]

    def _explain_refusal(self, uid: int) -> str:
        own, free = self._open[uid], self._limit - sum(self._open.values())
        if free <= 0:
            return f"{self._limit} commands are under way; try again"
        if uid != 0 and own >= free:
            return f"{own} commands of yours are under way; try again"
        return ""


class OwnerSlots:
    """At most ``each`` of something at once for one user; who comes later waits.

    Arguments, descriptions and input files are held in memory, and a submit computes under
    Python's one lock: without a limit one user's commands fill the memory, and leave another's no
    time.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._changed = threading.Condition()
        self._held: Counter[int] = Counter()

    @contextmanager
    def hold(self, uid: int, number: int = 1, patience: float | None = None) -> Iterator[None]:
        """Wait for so many slots of this user's, at most all, and keep them within the block.

        Raises TimeoutError if that takes longer than ``patience`` (seconds; None: no limit).
        """
        with self._changed:
            are_free = lambda: self._held[uid] + number <= self._each  # noqa: E731
            if not self._changed.wait_for(are_free, patience):
                raise TimeoutError
            self._held[uid] += number
        try:
            yield
        finally:
            with self._changed:
                self._held[uid] -= number
                if not self._held[uid]:
                    del self._held[uid]
                self._changed.notify_all()
