"""Directories that no other user can replace or write into.

What the daemon reads back from its own files, it acts on with its own rights: as root it would
run another user's program. sshd's ``StrictModes`` asks the same of ``~/.ssh``.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Make ``path`` if it is missing (mode 0700), and check it.

    Raises OSError; its ``strerror`` says which directory another user could change.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private_directory(path)


def check_private_directory(path: Path) -> None:
    """Raise PermissionError where a user who is neither root nor we could change ``path``.

    FileNotFoundError when it is not there.
    """
    if reason := _find_exposure(path.absolute()) or _find_exposure(path.resolve(strict=True)):
        raise PermissionError(errno.EPERM, f"{reason}, so another user could change it")


def _find_exposure(path: Path) -> str:
    """Say which part of an absolute ``path`` others may change; "" when there is none."""
    uid = os.geteuid()
    for part in (*reversed(path.parents), path):
        found = part.lstat()
        if found.st_uid not in (0, uid):
            return f"{part} belongs to uid {found.st_uid}"
        if stat.S_ISLNK(found.st_mode):
            continue  # where it leads to is looked at as well
        if part == path:
            shared = found.st_mode & (stat.S_IWOTH | stat.S_IWGRP)
        else:
            # In a sticky directory (/tmp) others cannot rename or remove what is ours. Groups
            # that may write in a parent are the system's (/var/log on Ubuntu: syslog).
            shared = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if shared:
            return f"{part} is writable by others (mode {stat.S_IMODE(found.st_mode):04o})"
    if path.lstat().st_uid != uid and not path.is_symlink():
        return f"{path} belongs to uid {path.lstat().st_uid}"
    return ""
