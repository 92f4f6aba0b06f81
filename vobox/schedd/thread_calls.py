"""Calls from other threads into the schedd's own thread, which alone owns the connection.

A command waits for its answer here. It must not wait for a broker or a disk that is not there:
a CE asks again later.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vobox.rpc.types import CommandRefused

if TYPE_CHECKING:
    from .session import Session

T = TypeVar("T")

#: Seconds that a command waits for the schedd's own thread to begin with its call.
CALL_TIMEOUT_SECONDS: Final = 30.0


class ThreadCalls:
    """A queue of calls."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Callable[[Session], Any], Future[Any]]]
        self._waiting = queue.SimpleQueue()

    def call(
        self, what: Callable[[Session], T], wake: Callable[[], None], explain: Callable[[], str]
    ) -> T:
        """Return what ``what`` returns, and raise what it raises.

        ``wake``: makes the other thread look. Raises CommandRefused with the text of ``explain``
        if the other thread does not begin in time.
        """
        answer = self.submit(what)
        wake()
        try:
            return answer.result(CALL_TIMEOUT_SECONDS)
        except FutureTimeout:
            if not answer.cancel():
                # it has begun: "try again" would do it twice
                return answer.result()
            raise CommandRefused(explain()) from None

    def submit(self, what: Callable[[Session], T]) -> Future[T]:
        """Queue a call without waiting for it."""
        answer: Future[T] = Future()
        self._waiting.put((what, answer))
        return answer

    def take_waiting(self) -> Iterator[tuple[Callable[[Session], Any], Future[Any]]]:
        """Yield each call that still waits, for the thread that carries them out."""
        with contextlib.suppress(queue.Empty):
            while True:
                what, answer = self._waiting.get_nowait()
                if answer.set_running_or_notify_cancel():
                    yield what, answer

    def refuse_all(self, why: str) -> None:
        """Answer all waiting calls with CommandRefused."""
        for _what, answer in self.take_waiting():
            answer.set_exception(CommandRefused(why))
