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
    remote source fetch a new one.
    """

    def __init__(
        self,
        read: Callable[[], Config],
        now: Callable[[], float],
        wall: Callable[[], float],
        *,
        first: Callable[[], Config] | None = None,
        ask: Callable[[], None] = lambda: None,
    ) -> None:
        self._read, self._now, self._wall, self._ask = read, now, wall, ask
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
