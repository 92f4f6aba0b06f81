"""Remove the builds that a pull has replaced, once no container is made from them.

Without that the disk of a node that nobody looks at fills up, one build at a time.
Only what this daemon made pilots from and then saw replaced under the same name is
removed, by its digest and never by force: an image with another tag, or with a
container (of anybody's), is kept by the engine itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from plancton.errors import EngineError, EngineUnavailable, NotThere

from .image_schedule import LocalImage
from .threads import start_thread

_log = logging.getLogger("plancton")

#: Seconds between two tries: a pilot of the old build may run for hours.
RETRY = 10.0


class ImageCleanup:
    """The replaced builds that are still there.  Safe in several threads."""

    def __init__(
        self, remove: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Make an empty list; ``remove`` raises EngineError while the image is in use."""
        self._remove, self._now = remove, now
        self._lock = threading.Lock()
        self._old: set[str] = set()
        self._next_try = 0.0
        self._busy = False

    def note_replaced(self, before: LocalImage | None, after: LocalImage | None) -> None:
        """Remember ``before`` for removal, if ``after`` is a newer build of it."""
        if before is None or after is None or before.name != after.name:
            return  # another name in the configuration: the admin may go back
        with self._lock:
            self._old.discard(after.reference)
            if before.digest and before.digest != after.digest:
                self._old.add(before.reference)

    def remove_unused(self) -> None:
        """Try to remove what is old, if it is time; returns at once."""
        with self._lock:
            if not self._old or self._busy or self._now() < self._next_try:
                return
            self._next_try = self._now() + RETRY
            with contextlib.suppress(EngineUnavailable):  # no thread: later
                start_thread(self._try, "old-images", sorted(self._old))
                self._busy = True

    def _try(self, references: list[str]) -> None:
        for reference in references:
            try:
                self._remove(reference)
            except NotThere:
                pass  # removed meanwhile
            except EngineError as error:
                _log.debug("%s is kept for now: %s", reference, error)
                continue
            else:
                _log.info("removed the replaced image %s", reference)
            with self._lock:
                self._old.discard(reference)
        with self._lock:
            self._busy = False
