"""A job's own /tmp, /var/tmp and /dev/shm, where the worker is root.

What a job leaves there would be found by the next job of the same user id: a setuid program
of it gives that job's files to anybody. As with HTCondor's MOUNT_UNDER_SCRATCH, each
job sees empty directories, which are removed with its scratch directory. They need a mount
namespace: without the capability SYS_ADMIN, as in a container, a job has the pilot's own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x20000
_NOSUID, _NODEV, _REMOUNT, _BIND, _RECURSIVE, _SLAVE = 0x2, 0x4, 0x20, 0x1000, 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)

#: Directories in which all users may write, on disk; and the one of shared memory.
ON_DISK: Final = ("/tmp", "/var/tmp")  # noqa: S108 (what they are is the point)
IN_MEMORY: Final = "/dev/shm"  # noqa: S108


def find_place(scratch: Path) -> Path:
    """Return the directory, beside the scratch directory, that holds a job's own."""
    return scratch.with_name(f"{scratch.name}.tmp")


def isolate(scratch: Path, used: Iterable[str]) -> bool:
    """Give this new process and its children temporary directories of their own.

    It is root, and acts as the job's user. Returns whether that was possible.

    :param scratch: the job's scratch directory, which stays visible where it is
    :param used: absolute paths that the job was told to use: a directory that holds one of them
        stays as it is, but for what is in the scratch directory
    """
    user = os.geteuid()
    os.seteuid(0)
    if _libc.unshare(_CLONE_NEWNS) != 0 or not _mount(b"none", "/", b"", _RECURSIVE | _SLAVE):
        return False  # no capability
    os.seteuid(user)  # who alone may be able to look into it
    kept = os.open(scratch, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.seteuid(0)
    try:
        covered = _make_directories(find_place(scratch), scratch, used)
    except OSError:
        covered = []  # the disk is full; the job will notice
    for directory, own_handle in covered:
        if _mount(f"/proc/self/fd/{own_handle}".encode(), directory, b"", _BIND):
            _mount(b"none", directory, b"", _REMOUNT | _BIND | _NOSUID | _NODEV)
        os.close(own_handle)
    if Path(IN_MEMORY).is_dir():
        _mount(b"tmpfs", IN_MEMORY, b"tmpfs", _NOSUID | _NODEV, b"mode=1777")
    if not scratch.parent.exists():  # it is in one of them
        for parent in (*reversed(scratch.parents), scratch):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o711)
        _mount(f"/proc/self/fd/{kept}".encode(), str(scratch), b"", _BIND)
    os.close(kept)
    return True


def _make_directories(place: Path, scratch: Path, used: Iterable[str]) -> list[tuple[str, int]]:
    """Make a directory for each that is to be covered; returns those, with handles of ours."""
    place.mkdir(mode=0o700)
    own_scratch = os.path.realpath(scratch)
    resolved = map(os.path.realpath, used)
    paths = [path for path in resolved if not f"{path}/".startswith(f"{own_scratch}/")]
    made = []
    for directory in ON_DISK:
        if Path(directory).is_symlink() or not Path(directory).is_dir():
            continue
        if any(f"{path}/".startswith(f"{directory}/") for path in paths):
            continue
        own = place / directory.strip("/").replace("/", "_")
        own.mkdir()
        own.chmod(0o1777)
        # by its handle: the first mount may hide the others' places
        made.append((directory, os.open(own, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)))
    return made


def _mount(source: bytes, target: str, kind: bytes, flags: int, options: bytes = b"") -> bool:
    target_bytes = os.fsencode(target)
    done: int = _libc.mount(source, target_bytes, kind or None, flags, options or None)
    return done == 0
