"""Listens to the engine's events.  They are hints: losing one costs time, never correctness."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from plancton.errors import EngineError
from plancton.launch import NODE

_log = logging.getLogger("plancton")
#: Seconds before the stream is opened again after it broke; doubles, up to the second.
RETRY, RETRY_MAX = 0.1, 5.0
#: What happened to a container so that the loop should look at once.
_TELLING = {"die", "died", "destroy", "remove", "pause", "unpause", "oom"}


class Source(Protocol):
    def events(self) -> Iterator[dict[str, Any]]: ...


class EventWatch:
    """``changed(id)`` hears of each of our containers that something happened to, and
    ``image_changed`` of images; ``wake`` is called when the loop should look."""

    def __init__(
        self,
        source: Source,
        wake: Callable[[], None],
        changed: Callable[[str], None],
        image_changed: Callable[[], None],
    ) -> None:
        self._source, self._wake = source, wake
        self._changed, self._image_changed = changed, image_changed
        self._closing = threading.Event()
        self._stream: Any = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        # A hung engine may hold it for as long as opening a stream may take.
        self._thread.join(1.0)

    def _run(self) -> None:
        wait = RETRY
        while not self._closing.is_set():
            try:
                stream = self._source.events()
            except EngineError:
                # Whoever lists the pilots hears the same, and says it.
                self._closing.wait(wait)
                wait = min(RETRY_MAX, 2 * wait)
                continue
            with self._lock:
                self._stream = stream
            # What ended while nobody listened; and that the engine is back.
            self._image_changed()
            self._wake()
            heard = self._listen(stream)
            wait = RETRY if heard else min(RETRY_MAX, 2 * wait)
            if not self._closing.is_set():
                self._wake()
                self._closing.wait(wait)

    def _listen(self, stream: Iterator[dict[str, Any]]) -> bool:
        heard = False
        for event in stream:
            heard = True
            if self._closing.is_set():
                break
            try:
                self._hear(event)
            except (KeyError, TypeError, AttributeError) as error:
                _log.info("an event that says nothing to us: %r (%s)", event, error)
        return heard

    def _hear(self, event: dict[str, Any]) -> None:
        action = str(event.get("Action") or event.get("status") or "")
        if event.get("Type") == "image":
            self._image_changed()
            if action in ("load", "import", "tag"):
                self._wake()
            return
        actor = event.get("Actor") or {}
        if NODE not in (actor.get("Attributes") or {}):
            return
        self._changed(str(actor.get("ID") or event.get("id") or ""))
        if action in _TELLING:
            self._wake()
