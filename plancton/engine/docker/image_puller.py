"""Keeps the image of new pilots ready: the thread that pulls (``images`` decides when)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from plancton.errors import EngineError, NoSuchImage
from plancton.model import ImageStatus

from . import image_schedule
from .image_cleanup import OldImages

_log = logging.getLogger("plancton")


class Registry(Protocol):
    """What is needed of the engine's API."""

    def image(self, name: str) -> dict[str, Any]: ...

    def pull(self, name: str, credentials: str, tell: Callable[[dict[str, Any]], None]) -> None: ...

    def remove_image(self, image: str) -> None: ...


class ImageKeeper:
    """Safe in several threads."""

    def __init__(self, api: Registry, now: Callable[[], float] = time.monotonic) -> None:
        self._api, self._now = api, now
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._keeper = image_schedule.Keeper()
        self._old = OldImages(api.remove_image, now)
        #: whether the engine was asked since something changed
        self._known = False
        self._closing = False

    def want(self, name: str, expiration: float, credentials: str) -> ImageStatus:
        """Name the image that new pilots need; pulls it if need be.  Raises EngineUnavailable."""
        with self._lock:
            self._known = self._known and self._keeper.wanted == name
            self._keeper = image_schedule.wants(self._keeper, name)
        self._look()
        self._old.tidy()
        with self._lock:
            todo = image_schedule.to_pull(self._keeper, expiration, self._now())
            if todo and not self._closing:
                self._keeper = image_schedule.begun(self._keeper, todo)
                threading.Thread(
                    target=self._pull, args=(todo, credentials), name="pull", daemon=True
                ).start()
            return _status(self._keeper, self._now())

    def usable(self) -> image_schedule.Local:
        """What a pilot is made from now.  Raises NoSuchImage."""
        with self._lock:
            if self._keeper.usable is None:
                raise NoSuchImage(f"image {self._keeper.wanted} is not there")
            return self._keeper.usable

    def pull_now(self, name: str, credentials: str) -> None:
        """Pull and wait for it.  Raises EngineError."""
        self._api.pull(name, credentials, lambda _step: None)
        self.forget()

    def forget(self) -> None:
        """Something happened to images: ask the engine again before the next start."""
        with self._lock:
            self._known = False

    def close(self) -> None:
        """Begin no further pull; one under way goes on in the engine."""
        with self._lock:
            self._closing = True

    def _look(self) -> None:
        with self._lock:
            if self._known:
                return
            name = self._keeper.wanted
            self._known = True
        try:
            local: image_schedule.Local | None = image_schedule.local(name, self._api.image(name))
        except NoSuchImage:
            local = None
        except EngineError:
            self.forget()
            raise
        with self._lock:
            before, self._keeper = self._keeper.usable, image_schedule.found(self._keeper, local)
        self._old.replaced(before, local)
        if local is not None and local != before:
            _log.info("new pilots are made from %s (%s)", local.name, local.label)

    def _pull(self, name: str, credentials: str) -> None:
        _log.info("pulling %s", name)

        def tell(step: Mapping[str, Any]) -> None:
            with self._lock:
                self._keeper = image_schedule.stepped(self._keeper, step)

        try:
            self._api.pull(name, credentials, tell)
        except EngineError as error:
            _log.error("%s cannot be pulled: %s", name, error)
            with self._lock:
                self._keeper = image_schedule.failed(self._keeper, str(error), self._now())
        else:
            with self._lock:
                self._keeper = image_schedule.succeeded(self._keeper, self._now())
        self.forget()
        if not self._closing:
            self.wake()


def _status(keeper: image_schedule.Keeper, now: float) -> ImageStatus:
    usable = keeper.usable
    pulled = usable is not None and keeper.pulled == usable.name
    return ImageStatus(
        wanted=keeper.wanted,
        name=usable.name if usable else "",
        digest=usable.label if usable else "",
        pulling=keeper.progress.sentence if keeper.pulling else "",
        problem=keeper.problem,
        age=now - keeper.pulled_at if pulled else None,
    )
