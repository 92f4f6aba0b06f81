"""Whether the ledger can be trusted: what is wrong, and when it was last known to be current."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from commandline.parser import describe_no_thread
from thyme.errors import BrokerError
from vobox.ledger.schema import is_damage

log = logging.getLogger(__name__)

#: Seconds without an answer from the broker after which the ledger is not trusted any more.
STALE_SECONDS: Final = 15.0
#: The same while a command is carried out: a submit of 100,000 jobs takes its time.
STALE_IN_COMMAND_SECONDS: Final = 90.0
_STARTING: Final = "starting"


class Health:
    """Reported to by the schedd's own thread, asked by any."""

    def __init__(self, spool: Path, clock: Callable[[], float]) -> None:
        #: one line on what is wrong; "" when all is well
        self.trouble = _STARTING
        self.is_rebuilding = False
        #: what was lost of the stream; "" when all that follows from it was done
        self.loss = ""
        self._spool = spool
        self._clock = clock
        self.is_in_command = False
        #: None: never since the start
        self._current_at: float | None = None
        #: since when it fails, by ``clock``; None: it works, or has just started
        self._failed_at: float | None = None

    @property
    def is_starting(self) -> bool:
        """Whether nothing has failed, and nothing been read yet."""
        return self.trouble == _STARTING

    def report_rebuild(self, read: int) -> None:
        """Report that the ledger is being made from the stream; ``read``: events read so far."""
        self.is_rebuilding = True
        self.trouble = f"the ledger is being rebuilt from the stream ({read:,} events read)"

    def report_answer(self) -> None:
        """Report that the broker has answered: the ledger is current."""
        self._current_at = self._clock()

    def report_well(self) -> None:
        """Report that the ledger is current, and all is well."""
        self.report_answer()
        self._say("")

    def report_failure(self, error: Exception) -> None:
        """Report that the connection or the disk failed."""
        self._say(describe_error(error, self._spool))

    def report_loss(self, text: str) -> None:
        """Report that records of the stream were lost which the ledger should have."""
        log.warning("%s", text)
        self.loss = text

    def report_end(self) -> None:
        """Report that the schedd ends."""
        self.is_rebuilding, self.trouble = False, "the schedd is ending"

    def _say(self, text: str) -> None:
        self.is_rebuilding = False
        if text and text != self.trouble:
            log.warning("%s", text)
            self._failed_at = self._clock() if self._failed_at is None else self._failed_at
        elif not text and self._failed_at is not None:
            # as loud as the failure was: who reads the log wants to know that it is over
            log.warning("works again after %.0f s", self._clock() - self._failed_at)
            self._failed_at = None
        self.trouble = text

    @contextlib.contextmanager
    def carrying_out_command(self) -> Iterator[None]:
        """Allow for the silence of the broker while a command is carried out."""
        self.is_in_command = True
        try:
            yield
        finally:
            self.is_in_command = False

    def describe_staleness(self) -> str:
        """Say why the ledger may be out of date, and how old it is; "" when it is current."""
        age = None if self._current_at is None else self._clock() - self._current_at
        if not self.trouble:
            # lost packets break a connection only after minutes
            late = age is not None and age > (
                STALE_IN_COMMAND_SECONDS if self.is_in_command else STALE_SECONDS
            )
            return f"no answer from the broker for {age:.0f} s" if late else self.loss
        return self.trouble if age is None else f"{self.trouble} (it is {age:.0f} s old)"

    def explain_refusal(self) -> str:
        """Say why a command cannot be carried out now."""
        return f"the schedd is not ready: {self.trouble or 'busy'}; try again"


def describe_error(error: Exception, spool: Path) -> str:
    """Say in one line what is wrong, where, and what to do if waiting does not help.

    ``error``: of the broker or the disk; ``spool``: the directory of the ledger.
    """
    if isinstance(error, BrokerError):
        return str(error)
    if why := describe_no_thread(error):
        return why
    if not isinstance(error, (sqlite3.Error, OSError)):
        return f"a fault of the schedd ({type(error).__name__}); its log tells more"
    text = f"spool {spool}: {error}"
    if is_damage(error):
        text += "; restart thyme-schedd, it then makes the ledger again"
    return text
