"""One process's connection to the embedded broker: its database, its process lock, write locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from thyme.errors import BrokerError, BrokerRefused, BrokerUnreachable

from .process_locks import ProcessLock
from .schema import BUSY_TIMEOUT, CONNECTIONS, create_file, open_database

#: Errors after which waiting helps: others use the file, or the disk is full or away.
_PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
#: The same in SQLite's names.
_PASSING_NAMES: Final = ("BUSY", "LOCKED", "FULL", "IOERR")
#: Seconds between two attempts to lock out other writers.
_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.002


class Connection:
    """An open database, and the ``process_lock`` whose name owns what this process has taken.

    Raises BrokerRefused or BrokerUnreachable, no error of SQLite.
    """

    def __init__(self, path: str) -> None:
        """``path``: the database; its directory must exist and be writable."""
        self.path = path
        self._version = -1
        self._dirty = True
        self._durable: bool | None = None
        with contextlib.ExitStack() as undo:
            try:
                self._file = create_file(path)
                self.process_lock = ProcessLock(Path(path + CONNECTIONS))
                undo.callback(self.process_lock.release)
                self._write_lock = os.open(
                    path + ".turn", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
                )
                undo.callback(os.close, self._write_lock)
            except OSError as error:
                kind = BrokerUnreachable if error.errno in _PASSING else BrokerRefused
                why = error.strerror or str(error)
                if isinstance(error, FileNotFoundError):
                    why = f"there is no directory {Path(path).parent}"
                raise kind(f"cannot use the broker {path}: {why}") from error
            try:
                self._db = open_database(path)
            except sqlite3.Error as error:
                raise _translate(path, error) from error
            undo.pop_all()  # it is open: close() will do all this

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Translate SQLite's errors of queries within a block."""
        try:
            yield self._db
        except sqlite3.Error as error:
            raise _translate(self.path, error) from error

    @contextlib.contextmanager
    def writing(self, durable: bool) -> Iterator[sqlite3.Connection]:
        """Run one transaction; ``durable``: on the disk when it ends."""
        with self.reading() as db:
            if durable != self._durable:
                db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._take_turn()
            try:
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                    raise
            finally:
                fcntl.flock(self._write_lock, fcntl.LOCK_UN)
            # data_version tells of other connections' writes only
            self._dirty = True

    def _take_turn(self) -> None:
        """Wait until no other process writes: for a shorter time than SQLite's own waiting takes.

        A process that was stopped in the middle of a transaction keeps its lock.
        """
        deadline, pause = time.monotonic() + BUSY_TIMEOUT, _FIRST_PAUSE
        while True:
            try:
                fcntl.flock(self._write_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BrokerUnreachable(
                        f"broker {self.path}: another process has been writing for "
                        f"{BUSY_TIMEOUT:g} s; is it stopped? `lslocks` names it, with "
                        f"{self.path}.turn; let it go on, or kill it"
                    ) from None
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def changed(self) -> bool:
        """Return whether anybody wrote, this process included, since this was last asked."""
        with self.reading() as db:
            version = db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version and not self._dirty:
            return False
        self._version, self._dirty = version, False
        return True

    def check_file(self) -> None:
        """Check that the file is still there: in a deleted one nobody would see what we write."""
        try:
            status = Path(self.path).stat()
        except OSError as error:
            text = f"broker {self.path}: {error.strerror}"
            raise BrokerUnreachable(text) from error
        if (status.st_dev, status.st_ino) != self._file:
            raise BrokerUnreachable(f"broker {self.path}: the file was replaced")

    def close(self) -> None:
        """Close the database and release the locks; never raises for the database."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self.process_lock.release()
        os.close(self._write_lock)


def _translate(path: str, error: sqlite3.Error) -> BrokerError:
    name = getattr(error, "sqlite_errorname", "")  # Python's own errors have none
    text = f"broker {path}: {error}"
    if any(word in name for word in _PASSING_NAMES):
        return BrokerUnreachable(text)
    return BrokerRefused(text)
