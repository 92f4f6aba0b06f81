"""Answers the commands that ask: each from a snapshot of the ledger, in its client's time.

An answer of 100,000 jobs is made piece by piece as its client reads it: it is
never in memory as a whole, and a client that has stopped reading keeps nobody
else waiting.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from vobox.commands.query import condor_history, condor_q, condor_status
from vobox.files.as_user import OwnerFileReader
from vobox.ledger.snapshot import LedgerView, Live, Slots
from vobox.rpc.types import Answer, QueueView, Request

from .fair_lock import Turns

#: Seconds after which an answer that is still being read is broken off: the ledger's file
#: cannot be tidied up while somebody looks at an old state of it.
LONGEST: Final = 900.0

_ANSWERS: Final[Mapping[str, Callable[[Request, QueueView, float], Answer]]] = {
    "condor_q": condor_q.answer,
    "condor_status": condor_status.answer,
}
COMMANDS: Final = frozenset({*_ANSWERS, "condor_history"})


class Queries:
    """Called in the thread of each connection."""

    def __init__(
        self,
        ledger: Path,
        schedd_name: str,
        address: str,
        trouble: Callable[[], str],
        slots: Slots,
        live: Live,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``trouble``: why the ledger may be out of date, "" when it is not."""
        self._path = ledger
        self._schedd_name = schedd_name
        self._address = address
        self._trouble = trouble
        self._slots = slots
        self._live = live
        self._clock = clock
        self._turns = Turns()

    def answer(self, request: Request, now: float) -> Answer:
        """``now``: epoch seconds; the rest of a long answer is in ``more``."""
        parts = self._parts(request, now)
        first = next(parts)
        if first.more is not None:
            return replace(first, more=parts)
        parts.close()
        return first

    def _parts(self, request: Request, now: float) -> Generator[Answer, None, None]:
        """The answer, and then what follows where there is more of it."""
        try:
            view = LedgerView(
                self._path, self._schedd_name, self._address, self._trouble(),
                self._slots, self._live, self._turns.pause,
            )  # fmt: skip
        except sqlite3.Error as error:
            yield self._failed(error)
            return
        try:
            with self._turns.turn():
                first = self._first(request, view, now)
            yield first
            yield from self._rest(first.more or iter(()), self._clock() + LONGEST)
        except sqlite3.Error as error:
            yield self._failed(error)
        finally:
            view.close()

    def _rest(self, parts: Iterator[Answer], deadline: float) -> Iterator[Answer]:
        while True:
            if self._clock() > deadline:
                yield Answer(stderr=f"\nError: not read within {LONGEST:g} s\n", code=1)
                return
            with self._turns.turn():
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _first(self, request: Request, view: LedgerView, now: float) -> Answer:
        if request.command == "condor_history":
            files = OwnerFileReader(request.uid, request.gid)
            return condor_history.answer(request, view, now, files)
        return _ANSWERS[request.command](request, view, now)

    def _failed(self, error: sqlite3.Error) -> Answer:
        return Answer(stderr=f"thyme-schedd: ledger {self._path}: {error}\n", code=1)
