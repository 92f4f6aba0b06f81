"""The configuration while the daemon runs: re-read, and the last good one kept."""

from __future__ import annotations

import logging
from collections.abc import Callable

from plancton.config import Config
from plancton.errors import ConfigError

_log = logging.getLogger("plancton")

#: Read when the engine is opened; a change needs a restart, and says so.
FIXED = ("engine", "scratch_dir")


class ConfigWatch:
    """``read`` gives a checked configuration or raises ConfigError.

    The first read must succeed; later, a bad configuration changes nothing and
    ``problem`` says why.
    """

    def __init__(
        self, read: Callable[[], Config], now: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._read, self._now, self._wall = read, now, wall
        self.config = read()
        self.problem = ""
        self.loaded = wall()  #: seconds since 1970
        self._last_look = now()

    def refresh(self, force: bool = False) -> None:
        """Read again if ``updateconfig`` seconds are over, or if told to."""
        if not force and self._now() - self._last_look < self.config.updateconfig:
            return
        self._last_look = self._now()
        try:
            new = self._read()
        except ConfigError as error:
            problem = "; ".join(error.problems)
            if problem != self.problem:
                _log.error("the configuration of before stays in force: %s", problem)
            self.problem = problem
            return
        self.problem = self._fixed_problem(new)
        if new != self.config:
            _log.info("new configuration")
            self.loaded = self._wall()
        self.config = new.model_copy(update={key: getattr(self.config, key) for key in FIXED})

    def _fixed_problem(self, new: Config) -> str:
        changed = [key for key in FIXED if getattr(new, key) != getattr(self.config, key)]
        if not changed:
            return ""
        problem = f"a new {' and '.join(changed)} takes effect when the daemon is restarted"
        if problem != self.problem:
            _log.warning("%s", problem)
        return problem
