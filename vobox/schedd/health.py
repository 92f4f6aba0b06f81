"""Whether the ledger can be trusted: what ails it, and when it was last known to be current.

The schedd asks the broker for the depth of its pool every few seconds: on a connection whose
packets vanish, AMQP itself notices only after two missed heartbeats.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from thyme.errors import BrokerError

log = logging.getLogger(__name__)

#: Seconds without an answer from the broker after which the ledger is not trusted any more.
STALE: Final = 15.0
#: The same while a command is carried out: a submit of 100,000 jobs takes its time.
STALE_IN_CALL: Final = 90.0
_STARTING: Final = "starting"


class Health:
    """Told of by the schedd's thread, asked by any."""

    def __init__(self, spool: Path, clock: Callable[[], float]) -> None:
        #: one line on what is wrong; "" when all is well
        self.trouble = _STARTING
        self.is_rebuilding = False
        self._spool = spool
        self._clock = clock
        self._in_call = False
        #: None: never since the start
        self._current_at: float | None = None

    @property
    def is_starting(self) -> bool:
        """Whether nothing has failed, and nothing been read yet."""
        return self.trouble == _STARTING

    def rebuilds(self, read: int) -> None:
        """The ledger is being made of the stream; ``read``: how many events of it so far."""
        self.is_rebuilding = True
        self.trouble = f"the ledger is being rebuilt from the stream ({read:,} events read)"

    def renewed(self) -> None:
        """The broker has answered: the ledger is current."""
        self._current_at = self._clock()

    def restored(self) -> None:
        """The ledger is current, and all is well."""
        self.renewed()
        self._say("")

    def failed(self, error: Exception) -> None:
        """The line or the disk."""
        self._say(describe_error(error, self._spool))

    def ends(self) -> None:
        self.is_rebuilding, self.trouble = False, "the schedd is ending"

    def _say(self, text: str) -> None:
        self.is_rebuilding = False
        if text != self.trouble:
            log.warning("%s", text) if text else log.info("all well")
        self.trouble = text

    @contextlib.contextmanager
    def in_call(self) -> Iterator[None]:
        """Meanwhile a command is carried out, and nobody asks the broker whether it is there."""
        self._in_call = True
        try:
            yield
        finally:
            self._in_call = False

    def doubt(self) -> str:
        """Why the ledger may be out of date and how old it is; "" when it can be trusted."""
        age = None if self._current_at is None else self._clock() - self._current_at
        if not self.trouble:
            # packets that vanish break a line only after minutes
            late = age is not None and age > (STALE_IN_CALL if self._in_call else STALE)
            return f"no answer from the broker for {age:.0f} s" if late else ""
        return self.trouble if age is None else f"{self.trouble} (it is {age:.0f} s old)"

    def not_ready(self) -> str:
        """What is said to a command that cannot be carried out now."""
        return f"the schedd is not ready: {self.trouble or 'busy'}; try again"


def describe_error(error: Exception, spool: Path) -> str:
    """Say in one line what is wrong, where, and what to do if waiting does not help.

    ``error``: of the broker or the disk; ``spool``: the directory of the ledger.
    """
    if isinstance(error, BrokerError):
        return str(error)
    text = f"spool {spool}: {error}"
    if type(error) is sqlite3.DatabaseError:  # the content, not the disk
        text += "; restart thyme-schedd, it then makes the ledger again"
    return text
