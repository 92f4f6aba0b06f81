"""Limit how long the slow expressions of one user may be evaluated.

The library holds Python's interpreter lock while it evaluates, and nothing can interrupt it: for
the fifth of a second that one regular expression can take, nobody else is served.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

#: CPU seconds of an evaluation that is counted; an ordinary one takes a thousandth of that.
SLOW_SECONDS: Final = 0.01
#: CPU seconds that one user's slow evaluations may take in any ``PERIOD_SECONDS``.
MAX_SECONDS: Final = 1.0
PERIOD_SECONDS: Final = 60.0

#: Is told how many CPU seconds an evaluation took; raises TooSlow.
Charge = Callable[[float], None]


class TooSlow(Exception):
    """A user's expressions took too long."""

    def __init__(self) -> None:
        super().__init__(
            f"the expressions took more than {MAX_SECONDS:g} s of CPU within {PERIOD_SECONDS:g} s; "
            "simplify them (regular expressions with nested repetitions are slow), name clusters "
            "or owners, or try again in a minute"
        )


def charge_nobody(_seconds: float) -> None:
    """Count nothing."""


class Stopwatch:
    """Tells ``charge`` the CPU seconds of each slow ``with`` block, also of one that raises.

    To read a thread's CPU clock is a system call, of which an ordinary evaluation needs none. It is
    read only after a block that took long by the wall clock, and before one if it was not read just
    before.
    """

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        #: when the CPU clock was read, and what it said
        self._read_at = self._cpu = float("-inf")
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()
        if self._began - self._read_at > SLOW_SECONDS / 2:
            self._read_at, self._cpu = self._began, time.thread_time()

    def __exit__(self, *_error: object) -> None:
        if time.perf_counter() - self._began >= SLOW_SECONDS:
            self._charge(time.thread_time() - self._cpu)


class EvaluationLimit:
    """What each user's slow evaluations took lately. For any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: uid → (when, seconds) of each evaluation of the last period
        self._spent: dict[int, deque[tuple[float, float]]] = {}

    def meter(self, uid: int) -> Charge:
        """Return what counts the evaluations of this user."""
        return lambda seconds: self._charge(uid, seconds)

    def is_spent(self, uid: int) -> bool:
        """Return whether the user's evaluations took all that they may for now."""
        with self._lock:
            oldest = self._clock() - PERIOD_SECONDS
            spent = self._spent.get(uid, deque())
            while spent and spent[0][0] < oldest:
                spent.popleft()
            return sum(each for _when, each in spent) >= MAX_SECONDS

    def spend(self, uid: int, seconds: float) -> None:
        """Count an evaluation of the user's, if it was slow."""
        if seconds >= SLOW_SECONDS:
            with self._lock:
                self._spent.setdefault(uid, deque()).append((self._clock(), seconds))

    def _charge(self, uid: int, seconds: float) -> None:
        if seconds < SLOW_SECONDS:
            return
        # refused ones are not counted: else who tries again and again is refused for ever
        if self.is_spent(uid):
            raise TooSlow
        self.spend(uid, seconds)
