"""Open a file of the submit host with the file-system identity of this thread alone.

Taking on a user's file-system identity (``as_user.py``) leaves two gaps, both by
way of ``/proc/self``, which is the schedd's for all of its threads: a link
``/proc/self/fd/N`` leads past the directories that are closed to the user, to
whatever some other thread has open; and the kernel shows a process its own
``maps``. So what was opened has to be found again under its real name, and
files of ``/proc`` are refused.

Nothing here waits (a pipe without a reader is an error), and nothing is truncated
before it is known to be the user's.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

#: Never block: a user may name a pipe, and one thread writes for all users.
_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
#: A file may be renamed or replaced while it is opened.
_MAX_TRIES = 5


def open_file(path: str | os.PathLike[str], flags: int, mode: int = 0o644) -> BinaryIO:
    """Open a file; O_TRUNC only empties regular ones. Raises OSError.

    ``flags`` and ``mode``: as of ``os.open``.
    """
    handle = open_handle(path, flags, mode)
    return os.fdopen(handle, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "wb")


def open_handle(path: str | os.PathLike[str], flags: int, mode: int = 0o644) -> int:
    """Do as ``open_file``, and return the file descriptor.

    ``flags`` and ``mode``: as os.open takes them.
    """
    for _try in range(1 if flags & os.O_EXCL else _MAX_TRIES):
        handle = os.open(path, flags & ~os.O_TRUNC | _FLAGS, mode)
        try:
            if os.geteuid() != 0 or _is_reachable(handle):
                if flags & os.O_TRUNC and stat.S_ISREG(os.fstat(handle).st_mode):
                    os.ftruncate(handle, 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _is_reachable(handle: int) -> bool:
    """Return whether this thread could have opened the file by its real name."""
    opened = os.fstat(handle)
    try:
        real = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 ("pipe:[7]" is no path)
        if opened.st_dev == os.stat("/proc").st_dev:  # noqa: PTH116
            return False
    except FileNotFoundError:
        return True  # no /proc here, and no gap
    try:
        named = os.stat(real)  # noqa: PTH116
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
