"""Wake the sleeping loop, from engine threads and from signal handlers alike."""

from __future__ import annotations

import os
import select
from typing import Protocol


class Wakeup(Protocol):
    """What the loop sleeps on; the tests have one whose ``wait`` moves a fake clock."""

    def wake(self) -> None:
        """End the present or the next ``wait``."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep until woken (True; several wake-ups are one) or the time is over (False)."""
        ...


class PipeWakeup:
    """A wake-up by a pipe, because a lock must not be taken in a signal handler."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)

    def wake(self) -> None:
        """End the present or the next ``wait``; safe in a signal handler."""
        try:
            os.write(self._in, b"!")
        except BlockingIOError:
            pass  # the pipe is full: it wakes already

    def wait(self, seconds: float) -> bool:
        """Sleep until woken (True) or for so many seconds (False)."""
        woken, _, _ = select.select([self._out], [], [], max(0.0, seconds))
        if woken:
            os.read(self._out, 65536)
        return bool(woken)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._in)
        os.close(self._out)
