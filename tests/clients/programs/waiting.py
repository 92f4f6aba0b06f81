"""Wait for a condition with a deadline, in the clients' environments, which lack the project."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
#: Seconds for one change of a job, and between two questions.
PATIENCE, PAUSE = 100.0, 0.1


def wait_until(ask: Callable[[], T], is_right: Callable[[T], object]) -> T:
    """Return the first right answer; at the deadline the last one, which the test then reads."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if is_right(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(PAUSE)


async def wait_until_async(ask: Callable[[], Awaitable[T]], is_right: Callable[[T], object]) -> T:
    """Do as ``wait_until``, with a coroutine function."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = await ask()
        if is_right(answer) or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(PAUSE)
