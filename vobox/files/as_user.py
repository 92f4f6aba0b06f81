"""Read and write files of the submit host with their owner's rights.

As root the schedd takes on the owner's file-system identity for the calling
thread (``setfsuid``, as a file server does) and so can reach nothing that the
owner could not. The calls go to the kernel directly: the C library would
change all threads at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fnmatch
import functools
import glob
import itertools
import os
import pwd
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from thyme.errors import NodeUnfit

from .safe_open import open_file

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
#: Bytes of a user's file that is read whole; a job can carry less than that.
MAX_FILE_BYTES = 64 * 1024 * 1024
#: Bytes that are read of a small file.
MIN_READ = 64 * 1024
#: Files of a directory of input, with all below it, or that match a pattern.
MAX_FILES = 20_000
#: Names that are looked at to find them: of each, the system is asked what it is.
MAX_NAMES = 500_000
#: Seconds that a user's groups are remembered.
GROUPS_KEPT_SECONDS = 60
_MACHINE = os.uname().machine
#: numbers of the system calls setgroups, setfsuid, setfsgid by machine (asm/unistd.h)
_CALL_NUMBERS = {"x86_64": (116, 122, 123), "aarch64": (159, 151, 152)}


def user_name(uid: int) -> str:
    """Return the user's name, or the number where this host does not know the user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@contextlib.contextmanager
def as_owner(uid: int, gid: int) -> Iterator[None]:
    """Give this thread the owner's file-system identity for the body of a ``with`` statement.

    Raises PermissionError if it cannot be taken on: without root only one's own can.
    """
    if os.geteuid() != 0:
        if uid != os.geteuid():
            raise PermissionError(
                1,
                f"the schedd runs as {user_name(os.geteuid())} and cannot act for "
                f"{user_name(uid)}; run it as root or as that user",
            )
        yield
        return
    if uid == 0:
        yield
        return
    groups = _list_groups(uid, gid, int(time.monotonic() // GROUPS_KEPT_SECONDS))
    try:
        _take_identity(uid, gid, groups)
        yield
    finally:
        _take_identity(0, 0, ())


@functools.lru_cache(maxsize=1024)
def _list_groups(uid: int, gid: int, _when: int) -> tuple[int, ...]:
    """Return the user's groups; a directory server may take its time to answer."""
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        return (gid,)


def _take_identity(uid: int, gid: int, groups: tuple[int, ...]) -> None:
    try:
        setgroups, setfsuid, setfsgid = _CALL_NUMBERS[_MACHINE]
    except KeyError:
        raise NodeUnfit(f"acting for other users is not known on {_MACHINE}") from None
    array = (ctypes.c_uint32 * len(groups))(*groups)
    if _libc.syscall(setgroups, ctypes.c_size_t(len(groups)), array) != 0:
        raise OSError(ctypes.get_errno(), "setgroups")
    _libc.syscall(setfsgid, ctypes.c_uint32(gid))
    _libc.syscall(setfsuid, ctypes.c_uint32(uid))
    # neither call tells whether it worked; asking with an invalid id does
    if _libc.syscall(setfsuid, ctypes.c_uint32(0xFFFFFFFF)) != uid:
        raise PermissionError(1, f"cannot take on the identity of uid {uid}")


class OwnerFileReader:
    """``vobox.rpc.types.OwnerFiles`` on the real file system."""

    def __init__(self, uid: int, gid: int) -> None:
        self._uid, self._gid = uid, gid

    def read(self, path: str) -> bytes:
        """Return the whole content of a regular file; raises OSError."""
        with as_owner(self._uid, self._gid), open_file(path, os.O_RDONLY) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "Not a regular file", path)
            if status.st_size > MAX_FILE_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            # some file systems give 0 as the size of what they make up
            size = max(status.st_size, MIN_READ)
            self.reserve(size)
            # not what is appended meanwhile
            return file.read(size)

    def reserve(self, size: int) -> None:
        """Wait until so many bytes may be read; called before each file is read."""

    def mode(self, path: str) -> int:
        """Return st_mode; raises OSError."""
        with as_owner(self._uid, self._gid):
            return Path(path).stat().st_mode

    def size(self, path: str) -> int:
        """Return st_size; raises OSError."""
        with as_owner(self._uid, self._gid):
            return Path(path).stat().st_size

    def walk(self, path: str) -> Iterator[str]:
        """Return the relative paths of the regular files below a directory; raises OSError.

        A directory without anything in it is among them, with a ``/`` at its end.
        """
        with as_owner(self._uid, self._gid):
            found = list(itertools.islice(_walk(path, _Names()), MAX_FILES + 1))
        if len(found) > MAX_FILES:
            raise OSError(errno.E2BIG, f"more than {MAX_FILES} files", path)
        return iter(sorted(found))

    def glob(self, directory: str, pattern: str) -> list[str]:
        """Return the paths that match, relative to ``directory``, sorted; raises OSError."""
        with as_owner(self._uid, self._gid):
            found = list(itertools.islice(_glob(directory, pattern, _Names()), MAX_FILES + 1))
        if len(found) > MAX_FILES:
            raise OSError(errno.E2BIG, f"more than {MAX_FILES} files", pattern)
        return sorted(found)

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file; raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with as_owner(self._uid, self._gid), open_file(path, flags) as file:
            file.write(data)


class _Names:
    """The names of directories, so many at most: links to ``/`` make any number of them."""

    def __init__(self) -> None:
        self._left = MAX_NAMES

    def list(self, directory: str) -> Iterator[os.DirEntry[str]]:
        """Yield what is in a directory; raises OSError."""
        with os.scandir(directory) as entries:
            for entry in entries:
                self._left -= 1
                if self._left < 0:
                    raise OSError(errno.E2BIG, f"more than {MAX_NAMES} names to look at", directory)
                yield entry


def _walk(top: str, names: _Names) -> Iterator[str]:
    pending = [""]
    while pending:
        where = pending.pop()
        is_empty = True
        for entry in names.list(os.path.join(top, where)):  # noqa: PTH118
            is_empty = False
            below = os.path.join(where, entry.name)  # noqa: PTH118
            if entry.is_dir(follow_symlinks=False):
                pending.append(below)
            elif entry.is_file():
                yield below
        if is_empty:
            yield f"{where or '.'}/"


def _glob(root: str, pattern: str, names: _Names) -> Iterator[str]:
    """Yield what ``glob.iglob`` yields, which looks at any number of names."""
    if not glob.has_magic(pattern):
        if pattern and os.path.lexists(os.path.join(root, pattern)):  # noqa: PTH118
            yield pattern
        return
    above, base = os.path.split(pattern)
    parents = _glob(root, above, names) if glob.has_magic(above) else [above]
    for parent in parents:
        where = os.path.join(root, parent)  # noqa: PTH118
        if not glob.has_magic(base):
            if os.path.lexists(os.path.join(where, base)):  # noqa: PTH118
                yield os.path.join(parent, base)  # noqa: PTH118
            continue
        try:
            there = [entry.name for entry in names.list(where)]
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise
            continue  # no directory, or closed to the user
        if not base.startswith("."):
            there = [name for name in there if not name.startswith(".")]
        for name in fnmatch.filter(there, base):
            yield os.path.join(parent, name)  # noqa: PTH118
