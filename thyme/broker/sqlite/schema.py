"""The database file of the embedded broker: made by the first process, and opened."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Final

from thyme.errors import BrokerRefused

#: Seconds to wait for another process's write; longer means it hangs.
BUSY_TIMEOUT: Final = 30.0
#: Beside the file: the directory of the processes that have it open.
CONNECTIONS: Final = ".connections"
#: Seconds between two attempts at what SQLite does not wait for by itself.
_POLL = 0.001

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS stream(
    offset INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, body BLOB NOT NULL,
    key TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS queue(
    id INTEGER PRIMARY KEY AUTOINCREMENT, pool TEXT NOT NULL, body BLOB NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0, owner TEXT);
CREATE INDEX IF NOT EXISTS queue_free ON queue(pool, id) WHERE owner IS NULL;
CREATE INDEX IF NOT EXISTS queue_taken ON queue(owner) WHERE owner IS NOT NULL;
CREATE TABLE IF NOT EXISTS dead(
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, pool TEXT NOT NULL,
    reason TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS inbox(name TEXT PRIMARY KEY, owner TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mail(
    id INTEGER PRIMARY KEY AUTOINCREMENT, inbox TEXT NOT NULL, time REAL NOT NULL,
    reply_to TEXT NOT NULL, correlation TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS mail_inbox ON mail(inbox, id);
CREATE TABLE IF NOT EXISTS listener(
    pool TEXT NOT NULL, inbox TEXT NOT NULL, PRIMARY KEY(pool, inbox)) WITHOUT ROWID;
"""


#: What a file of SQLite begins with.
_MAGIC = b"SQLite format 3\0"


def create_file(path: str) -> tuple[int, int]:
    """Make the file if it is missing; return its device and inode. Raises BrokerRefused, OSError.

    A broker whose file was taken away must not be replaced by an empty one: the schedd would
    take that for the truth.
    """
    # in this order: meanwhile another process may make both, the file first
    if Path(path + CONNECTIONS).exists() and not Path(path).exists():
        raise BrokerRefused(
            f"broker {path}: the file is gone; put it back, or remove {path}{CONNECTIONS} too "
            "to begin with an empty broker"
        )
    # job messages carry proxies: only the owner may read the file (WAL and shm inherit this)
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(handle)
        # before anything is made beside it: a wrong path may name any file, or a device
        if not stat.S_ISREG(status.st_mode) or os.pread(handle, len(_MAGIC), 0) not in (
            b"",
            _MAGIC,
        ):
            raise BrokerRefused(f"broker {path}: file is not a database")
        return status.st_dev, status.st_ino
    finally:
        os.close(handle)


def open_database(path: str) -> sqlite3.Connection:
    """Open the database; raises BrokerRefused, or sqlite3.Error."""
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    # a damaged text is one message that is not believed, and no error of all that are read with it
    db.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        if not _is_made(db, path):
            _turn_on_wal(db)
            _make_tables(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _is_made(db: sqlite3.Connection, path: str) -> bool:
    """Return whether the tables are there; raises BrokerRefused for any other program's file."""
    # first: between these questions another process may make all of it, in one transaction
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version not in (0, SCHEMA_VERSION):
        raise BrokerRefused(
            f"broker {path}: it has version {version}, this program knows {SCHEMA_VERSION} alone; "
            "use the release of thyme that made it"
        )
    if version == 0 and tables:
        raise BrokerRefused(f"broker {path}: this is another program's database")
    return version == SCHEMA_VERSION


def _turn_on_wal(db: sqlite3.Connection) -> None:
    """Set the WAL journal mode; SQLite does not wait by itself when two processes do."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_POLL)


def _make_tables(db: sqlite3.Connection, path: str) -> None:
    db.execute("PRAGMA synchronous=FULL")
    db.execute("BEGIN IMMEDIATE")  # from here on, no other process makes them
    if not _is_made(db, path):
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    db.execute("COMMIT")
