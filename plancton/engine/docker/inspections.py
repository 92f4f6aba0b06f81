"""What is known of each container beyond the list: from inspections, and sooner from events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from plancton.errors import EngineRefused, NotThere

from .events import ContainerEvent
from .listing import (
    OUT_OF_MEMORY,
    ContainerPhase,
    Inspection,
    ListedContainer,
    find_phase,
    parse_inspection,
)

#: Seconds for which an end that an event reported is believed against the list.
BELIEF = 5.0
_ENDS = {"die", "died"}
_REMOVALS = {"destroy", "remove"}
#: Further events after which the loop should make a pass.
_TELLING = {"pause", "unpause", "oom"}


class Inspections:
    """The inspections by container id.  Safe in several threads."""

    def __init__(
        self, inspect: Callable[[str], dict[str, Any]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._inspect, self._now = inspect, now
        self._lock = threading.Lock()
        self._known: dict[str, Inspection] = {}
        #: ends that events reported, and when that was
        self._ended: dict[str, tuple[ContainerEvent, float]] = {}
        self._out_of_memory: set[str] = set()

    def get(self, row: ListedContainer) -> Inspection:
        """Return the inspection of a container; asks the engine only for what is not known.

        Raises NotThere, EngineUnavailable.  Of one that the engine cannot inspect, only the state
        in the list is known; the engine answers so where a container's files are damaged.

        An event reports an end with its exit code.  Docker's list shows it a little
        later, and its inspection waits until the container is cleaned up: a replacement
        should not.  Another event, before or after it, tells that memory was lacking.
        """
        known = self._get(row)
        is_over = find_phase(known.state) is ContainerPhase.OVER
        if is_over and not known.detail and row.id in self._out_of_memory:
            return replace(known, detail=OUT_OF_MEMORY)
        return known

    def _get(self, row: ListedContainer) -> Inspection:
        with self._lock:
            known = self._known.get(row.id)
            reported = self._find_reported_end(row.id, known)
        if reported is not None:
            return reported
        if known is None or known.state != row.state:
            try:
                known = parse_inspection(self._inspect(row.id))
            except NotThere:
                raise
            except EngineRefused:
                return Inspection(row.state, None, None, None, None, "")
            with self._lock:
                self._known[row.id] = known
        return known

    def note_event(self, event: ContainerEvent) -> bool:
        """Take an event into account; tell whether the loop should make a pass."""
        with self._lock:
            if event.action == "oom":
                self._out_of_memory.add(event.container)
            if event.action in _ENDS:
                self._ended[event.container] = (event, self._now())
                return True
            self._ended.pop(event.container, None)
            if event.action not in _TELLING:
                # Started, renamed, ...: what was known may be over.
                self._known.pop(event.container, None)
        return event.action in _TELLING or event.action in _REMOVALS

    def forget_all(self) -> None:
        """Ask the engine again for everything: events may have been missed."""
        with self._lock:
            self._known.clear()
            self._ended.clear()

    def keep_only(self, here: set[str]) -> None:
        """Forget what is not there any more."""
        with self._lock:
            self._known = {one: known for one, known in self._known.items() if one in here}
            self._ended = {one: end for one, end in self._ended.items() if one in here}
            self._out_of_memory &= here

    def _find_reported_end(self, container: str, known: Inspection | None) -> Inspection | None:
        event, at = self._ended.get(container, (None, 0.0))
        if event is None or event.exit_code is None or known is None or known.started is None:
            return None
        if self._now() - at > BELIEF:
            del self._ended[container]
            return None
        return replace(
            known, state="exited", pid=None, finished=event.at, exit_code=event.exit_code, detail=""
        )
