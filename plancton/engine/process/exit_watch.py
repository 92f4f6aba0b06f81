"""Learn at once when a process ends, also when it is no child of ours (pidfd, Linux 5.3)."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable

from . import procfs

#: Seconds between two checks where the kernel has no pidfd.
POLL = 0.2


class ExitWatch:
    """Calls ``wake`` from its own thread soon after a watched process ends."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._watched: set[int] = set()
        self._polled: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._news, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        self._selector.register(self._news, selectors.EVENT_READ, None)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="exit-watch", daemon=True)
        self._thread.start()

    def add(self, pid: int, start: int) -> None:
        """Watch the process ``pid`` that began at ``start`` (ticks); twice is once."""
        with self._lock:
            if self._closing or pid in self._watched:
                return
            self._watched.add(pid)
            try:
                handle = os.pidfd_open(pid)
            except (AttributeError, OSError):
                self._polled[pid] = start
            else:
                self._selector.register(handle, selectors.EVENT_READ, pid)
        self._wake_thread()
        if not procfs.is_alive(pid, start):
            # It ended before it was watched; its pid may be another process's by now.
            self._wake()

    def close(self) -> None:
        """Stop watching."""
        with self._lock:
            self._closing = True
        self._wake_thread()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        os.close(self._wakeup)

    def _wake_thread(self) -> None:
        try:
            os.write(self._wakeup, b"!")
        except BlockingIOError:
            pass  # the pipe is full: it wakes already

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closing:
                    return
                timeout = POLL if self._polled else None
            for key, _ in self._selector.select(timeout):
                if key.data is None:
                    os.read(key.fd, 4096)
                else:
                    self._ended(key.fd, key.data)
            with self._lock:
                gone = [p for p, start in self._polled.items() if not procfs.is_alive(p, start)]
                for pid in gone:
                    del self._polled[pid]
                    self._watched.discard(pid)
            if gone:
                self._wake()

    def _ended(self, handle: int, pid: int) -> None:
        with self._lock:
            self._selector.unregister(handle)
            self._watched.discard(pid)
        os.close(handle)
        self._wake()
