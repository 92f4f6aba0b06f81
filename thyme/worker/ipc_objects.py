"""What jobs leave in the kernel: System V shared memory, semaphores and message queues.

It outlives their processes: memory that nobody frees until the machine starts again, or the pilot's
container ends, and that the next job of the same user can read.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from .users import JobUser

_IPC_RMID: Final = 0
_libc = ctypes.CDLL(None)
#: Name in /proc/sysvipc → what removes the object with a number.
_REMOVE: Final[dict[str, Callable[[int], int]]] = {
    "shm": lambda number: _libc.shmctl(number, _IPC_RMID, None),
    "sem": lambda number: _libc.semctl(number, 0, _IPC_RMID),
    "msg": lambda number: _libc.msgctl(number, _IPC_RMID, None),
}


def remove_ipc_objects(user: JobUser) -> None:
    """Remove all that belongs to a user who has no processes but a job's, which have ended."""
    if not user.is_automatic or user.uid is None:
        return
    with user.acting(), contextlib.suppress(OSError):
        for kind, remove in _REMOVE.items():
            for number in _list_numbers(kind, user.uid):
                remove(number)


def _list_numbers(kind: str, uid: int) -> Iterator[int]:
    """Yield the numbers of the objects that a user has made, or was given."""
    head, *lines = Path("/proc/sysvipc", kind).read_text().splitlines()
    names = head.split()
    for line in lines:
        values = dict(zip(names, map(int, line.split()), strict=True))
        if uid in (values["uid"], values["cuid"]):
            yield values[f"{'msq' if kind == 'msg' else kind}id"]
