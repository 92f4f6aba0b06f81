"""How many commands may be under way at once, so that no user keeps out the others.

A connection costs a thread and, for a query, a few open files. A client that
leaves connections open by the thousand must not use up what the process has.
"""

from __future__ import annotations

import resource
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

#: Commands under way at once, of all users, where the limit of open files allows it.
MOST = 1024
#: Open files that a command may need at its busiest: connection, ledger, its log, a job's file.
FILES = 8


def room() -> int:
    """Commands that the open files allow; asks the kernel for as many files as it grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST * FILES
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST if soft == unlimited else max(min(MOST, soft // FILES), 1)


class ConnectionLimit:
    """``most`` connections of all users; half of them of one user, unless it is root."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._inside: Counter[int] = Counter()

    @contextmanager
    def entered(self, uid: int) -> Iterator[str]:
        """Within: counted; yields "" or why this user has to come again later."""
        with self._lock:
            why = self._obstacle(uid)
            self._inside[uid] += not why
        try:
            yield why
        finally:
            if not why:
                with self._lock:
                    self._inside[uid] -= 1
                    if not self._inside[uid]:
                        del self._inside[uid]

    def _obstacle(self, uid: int) -> str:
        own = max(self._most // 2, 1)
        if uid != 0 and self._inside[uid] >= own:
            return f"{own} commands of yours are under way; try again"
        if sum(self._inside.values()) >= self._most:
            return f"{self._most} commands are under way; try again"
        return ""
