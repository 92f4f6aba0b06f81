"""Reload the configuration while the daemon runs, and keep the last good one."""

from __future__ import annotations

import logging
from collections.abc import Callable

from plancton.errors import ConfigError

from .model import Config

_log = logging.getLogger("plancton")


class ConfigWatch:
    """The configuration in force, and the problem with a newer one.

    ``read`` returns a checked configuration at once or raises ConfigError.

    The first read (``first``, where that differs) must succeed; later, a bad configuration
    changes nothing and ``problem`` says why.  ``ask`` makes a
    remote source fetch a new one, and ``is_asking`` tells whether it is not there yet.
    """

    def __init__(
        self,
        read: Callable[[], Config],
        now: Callable[[], float],
        wall: Callable[[], float],
        *,
        first: Callable[[], Config] | None = None,
        ask: Callable[[], None] = lambda: None,
        is_asking: Callable[[], bool] = lambda: False,
    ) -> None:
        self._read, self._now, self._wall, self._ask = read, now, wall, ask
        self._is_asking = is_asking
        self.asking = False  #: what a forced look asked for was not known at the last look
        self.config = (first or read)()
        self.problem = ""
        # What came first may be one that was kept: then the problem is not known yet.
        self._news = first is not None
        self.loaded = wall()  #: seconds since 1970
        self._last_look = now()

    def mark_changed(self) -> None:
        """Read in the next pass.  For any thread."""
        self._news = True

    def refresh(self, force: bool = False) -> None:
        """Read again if ``updateconfig`` seconds are over, or if ``force`` says so."""
        if force:
            self._ask()
        if not (force or self._news) and self._now() - self._last_look < self.config.updateconfig:
            return
        self._last_look, self._news = self._now(), False
        self.asking = self._is_asking()  # before it is read: what comes later is not in it
        try:
            new = self._read()
        except ConfigError as error:
            problem = "; ".join(error.problems)
            if problem != self.problem:
                _log.error("the configuration of before stays in force: %s", problem)
            self.problem = problem
            return
        if self.problem:
            _log.info("the configuration is good again")
        self.problem = ""
        if new != self.config:
            changed = sorted(
                key for key in Config.model_fields if getattr(new, key) != getattr(self.config, key)
            )
            _log.info("new configuration: %s changed", ", ".join(changed))
            self.config, self.loaded = new, self._wall()
