"""One daemon per run directory, held by a lock that the kernel frees when it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from hostfiles.private_directory import make_private_directory
from hostfiles.regular_file import open_regular
from plancton.errors import AlreadyRunning, PlanctonError
from plancton.paths import Paths

#: Seconds that a daemon may need between taking the lock and writing its pid into it.
_PID_WAIT = 1.0
_PAUSE = 0.01


class DaemonLock:
    """A lock that is held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._handle: int | None = None

    def take(self) -> None:
        """Take the lock and write the pid file.  Raises AlreadyRunning, PlanctonError."""
        _make(self._paths.rundir)
        path = _lock_file(self._paths)
        try:
            handle = open_regular(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise PlanctonError(f"{path}: cannot be opened: {error.strerror}") from error
        if not _lock(handle):
            os.close(handle)
            pid = running_pid(self._paths)
            raise AlreadyRunning(
                f"a daemon (pid {pid}) runs with {self._paths.rundir} already; "
                "give the second one its own --rundir"
            )
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle
        try:
            with open(self._paths.pidfile, "w", encoding="ascii", opener=open_regular) as file:
                file.write(f"{os.getpid()}\n")
        except OSError as error:
            self.release()
            raise PlanctonError(
                f"{self._paths.pidfile}: cannot be written: {error.strerror}"
            ) from error

    def release(self) -> None:
        """Remove the pid file and free the lock."""
        if self._handle is not None:
            with contextlib.suppress(OSError):  # the lock alone says whether a daemon runs
                self._paths.pidfile.unlink()
            os.close(self._handle)
            self._handle = None


def running_pid(paths: Paths) -> int | None:
    """Return the pid of the daemon that holds the run directory; None if there is none.

    Asks the lock and not the pid file: a pid file stays when its daemon is killed.
    """
    path = _lock_file(paths)
    try:
        handle = open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PlanctonError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        deadline = time.monotonic() + _PID_WAIT
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
                if text.isdigit():
                    return int(text)
                if time.monotonic() > deadline:
                    raise PlanctonError(f"{path}: is held by an unknown process") from None
                time.sleep(_PAUSE)
            else:
                return None
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Take the lock for good; False if a daemon has it."""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Only a command that asked, e.g. `planctonctl status`: it frees the lock at once.
        fcntl.flock(handle, fcntl.LOCK_UN)
        time.sleep(_PAUSE)


def _lock_file(paths: Paths) -> Path:
    return paths.rundir / "lock"


def _make(directory: Path) -> None:
    try:
        make_private_directory(directory)
    except OSError as error:
        raise PlanctonError(f"{directory}: cannot be used: {error.strerror}") from error
