"""Directories that no other user can replace or write into.

What a daemon reads back from its own files, it acts on with its own rights: as root it would
run another user's program. sshd's ``StrictModes`` asks the same of ``~/.ssh``. For Python 3.6 and
later: thyme-vobox runs on an old CE's own Python.
"""

import errno
import os
import stat


def make_private_directory(path: "os.PathLike[str] | str") -> None:
    """Make ``path`` if it is missing (mode 0700), and check it.

    Raises OSError; its ``strerror`` says which directory another user could change.
    """
    os.makedirs(str(path), mode=0o700, exist_ok=True)
    check_private_directory(path)


def check_private_directory(path: "os.PathLike[str] | str") -> None:
    """Raise PermissionError where a user who is neither root nor we could change ``path``.

    FileNotFoundError when it is not there.
    """
    _check(str(path), False)


def check_shared_directory(path: "os.PathLike[str] | str", trusted: int = 0) -> None:
    """Raise PermissionError where another user could replace what we make in ``path``.

    As ``check_private_directory``, but others may write into it where it is sticky, as ``/tmp`` is.
    ``trusted``: uid of a user, besides root and us, to whom it may belong.
    """
    _check(str(path), True, trusted)


def _check(path: str, sticky_is_enough: bool, trusted: int = 0) -> None:
    os.stat(path)
    for each in (os.path.abspath(path), os.path.realpath(path)):
        reason = _find_exposure(each, sticky_is_enough, trusted)
        if reason:
            raise PermissionError(errno.EPERM, reason + ", so another user could change it")


def _find_exposure(path: str, sticky_is_enough: bool, trusted: int) -> str:
    """Say which part of an absolute ``path`` others may change; "" when there is none."""
    parts = [path]
    while parts[0] != os.path.dirname(parts[0]):
        parts.insert(0, os.path.dirname(parts[0]))
    for part in parts:
        found = os.lstat(part)
        if found.st_uid not in (0, os.geteuid(), trusted):
            return "%s belongs to uid %d" % (part, found.st_uid)
        if stat.S_ISLNK(found.st_mode):
            continue  # where it leads to is looked at as well
        if part == path and not sticky_is_enough:
            shared = found.st_mode & (stat.S_IWOTH | stat.S_IWGRP)
        else:
            # In a sticky directory (/tmp) others cannot rename or remove what is ours. Groups
            # that may write in a parent are the system's (/var/log on Ubuntu: syslog).
            shared = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if shared:
            return "%s is writable by others (mode %04o)" % (part, stat.S_IMODE(found.st_mode))
    found = os.lstat(path)
    if not sticky_is_enough and found.st_uid != os.geteuid() and not stat.S_ISLNK(found.st_mode):
        return "%s belongs to uid %d" % (path, found.st_uid)
    return ""
