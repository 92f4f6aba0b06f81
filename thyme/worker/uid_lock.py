"""A lock on one of the user ids 60600 to 60999, for the jobs of one worker of this machine.

The number of the work directory would not do, as two pilots mostly have a directory each. So the
id is locked in a directory of the machine, where only root may write; the lock
(``flock``) ends with the worker, however that dies. In a container the machine
is the container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hostfiles.regular_file import open_regular
from thyme.errors import NodeUnfit

from .users import AUTOMATIC_USERS, FIRST_UID

#: Locks of all workers that are root.
LOCK_DIRECTORY: Final = Path("/run/thyme-worker")


class UidLock:
    """A locked number: ``value``, from 0, is ours until ``close``."""

    def __init__(self, wanted: int, place: Path = LOCK_DIRECTORY) -> None:
        """Lock ``wanted`` or the next free number; raises NodeUnfit where all are taken.

        Where the directory ``place`` cannot be used, ``wanted`` is taken without a lock.
        """
        self.value, self._lock, self._place = wanted, -1, place
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            status = place.lstat()
            # another user's locks would keep every worker from working
            if (status.st_uid, status.st_mode & 0o022) != (os.geteuid(), 0):
                return
            self._take(place, wanted)
        except OSError:
            return
        if self._lock < 0:
            raise NodeUnfit(
                f"{AUTOMATIC_USERS} workers of this machine have users for their jobs already "
                f"(locks in {place}); use --user"
            )

    @contextlib.contextmanager
    def held(self, number: int) -> Iterator[bool]:
        """Lock another number within this block; False where a living worker has it."""
        if self._lock < 0 or number == self.value:
            yield self._lock >= 0
            return
        lock = _lock(self._place, number)
        try:
            yield lock >= 0
        finally:
            if lock >= 0:
                os.close(lock)

    def _take(self, place: Path, wanted: int) -> None:
        for number in (*range(wanted, AUTOMATIC_USERS), *range(wanted)):
            lock = _lock(place, number)
            if lock >= 0:
                self.value, self._lock = number, lock
                return

    def close(self) -> None:
        """Release the number; may be called again."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = -1


def _lock(place: Path, number: int) -> int:
    """Lock a number: an open file, or -1 where a living worker has it. Raises OSError."""
    path = place / f"user-{FIRST_UID + number}"
    handle = open_regular(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return -1
    return handle
