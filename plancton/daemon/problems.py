"""What does not work now: logged once when it begins and once when it is over, and counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from plancton.errors import EngineError

_log = logging.getLogger("plancton")
#: Kinds with one problem at a time, by which they are known; any other is a pilot's.
_OWN_KIND = ("engine", "configuration")


class Problems:
    """The present problems, by what has them: "engine", "configuration", or a pilot's id."""

    def __init__(self) -> None:
        #: how often each kind of error came up
        self.counts: Counter[str] = Counter()
        self._now: dict[str, str] = {}

    def report(self, key: str, text: str) -> None:
        """Note that ``text`` is wrong with ``key`` now; "" if it works."""
        before = self._now.pop(key, "")
        if text:
            self._now[key] = text
            if text != before:
                self.counts[key if key in _OWN_KIND else "pilot"] += 1
                _log.error("%s", text)
        elif before:
            _log.info("%s: all is well again", key)

    def attempt(self, key: str, what: Callable[[], None]) -> None:
        """Do something and report its failure; the next pass tries it again."""
        try:
            what()
        except EngineError as error:
            self.report(key, str(error))
        else:
            self.report(key, "")

    def find(self, key: str) -> str:
        """Return what is wrong with ``key``, "" if nothing is."""
        return self._now.get(key, "")

    @property
    def texts(self) -> tuple[str, ...]:
        """All present problems, one sentence each."""
        return tuple(self._now.values())
