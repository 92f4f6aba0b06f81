"""Ending a wait from elsewhere: the pipe that a poll looks at as well."""

from __future__ import annotations

import contextlib
import os
import select
import threading


class Wakeup:
    def __init__(self) -> None:
        self.fileno, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()

    def wake(self) -> None:
        """For other threads and signal handlers; of no effect once closed."""
        # a signal handler must not wait for the lock: whoever has it wakes us, or closes
        if not self._lock.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(OSError):  # full: it will wake; -1: closed
                os.write(self._write_end, b"x")
        finally:
            self._lock.release()

    def comes_within(self, timeout: float) -> bool:
        """Whether somebody wakes us, at most after ``timeout`` seconds."""
        return bool(select.select([self.fileno], [], [], timeout)[0])

    def clear(self) -> None:
        """It was seen."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fileno, 4096)

    def close(self) -> None:
        with self._lock:  # never under the hands of a thread that wakes us
            for end in (self.fileno, self._write_end):
                if end >= 0:
                    os.close(end)
            self.fileno = self._write_end = -1
