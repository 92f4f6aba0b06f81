"""A pipe that ends a poll from other threads and signal handlers."""

from __future__ import annotations

import contextlib
import os
import threading


class Wakeup:
    """A pipe whose reading end, ``fileno``, is polled together with other files."""

    def __init__(self) -> None:
        self.fileno, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()

    def wake(self) -> None:
        """End the poll; for other threads and signal handlers. No effect once closed."""
        # a signal handler must not wait for the lock: its holder wakes us as well, or closes
        if not self._lock.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(OSError):  # full: it will wake; -1: closed
                os.write(self._write_end, b"x")
        finally:
            self._lock.release()

    def clear(self) -> None:
        """Empty the pipe."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fileno, 4096)

    def close(self) -> None:
        """Close both ends of the pipe; a ``wake`` after this does nothing."""
        with self._lock:  # not while a thread writes
            for end in (self.fileno, self._write_end):
                if end >= 0:
                    os.close(end)
            self.fileno = self._write_end = -1
