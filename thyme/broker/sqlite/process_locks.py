"""Tells which processes live, by locks that the kernel releases when a process ends.

A process id would not do: ids are used again, and inside containers they mean
something else. Each process locks a file of its own (exclusively) in a shared directory;
another process that can lock it (shared) knows that its process is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class ProcessLock:
    """A lock that this process holds as long as it lives, known to others by ``name``."""

    def __init__(self, directory: Path) -> None:
        """Make and lock this process's file; raises OSError."""
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        self._sweep()
        while True:
            self.name = f"{os.getpid()}-{os.urandom(6).hex()}"
            path = directory / self.name
            self._lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            # somebody sweeping may have the file locked, or removed, before it is ours
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(self._lock).st_nlink:
                    return
            os.close(self._lock)

    def is_alive(self, name: str) -> bool:
        """Return whether the process of that name lives; a dead one's file is removed."""
        if name == self.name:
            return True
        path = self._directory / name
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # cannot tell: believe that it lives
        try:
            # shared: two that look at once must not take each other for the owner
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            with contextlib.suppress(OSError):
                path.unlink()
            return False
        finally:
            os.close(lock)

    def release(self) -> None:
        """Release the lock; may be called again."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                (self._directory / self.name).unlink()
            os.close(self._lock)
            self._lock = -1

    def _sweep(self) -> None:
        self.name = ""
        for path in list(self._directory.iterdir()):
            self.is_alive(path.name)
