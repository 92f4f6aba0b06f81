"""Answer the query commands, each from a snapshot of the ledger, as fast as its client reads.

An answer of 100,000 jobs is made piece by piece as its client reads it: it is never in memory as
a whole, and a client that has stopped reading delays no other.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from vobox.classad.cost import TooSlow
from vobox.commands.query import condor_history, condor_q, condor_status
from vobox.commands.query.ad_files import TooLarge
from vobox.files.as_user import OwnerFileReader
from vobox.ledger.snapshot import LedgerSnapshot, Live, Slots
from vobox.rpc.connection_limit import OwnerSlots
from vobox.rpc.types import Answer, CommandRefused, Request

from .fair_lock import FairLock

#: After so long an answer that is still being read is cut off: SQLite's log grows for as long as
#: an old snapshot is read.
MAX_ANSWER_SECONDS: Final = 900.0

#: Words of a query beside job ids: each may be an expression, of which each job has a value.
MAX_WORDS: Final = 2000
#: Bytes of the files of one user's queries at once, or one larger file; in memory they take up to
#: 30 times as much.
MAX_FILES_BYTES: Final = 16 * 1024 * 1024
#: Queries of one user at once that keep many ads in memory, up to 300 MB each.
MAX_KEEPING: Final = 2
#: Seconds that a further one waits for one of them to end.
KEEPING_PATIENCE: Final = 30.0

_WAITING: Final = (
    "condor_q: warning: output and user logs of your jobs wait for the submit host's files: {}\n"
)
COMMANDS: Final = frozenset({"condor_q", "condor_status", "condor_history"})
#: Why root is refused where it may be another container's.
NO_ROOT: Final = "this schedd (--no-root) reads and writes no files for root; use another user"


class _OutOfTime(Exception):
    """The answer was not made, or not read, in time."""


class QueryService:
    """Answers queries, each in the thread of its connection."""

    def __init__(
        self,
        ledger: Path,
        schedd_name: str,
        address: str,
        trouble: Callable[[], str],
        slots: Slots,
        live: Live,
        clock: Callable[[], float] = time.monotonic,
        file_waits: Callable[[], Mapping[int, str]] = dict,
        serves_root: bool = True,
        report_failure: Callable[[sqlite3.Error], None] = lambda _error: None,
    ) -> None:
        """``trouble``: why the ledger may be out of date, "" when it is not.

        ``file_waits``: uid → which of the owner's files does not answer; ``serves_root``: whether
        files are read for uid 0; ``report_failure``: is told of each error of the ledger.
        """
        self._serves_root = serves_root
        self._tell_failure = report_failure
        self._file_waits = file_waits
        self._path = ledger
        self._schedd_name = schedd_name
        self._address = address
        self._trouble = trouble
        self._slots = slots
        self._live = live
        self._clock = clock
        self._lock = FairLock()
        self._files = OwnerSlots(MAX_FILES_BYTES)
        self._keeping = OwnerSlots(MAX_KEEPING)

    def answer(self, request: Request, now: float) -> Answer:
        """Answer a query, ``now`` (epoch seconds); the rest of a long answer is in ``more``."""
        parts = self._answer_in_parts(request, now)
        first = next(parts)
        if first.more is not None:
            return replace(first, more=parts)
        parts.close()
        return first

    def _answer_in_parts(self, request: Request, now: float) -> Generator[Answer, None, None]:
        """Yield the answer, and then further parts where there are any."""
        words = sum(not word[:1].isdigit() for word in request.argv)
        if words > MAX_WORDS:
            text = f"Error: {request.command}: {words} words; at most {MAX_WORDS} beside job ids\n"
            yield Answer(stderr=text, code=1)
            return
        waits = self._file_waits()
        held = contextlib.ExitStack()
        deadline = self._clock() + MAX_ANSWER_SECONDS

        def let_others() -> None:
            if self._clock() > deadline:
                raise _OutOfTime
            with self._lock.let_go():  # the client may be slow to hear it
                if request.caller is not None:
                    request.caller.keep_waiting()

        def begin_keeping_many() -> None:
            try:
                with self._lock.let_go():
                    slot = self._keeping.hold(request.uid, patience=KEEPING_PATIENCE)
                    held.enter_context(slot)
            except TimeoutError:
                text = f"{MAX_KEEPING} other large queries of yours are not read yet; try again"
                raise CommandRefused(text) from None

        try:
            view = LedgerSnapshot(
                self._path, self._schedd_name, self._address, self._trouble(),
                self._slots, self._live, let_others, waits, begin_keeping_many,
            )  # fmt: skip
        except sqlite3.Error as error:
            yield self._report_failure(error)
            return
        try:
            with self._lock.hold(request.uid):
                first = self._begin(request, view, now, held)
            if request.command == "condor_q" and request.uid in waits:
                warning = _WAITING.format(waits[request.uid])
                first = replace(first, stderr=first.stderr + warning)
            yield first
            yield from self._continue(request.uid, first.more or iter(()), deadline)
        except _OutOfTime:
            yield Answer(stderr=f"\nError: not read within {MAX_ANSWER_SECONDS:g} s\n", code=1)
        except (TooSlow, TooLarge, CommandRefused) as error:
            yield Answer(stderr=f"Error: {request.command}: {error}\n", code=1)
        except sqlite3.Error as error:
            yield self._report_failure(error)
        finally:
            held.close()
            view.close()

    def _continue(self, uid: int, parts: Iterator[Answer], deadline: float) -> Iterator[Answer]:
        while True:
            if self._clock() > deadline:
                raise _OutOfTime
            with self._lock.hold(uid):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _begin(
        self, request: Request, view: LedgerSnapshot, now: float, held: contextlib.ExitStack
    ) -> Answer:
        is_refused = request.uid == 0 and not self._serves_root
        refusal = NO_ROOT if is_refused else ""
        files = _PatientFiles(request.uid, request.gid, self._lock, refusal, self._files, held)
        if request.command == "condor_q":
            return condor_q.answer(request, view, now, files)
        if request.command == "condor_status":
            return condor_status.answer(request, view, now, files)
        return condor_history.answer(request, view, now, files)

    def _report_failure(self, error: sqlite3.Error) -> Answer:
        self._tell_failure(error)
        return Answer(stderr=f"thyme-schedd: ledger {self._path}: {error}\n", code=1)


class _PatientFiles(OwnerFileReader):
    """The caller's files: no other query waits while they are read.

    ``refusal``: why none is read; "": they are. What is read is counted in ``slots`` until ``held``
    is closed.
    """

    def __init__(
        self,
        uid: int,
        gid: int,
        lock: FairLock,
        refusal: str,
        slots: OwnerSlots,
        held: contextlib.ExitStack,
    ) -> None:
        super().__init__(uid, gid)
        self._lock = lock
        self._refusal = refusal
        self._slots = slots
        self._held = held

    def read(self, path: str) -> bytes:
        if self._refusal:
            raise PermissionError(errno.EPERM, self._refusal)
        with self._lock.let_go():
            return super().read(path)

    def reserve(self, size: int) -> None:
        self._held.enter_context(self._slots.hold(self._uid, min(size, MAX_FILES_BYTES)))
