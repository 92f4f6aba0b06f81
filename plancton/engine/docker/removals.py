"""Remove ended containers in a thread: new pilots go first, the owner's disk soon after.

A daemon thread, for the reason given in ``starts``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from plancton.errors import Conflict, EngineError, EngineUnavailable, NotThere

from .threads import start_thread

#: Seconds for which a removal lets starts go first.
YIELD_TIME = 2.0
#: Seconds before a removal that failed is tried again.
RETRY = 10.0
_CLOSE_WAIT = 10.0


class Removals:
    """The containers that are being removed.

    ``remove`` removes a container by its id; ``yield_to_starts`` waits while pilots start.
    """

    def __init__(
        self, remove: Callable[[str], None], yield_to_starts: Callable[[float], None]
    ) -> None:
        self._remove, self._yield = remove, yield_to_starts
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Condition()
        self._todo: list[str] = []
        #: in the works, or just done: not to be listed
        self._hidden: set[str] = set()
        self._done: dict[str, float] = {}
        self._problems: dict[str, tuple[str, float]] = {}
        self._working = False
        self._closing = False

    def add(self, container: str) -> None:
        """Remove a container soon.

        Raises EngineError with the reason of a failure before, until it is time to try again.
        """
        with self._lock:
            problem, at = self._problems.get(container, ("", 0.0))
            if problem and time.monotonic() - at < RETRY:
                raise EngineError(problem)
            if container in self._hidden:
                return
            if not self._working:
                start_thread(self._run, "removals")  # it waits for the lock
                self._working = True
            self._hidden.add(container)
            self._todo.append(container)

    def is_hidden(self, container: str) -> bool:
        """Tell whether the container is removed, or is about to be: it is not listed any more."""
        with self._lock:
            return container in self._hidden

    def note_listed(self, containers: set[str]) -> None:
        """Take the engine's list into account: forget what is gone."""
        now = time.monotonic()
        with self._lock:
            self._hidden = {one for one in self._hidden if one in containers or one in self._todo}
            self._done = {k: at for k, at in self._done.items() if k in containers}
            self._problems = {k: v for k, v in self._problems.items() if k in containers}
            for one in [one for one, at in self._done.items() if now - at > RETRY]:
                # The engine said that it was removed, and it is still there.
                del self._done[one]
                self._hidden.discard(one)
                self._problems[one] = ("cannot be removed: it is still there", now)

    def close(self) -> None:
        """Finish what was asked for, as far as the engine answers."""
        with self._lock:
            self._closing = True
            self._lock.wait_for(lambda: not self._working, _CLOSE_WAIT)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    self._working = False
                    self._lock.notify_all()
                    return
                container = self._todo[0]
            if not self._closing:
                self._yield(YIELD_TIME)
            problem = self._try_to_remove(container)
            with self._lock:
                self._todo.remove(container)
                if problem:
                    self._hidden.discard(container)
                    self._problems[container] = (problem, time.monotonic())
                else:
                    self._problems.pop(container, None)
                    self._done[container] = time.monotonic()
            if problem:
                self.wake()

    def _try_to_remove(self, container: str) -> str:
        """Remove one container; return what went wrong, "" if nothing did."""
        try:
            self._remove(container)
        except NotThere:
            pass
        except Conflict as error:
            if "in progress" not in str(error):
                return f"cannot be removed: {error}"
        except EngineUnavailable as error:
            return f"cannot be removed now: {error}"
        except EngineError as error:
            return f"cannot be removed: {error}"
        return ""
