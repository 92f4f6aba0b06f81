"""A worker's own directory below --workdir: ``thyme_N``, locked as long as the worker lives.

The lock (``flock`` on the directory) ends with the process, however that
dies. A worker that starts empties the directories of dead workers, so that what the jobs of a
killed worker left does not pile up. Jobs of several workers are different users
(``users.py``, ``uid_lock.py``), so one job can neither list nor enter another's
scratch directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from hostfiles.private_directory import check_shared_directory
from thyme.errors import NodeUnfit

from .ipc_objects import remove_ipc_objects
from .uid_lock import UidLock
from .users import AUTOMATIC_USERS, FIRST_UID, JobUser

log = logging.getLogger(__name__)

PREFIX = "thyme_"
#: Prefix of scratch directories in it; nothing else is ever removed.
SCRATCH = "dir_"


class WorkDirectory:
    """The directory ``path``, and the ``user`` who runs the jobs in it."""

    def __init__(self, workdir: Path, user_of: Callable[[int], JobUser]) -> None:
        """Lock the first free one below ``workdir``, and empty those of dead workers.

        ``user_of`` returns the user for the jobs of the worker with a number. Raises NodeUnfit.
        """
        # absolute: the job runs in it, a relative one would mean another place there
        workdir = workdir.absolute()
        try:
            check_shared_directory(workdir)
            _sweep(workdir)
            number, self.path, self._lock = _take(workdir)
        except OSError as error:
            raise NodeUnfit(f"cannot make a scratch directory in {workdir}: {error}") from error
        self._number: UidLock | None = None
        try:
            self.user = user_of(number)
            if self.user.is_automatic:
                self._number = UidLock(number)
                self.user = user_of(self._number.value)
            self.user.check()
            if self._number is not None:
                _kill_leftover_processes(self._number)
                remove_ipc_objects(self.user)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Empty and release it; may be called again."""
        if self._lock >= 0:
            _empty(self.path)
            with contextlib.suppress(OSError):
                self.path.rmdir()
            os.close(self._lock)
            self._lock = -1
            if self._number is not None:
                self._number.close()


def _take(workdir: Path) -> tuple[int, Path, int]:
    # as many as there are users for their jobs: two workers must not share one
    for number in range(AUTOMATIC_USERS):
        path = workdir / f"{PREFIX}{number}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o711)
        lock = _lock(path)
        if lock is not None:
            _empty(path)
            # whatever the umask: a job of another user has to pass, and must not list
            path.chmod(0o711)
            return number, path, lock
    raise OSError(f"{AUTOMATIC_USERS} workers have theirs there already")


def _lock(path: Path) -> int | None:
    """Lock a work directory; None where it is not free, or not ours."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None  # another user's, or gone
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found, held = path.stat(follow_symlinks=False), os.fstat(handle)
        # its last owner may have removed it meanwhile
        if found.st_ino == held.st_ino and held.st_uid == os.geteuid():
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _sweep(workdir: Path) -> None:
    """Remove the directories of workers that are dead."""
    for path in list(workdir.iterdir()):
        if path.name.startswith(PREFIX) and (lock := _lock(path)) is not None:
            _empty(path)
            with contextlib.suppress(OSError):
                path.rmdir()
            os.close(lock)


def _empty(work_directory: Path) -> None:
    with contextlib.suppress(OSError):
        for each in list(work_directory.glob(f"{SCRATCH}*")):
            status = each.lstat()
            owner = JobUser(status.st_uid, status.st_gid)
            remove_scratch(each, owner if status.st_uid != os.geteuid() else JobUser())


def remove_scratch(path: Path, owner: JobUser) -> None:
    """Remove a job's scratch directory, whatever the job did to its modes and however deep it is.

    Its contents go as the ``owner``, who alone may have access; the rest as ourselves.
    """
    with contextlib.suppress(PermissionError), owner.acting():
        _remove_inside(path)
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            path.rmdir()
        else:
            path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("the scratch directory %s could not be removed: %s", path, error)


def _remove_inside(top: Path) -> None:
    # not shutil: it reads half a dozen modules, which the owner may not be able to
    try:
        for _path, directories, files, handle in os.fwalk(top, topdown=False):
            for name in files:
                os.unlink(name, dir_fd=handle)
            for name in directories:
                try:
                    os.rmdir(name, dir_fd=handle)
                except NotADirectoryError:  # a link to one
                    os.unlink(name, dir_fd=handle)
        return
    except (OSError, RecursionError):
        pass
    # rare: directories without modes, or nested deeper than Python can recurse
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        with contextlib.suppress(OSError):
            subprocess.run(
                [*command, "--", str(top)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def _kill_leftover_processes(number: UidLock) -> None:
    """Kill what jobs of dead workers left running, known by users that no living worker has."""
    here = Path("/proc/self/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, LookupError, ValueError):
            uid = int((entry / "status").read_text(errors="replace").split("\nUid:")[1].split()[0])
            if not FIRST_UID <= uid < FIRST_UID + AUTOMATIC_USERS:
                continue
            with number.held(uid - FIRST_UID) as held, JobUser(uid, uid).acting():
                # in a container below us other workers live, with locks of their own
                if held and (entry / "ns/pid").readlink() == here:
                    os.kill(int(entry.name), signal.SIGKILL)
