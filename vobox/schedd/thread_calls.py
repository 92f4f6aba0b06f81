"""What other threads want done in the schedd's own thread, which alone writes and talks.

A command waits for its answer here. It must not wait for a broker or a disk that is not there:
a CE asks again later.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from thyme.broker import Transport
from vobox.rpc.types import SubmitRefused

T = TypeVar("T")

#: Seconds that a command waits for the schedd's own thread before it says so.
TIMEOUT = 30.0


class ThreadCalls:
    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Callable[[Transport], Any], Future[Any]]]
        self._waiting = queue.SimpleQueue()

    def ask(
        self, what: Callable[[Transport], T], wake: Callable[[], None], why: Callable[[], str]
    ) -> T:
        """What ``what`` gives; raises what it raises, or SubmitRefused with ``why`` it has to
        wait. ``wake``: what makes the other thread look."""
        answer = self.put(what)
        wake()
        try:
            return answer.result(TIMEOUT)
        except FutureTimeout:
            if not answer.cancel():
                # it has begun: "try again" would do it twice
                return answer.result()
            raise SubmitRefused(why()) from None

    def put(self, what: Callable[[Transport], T]) -> Future[T]:
        answer: Future[T] = Future()
        self._waiting.put((what, answer))
        return answer

    def begun(self) -> Iterator[tuple[Callable[[Transport], Any], Future[Any]]]:
        """For the thread: each that still wants its answer, until there is none left."""
        with contextlib.suppress(queue.Empty):
            while True:
                what, answer = self._waiting.get_nowait()
                if answer.set_running_or_notify_cancel():
                    yield what, answer

    def refuse(self, why: str) -> None:
        """For the thread: all that wait get SubmitRefused."""
        for _what, answer in self.begun():
            answer.set_exception(SubmitRefused(why))
