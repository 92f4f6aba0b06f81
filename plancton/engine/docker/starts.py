"""Start containers in threads, several at a time.

What was asked for and is not done yet is a pilot that starts: the loop counts it,
whether or not the engine lists its container already.

A start without an answer counts until the engine answers again and still does not list the
container some seconds later. The list of starts is taken before the engine's list, so that a
pilot that comes up in between is seen twice rather than not at all.

The threads are daemon threads and not those of ``concurrent.futures``, which Python joins when
it exits: an engine that hangs would hold the end of the daemon for minutes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from plancton.engine.pilot_spec import PilotSpec
from plancton.errors import EngineRefused, EngineUnavailable, NotThere
from plancton.model import Pilot, PilotState

from .threads import start_thread

#: Seconds for which a start is believed in after the engine did not answer: it may have
#: taken the request, and its container may still come up.
DOUBT_TIME = 10.0
#: Seconds that ``close`` waits for the starts under way.
_CLOSE_WAIT = 20.0


class NotStarted(Exception):
    """The engine refused to start a pilot; nothing of it is left behind."""

    def __init__(self, exit_code: int | None, detail: str) -> None:
        super().__init__(detail)
        self.exit_code, self.detail = exit_code, detail


@dataclass
class PendingStart:
    """A start that is not done yet."""

    spec: PilotSpec
    #: grace (s) with which it was asked to end before it ran
    asked: float | None = None
    #: since when the engine's answer is missing
    doubted: float | None = None


@dataclass(frozen=True)
class FailedStart:
    """A pilot that was not started; listed as ended until it is removed."""

    name: str
    exit_code: int | None
    detail: str
    asked: bool


class Starts:
    """The starts that are not done yet, and those that failed.

    ``launch`` creates and starts one container and returns when that runs.

    It raises NotStarted, EngineRefused or EngineUnavailable, and NotThere where there is neither a
    pilot nor a failure.  ``done(name, asked)`` is called after each that succeeded, ``wake`` when
    the loop should make a pass.
    """

    def __init__(
        self,
        launch: Callable[[PilotSpec], None],
        done: Callable[[str, float | None], None],
        parallel: int,
    ) -> None:
        self._launch, self._done, self._parallel = launch, done, parallel
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Condition()
        self._queue: deque[str] = deque()
        self._starts: dict[str, PendingStart] = {}
        self._failed: dict[str, FailedStart] = {}
        self._workers = 0
        self._closing = False

    def add(self, spec: PilotSpec) -> None:
        """Start a pilot soon.  Raises EngineUnavailable where there is no thread to do it."""
        with self._lock:
            if self._workers < self._parallel:
                try:
                    start_thread(self._work, "start")  # it waits for the lock
                    self._workers += 1
                except EngineUnavailable:
                    if not self._workers:
                        raise
            self._starts[spec.name] = PendingStart(spec)
            self._queue.append(spec.name)

    def snapshot(self) -> tuple[dict[str, bool], list[FailedStart]]:
        """Return the pending pilots, with whether they were asked to end, and the failed ones.

        Take it before the engine's list: a start that ends in between is then seen twice
        and not missed.
        """
        with self._lock:
            return (
                {name: start.asked is not None for name, start in self._starts.items()},
                list(self._failed.values()),
            )

    def note_listed(self, names: set[str], now: float) -> None:
        """Take the engine's list into account: doubts about ``names`` are over."""
        with self._lock:
            for name, start in list(self._starts.items()):
                if start.doubted is None:
                    continue
                if name in names or now - start.doubted > DOUBT_TIME:
                    del self._starts[name]

    def request_stop(self, name: str, grace: float) -> bool:
        """End a pending pilot as soon as possible; tell whether it was pending."""
        with self._lock:
            start = self._starts.get(name)
            if start is None or start.doubted is not None:
                return False
            start.asked = grace if start.asked is None else min(start.asked, grace)
            if name in self._queue:
                self._queue.remove(name)
                self._fail(start, NotStarted(None, "it was asked to end before it ran"))
            return True

    def drop_failed(self, name: str) -> bool:
        """Forget a failed start; tell whether there was one of this name."""
        with self._lock:
            return self._failed.pop(name, None) is not None

    def busy(self) -> bool:
        """Tell whether a start is under way."""
        with self._lock:
            return self._is_busy()

    def wait_while_busy(self, seconds: float) -> None:
        """Wait until no start is under way, at most ``seconds``."""
        with self._lock:
            self._lock.wait_for(lambda: not self._is_busy(), seconds)

    def close(self) -> None:
        """Drop what has not begun, and let the rest finish."""
        with self._lock:
            self._closing = True
            for name in self._queue:
                del self._starts[name]
            self._queue.clear()
            self._lock.wait_for(lambda: self._workers == 0, _CLOSE_WAIT)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._workers -= 1
                    self._lock.notify_all()
                    return
                start = self._starts[self._queue.popleft()]
            self._run(start)
            if self._worth_a_look():
                self.wake()

    def _worth_a_look(self) -> bool:
        """Tell whether the loop should make a pass: after each start would be too often."""
        with self._lock:
            return bool(self._failed) or not self._is_busy()

    def _is_busy(self) -> bool:
        return any(start.doubted is None for start in self._starts.values())

    def _run(self, start: PendingStart) -> None:
        name = start.spec.name
        try:
            self._launch(start.spec)
        except NotStarted as error:
            with self._lock:
                self._fail(start, error)
        except NotThere:
            # No fault of the pilot nor of the node: there was no image, or somebody removed the
            # container before it ran. Another pilot takes its place as soon as one can be made.
            with self._lock:
                self._drop(name)
        except EngineRefused as error:
            with self._lock:
                self._fail(start, NotStarted(None, f"not started: {error}"))
        except EngineUnavailable:
            with self._lock:
                start.doubted = time.monotonic()
                self._lock.notify_all()
        else:
            with self._lock:
                self._drop(name)
            self._done(name, start.asked)

    def _fail(self, start: PendingStart, error: NotStarted) -> None:
        name = start.spec.name
        self._failed[name] = FailedStart(
            name, error.exit_code, error.detail, start.asked is not None
        )
        self._drop(name)

    def _drop(self, name: str) -> None:
        self._starts.pop(name, None)
        self._lock.notify_all()


def make_starting_pilot(name: str, asked: bool) -> Pilot:
    """Return a pilot whose start is not done yet."""
    state = PilotState.STOPPING if asked else PilotState.STARTING
    return Pilot(id=name, name=name, state=state, age=0.0, asked_to_stop=asked)


def make_failed_pilot(one: FailedStart) -> Pilot:
    """Return a pilot that was not started, as an ended one."""
    return Pilot(
        id=one.name,
        name=one.name,
        state=PilotState.EXITED,
        age=0.0,
        exit_code=one.exit_code,
        asked_to_stop=one.asked,
        never_ran=True,
        detail=one.detail,
    )
