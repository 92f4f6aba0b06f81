"""Listen to the engine's events.  They are hints: losing one costs time, never correctness."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from plancton.engine.pilot_spec import NODE_LABEL
from plancton.errors import EngineError

_log = logging.getLogger("plancton")
#: Seconds before the stream is opened again after it broke; doubles, up to the second.
RETRY, RETRY_MAX = 0.1, 5.0


@dataclass(frozen=True)
class ContainerEvent:
    """What happened to one of Plancton's containers."""

    container: str
    action: str  #: as Docker calls it, e.g. ``die``
    at: float | None = None  #: s since 1970
    exit_code: int | None = None  #: of ``die``


class EventWatch:
    """A thread that reads the engine's events.

    ``note`` gets each event about one of Plancton's containers and says whether the loop should
    make a pass; ``lost`` is called when events may have been missed, and told whether the engine
    was away; ``image_changed`` is called for images.
    """

    def __init__(
        self,
        open_stream: Callable[[], Iterator[dict[str, Any]]],
        wake: Callable[[], None],
        note: Callable[[ContainerEvent], bool],
        lost: Callable[[bool], None],
        image_changed: Callable[[], None],
    ) -> None:
        self._open_stream, self._wake = open_stream, wake
        self._note, self._lost, self._image_changed = note, lost, image_changed
        self._closing = threading.Event()
        self._stream: Any = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        # A hung engine may hold it for as long as opening a stream may take.
        self._thread.join(1.0)

    def _run(self) -> None:
        wait, was_away = RETRY, False
        while not self._closing.is_set():
            try:
                stream = self._open_stream()
            except EngineError:
                # Listing the pilots fails with the same error, and reports it.
                was_away = True
                self._closing.wait(wait)
                wait = min(RETRY_MAX, 2 * wait)
                continue
            with self._lock:
                self._stream = stream
            # Pilots may have ended while no events were read; and the engine is back.
            self._lost(was_away)
            was_away = False
            self._image_changed()
            self._wake()
            any_event = self._listen(stream)
            wait = RETRY if any_event else min(RETRY_MAX, 2 * wait)
            if not self._closing.is_set():
                self._wake()
                self._closing.wait(wait)

    def _listen(self, stream: Iterator[dict[str, Any]]) -> bool:
        any_event = False
        for event in stream:
            any_event = True
            if self._closing.is_set():
                break
            try:
                self._note_event(event)
            except (KeyError, TypeError, AttributeError) as error:
                _log.info("an event that says nothing to us: %r (%s)", event, error)
        return any_event

    def _note_event(self, event: dict[str, Any]) -> None:
        action = str(event.get("Action") or event.get("status") or "")
        if event.get("Type") == "image":
            self._image_changed()
            if action in ("load", "import", "tag"):
                self._wake()
            return
        actor = event.get("Actor") or {}
        if NODE_LABEL not in (actor.get("Attributes") or {}):
            return
        known = actor["Attributes"]
        code = str(known.get("exitCode", known.get("containerExitCode", "")))
        found = ContainerEvent(
            container=str(actor.get("ID") or event.get("id") or ""),
            action=action,
            at=_seconds(event),
            exit_code=int(code) if code.isdigit() else None,
        )
        if self._note(found):
            self._wake()


def _seconds(event: dict[str, Any]) -> float | None:
    """Return when the event happened, in seconds since 1970; None if unknown."""
    nanoseconds = event.get("timeNano")
    return nanoseconds / 1e9 if isinstance(nanoseconds, int) else None
