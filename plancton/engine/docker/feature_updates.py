"""Write what running pilots are told into their containers, in a thread for each.

The engine first removes whatever a pilot has put in the places of these files: a directory of a
million files keeps it for a minute, and the loop must not wait for that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from plancton.engine.job_features import Features
from plancton.errors import EngineError

from .container_body import pack_features
from .threads import start_thread

_log = logging.getLogger("plancton")


class FeatureUpdates:
    """The files that are still to be written; ``put_files`` unpacks an archive in a container."""

    def __init__(self, put_files: Callable[[str, bytes], None]) -> None:
        self._put_files = put_files
        self._lock = threading.Lock()
        #: by container, while a thread writes into it
        self._waiting: dict[str, Features] = {}

    def add(self, container: str, pilot: str, features: Features) -> None:
        """Write these files soon, after those that were added before.  Raises EngineUnavailable."""
        with self._lock:
            if container not in self._waiting:
                start_thread(self._write, "tell", container, pilot)  # it waits for the lock
            self._waiting[container] = {**self._waiting.get(container, {}), **features}

    def _write(self, container: str, pilot: str) -> None:
        while True:
            with self._lock:
                features = self._waiting[container]
                if not features:
                    del self._waiting[container]
                    return
                self._waiting[container] = {}
            try:
                self._put_files(container, pack_features(features))
            except EngineError as error:
                _log.info("%s is not told of a change: %s", pilot, error)
