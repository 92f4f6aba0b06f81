"""Wait for a condition with a deadline; tests must not wait in any other way."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    what: str,
    timeout: float = 60.0,
    state: Callable[[], object] = lambda: "",
) -> T:
    """Return the first true value of ``condition``; after ``timeout`` s fail and show ``state``."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s; state: {state()}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
