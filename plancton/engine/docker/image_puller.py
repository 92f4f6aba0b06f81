"""Pull the image of new pilots in a thread (``image_schedule`` decides when)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from plancton.errors import EngineError, EngineRefused, EngineUnavailable, NoSuchImage
from plancton.model import ImageStatus

from . import image_schedule
from .api import DockerApi
from .image_cleanup import ImageCleanup
from .threads import start_thread

_log = logging.getLogger("plancton")


class ImagePuller:
    """Keeps the image of new pilots ready.  Safe in several threads."""

    def __init__(self, api: DockerApi, now: Callable[[], float] = time.monotonic) -> None:
        self._api, self._now = api, now
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._state = image_schedule.PullState()
        self._old = ImageCleanup(api.remove_image, now)
        #: whether the engine was asked since something changed
        self._known = False
        self._closing = False

    def update(self, name: str, expiration: float, credentials: str) -> ImageStatus:
        """Make ``name`` the image of new pilots, and pull it if need be.  Raises EngineUnavailable.

        An image is pulled again after ``expiration`` seconds; ``credentials`` is a Docker config
        file.
        """
        with self._lock:
            self._known = self._known and self._state.wanted == name
            self._state = image_schedule.set_wanted(self._state, name)
        self._ask_engine()
        self._old.remove_unused()
        with self._lock:
            todo = image_schedule.choose_pull(self._state, expiration, self._now())
            if todo and not self._closing:
                self._state = image_schedule.begin_pull(self._state, todo)
                try:
                    start_thread(self._pull, "pull", todo, credentials)
                except EngineUnavailable as error:
                    self._state = image_schedule.fail_pull(self._state, str(error), self._now())
            return _status(self._state, self._now())

    def get_usable(self) -> image_schedule.LocalImage:
        """Return the image that pilots are made from now.  Raises NoSuchImage."""
        with self._lock:
            if self._state.usable is None:
                raise NoSuchImage(f"image {self._state.wanted} is not there")
            return self._state.usable

    def forget_known(self) -> None:
        """Ask the engine again before the next start, because images have changed."""
        with self._lock:
            self._known = False

    def close(self) -> None:
        """Begin no further pull; one under way goes on in the engine."""
        with self._lock:
            self._closing = True

    def _ask_engine(self) -> None:
        with self._lock:
            if self._known:
                return
            name = self._state.wanted
            self._known = True
        try:
            local: image_schedule.LocalImage | None = image_schedule.parse_image(
                name, self._api.inspect_image(name)
            )
        except NoSuchImage:
            local = None
        except EngineRefused as error:
            # Of the image alone: pilots are listed, and end, as before.
            with self._lock:
                self._state = image_schedule.refuse(self._state, str(error), self._now())
            self.forget_known()
            return
        except EngineError:
            self.forget_known()
            raise
        with self._lock:
            before, self._state = (
                self._state.usable,
                image_schedule.set_found(self._state, local),
            )
        self._old.note_replaced(before, local)
        if local is not None and local != before:
            _log.info("new pilots are made from %s (%s)", local.name, local.label)

    def _pull(self, name: str, credentials: str) -> None:
        _log.info("pulling %s", name)

        def tell(step: Mapping[str, Any]) -> None:
            with self._lock:
                self._state = image_schedule.advance_pull(self._state, step)

        try:
            self._api.pull(name, credentials, tell)
        except EngineError as error:
            _log.error("%s cannot be pulled: %s", name, error)
            with self._lock:
                self._state = image_schedule.fail_pull(self._state, str(error), self._now())
        else:
            with self._lock:
                self._state = image_schedule.finish_pull(self._state, self._now())
        self.forget_known()
        if not self._closing:
            self.wake()


def _status(state: image_schedule.PullState, now: float) -> ImageStatus:
    usable = state.usable
    pulled = usable is not None and state.pulled == usable.name
    return ImageStatus(
        wanted=state.wanted,
        name=usable.name if usable else "",
        digest=usable.label if usable else "",
        pulling=state.progress.sentence if state.pulling else "",
        problem=state.problem,
        age=now - state.pulled_at if pulled else None,
    )
