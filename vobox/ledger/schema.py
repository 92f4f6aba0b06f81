"""The ledger's tables, and how its file is opened.

One row a job, with its whole ad as one compressed text (``compression.py``). What queries ask for
most is in columns as well; ``columns_match`` says that they are exactly what the ad says, as
ClassAd expressions: only then may a query read them instead of the ad. ``counts`` says how many
jobs there are of each kind: triggers keep it, so that it is right whatever is written, and
whenever the writer ends.

A file that is damaged, or of another version, is renamed, and the ledger is made again from the
stream; a damaged one is deleted when that is complete.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import time
from pathlib import Path

from hostfiles.regular_file import open_regular
from thyme.protocol.fields import check_next_cluster
from vobox.jobs.status import IDLE, TRANSFERRING_OUTPUT

log = logging.getLogger(__name__)

VERSION = 13

_ONE_MORE = (
    "INSERT INTO counts VALUES"
    "(new.in_queue, new.pool, new.owner, new.status, new.worker<>'', 1) "
    "ON CONFLICT DO UPDATE SET number=number+1"
)
_ONE_LESS = (
    "UPDATE counts SET number=number-1 WHERE in_queue=old.in_queue AND pool=old.pool "
    "AND owner=old.owner AND status=old.status AND busy=(old.worker<>'')"
)
_SCHEMA = f"""
CREATE TABLE jobs(
    cluster INTEGER NOT NULL, proc INTEGER NOT NULL, owner TEXT NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, pool TEXT NOT NULL, status INTEGER NOT NULL,
    attempt INTEGER NOT NULL, queued INTEGER NOT NULL, worker TEXT NOT NULL,
    ended INTEGER NOT NULL, losses INTEGER NOT NULL, lease REAL NOT NULL,
    has_result INTEGER NOT NULL, in_queue INTEGER NOT NULL, left_at REAL NOT NULL,
    life TEXT NOT NULL, failed_starts INTEGER NOT NULL, version INTEGER NOT NULL,
    submitted INTEGER NOT NULL, recorded INTEGER NOT NULL, dead_letters INTEGER NOT NULL,
    changes INTEGER, has_policy INTEGER NOT NULL,
    qdate TEXT, batch TEXT, procs TEXT, cmd TEXT, columns_match INTEGER NOT NULL,
    dictionary INTEGER, ad BLOB NOT NULL, PRIMARY KEY(cluster, proc));
CREATE INDEX jobs_queue ON jobs(cluster, proc) WHERE in_queue=1;
CREATE INDEX jobs_to_queue ON jobs(cluster)
    WHERE in_queue=1 AND status={IDLE} AND queued=0;
CREATE INDEX jobs_to_deliver ON jobs(cluster) WHERE in_queue=1 AND status={TRANSFERRING_OUTPUT};
CREATE INDEX jobs_policy ON jobs(cluster, proc) WHERE in_queue=1 AND has_policy=1;
CREATE INDEX jobs_worked ON jobs(cluster, proc, lease)
    WHERE in_queue=1 AND worker<>'';
CREATE INDEX jobs_left ON jobs(left_at, cluster, proc) WHERE in_queue=0;
CREATE INDEX jobs_left_of_owner ON jobs(owner, left_at, cluster, proc) WHERE in_queue=0;
CREATE TABLE counts(
    in_queue INTEGER NOT NULL, pool TEXT NOT NULL, owner TEXT NOT NULL, status INTEGER NOT NULL,
    busy INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY(in_queue, pool, owner, status, busy)) WITHOUT ROWID;
CREATE TRIGGER jobs_more AFTER INSERT ON jobs BEGIN {_ONE_MORE}; END;
CREATE TRIGGER jobs_less AFTER DELETE ON jobs BEGIN {_ONE_LESS}; END;
CREATE TRIGGER jobs_other AFTER UPDATE ON jobs
    WHEN new.status<>old.status OR (new.worker<>'')<>(old.worker<>'')
        OR new.in_queue<>old.in_queue OR new.owner<>old.owner OR new.pool<>old.pool
    BEGIN {_ONE_LESS}; {_ONE_MORE}; END;
CREATE TABLE changes(id INTEGER PRIMARY KEY, text BLOB NOT NULL);
CREATE TABLE dictionaries(id INTEGER PRIMARY KEY, text BLOB NOT NULL);
CREATE TABLE bodies(cluster INTEGER, proc INTEGER, kind TEXT, dictionary INTEGER,
    body BLOB NOT NULL, PRIMARY KEY(cluster, proc, kind));
CREATE INDEX bodies_output ON bodies(cluster, proc) WHERE kind='output';
CREATE TABLE waiting_log(
    id INTEGER PRIMARY KEY, cluster INTEGER NOT NULL, proc INTEGER NOT NULL, text BLOB NOT NULL);
CREATE INDEX waiting_log_job ON waiting_log(cluster, proc);
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
TABLES = ("jobs", "counts", "changes", "dictionaries", "bodies", "waiting_log", "meta")
#: KiB of the file that the writer keeps in memory.
_CACHE = 16 * 1024
#: Pages (4 KiB) after which the log goes into the file.
_CHECKPOINT = 4000


#: What the stream does not tell, and is taken over into a new ledger: used cluster ids, clusters
#: whose submit failed, and the schedd's name.
_TAKEN_OVER = ("next_cluster", "refused", "schedd")


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open the ledger for its writer, and make it where there is none.

    Raises sqlite3.OperationalError and OSError where the disk is at fault.
    """
    meta: list[tuple[str, str]] = []
    try:
        with contextlib.ExitStack() as opened:
            db = _connect(path)
            opened.callback(db.close)
            version = _version(db)
            if version == VERSION:
                _check_schema(db)
                _check_rows(db)
                _check_meta(db)
            if version in (None, VERSION):
                opened.pop_all()
                return db if version else _created(db)
            with contextlib.suppress(sqlite3.DatabaseError):
                _check_meta(db)
                query = "SELECT name, value FROM meta WHERE name IN (?,?,?)"
                meta = db.execute(query, _TAKEN_OVER).fetchall()
        _put_aside(path, f"schema-{version}" if version else "damaged")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        _put_aside(path, "damaged")
    db = _created(_connect(path))
    db.executemany("INSERT INTO meta VALUES(?,?)", meta)
    return db


def is_damage(error: Exception) -> bool:
    """Return whether an error of the ledger is of its content, and not of the disk."""
    return type(error) is sqlite3.DatabaseError or (
        # a text that is no UTF-8; the module has no class for it
        isinstance(error, sqlite3.OperationalError) and str(error).startswith("Could not decode")
    )


def _check_schema(db: sqlite3.Connection) -> None:
    """Raise DatabaseError where a table, an index or a trigger is not ours, or is missing."""
    query = (
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 1, 2"
    )
    with contextlib.closing(_created(sqlite3.connect(":memory:"))) as ours:
        if db.execute(query).fetchall() != ours.execute(query).fetchall():
            raise sqlite3.DatabaseError("the ledger has other tables than it was made with")


def _check_rows(db: sqlite3.Connection) -> None:
    """Raise DatabaseError where SQLite took a value that no writer of ours gives it.

    A column takes values of any type, and one row with another type than its column's would stop
    the schedd, or everybody's queries.
    """
    for table in TABLES:
        wrong = [
            f"typeof({name})<>'{kind.lower()}'{'' if not_null else f' AND {name} IS NOT NULL'}"
            for _place, name, kind, not_null, _default, _key in db.execute(
                f"PRAGMA table_info({table})"
            )
        ]
        if table == "jobs":
            wrong.append("in_queue NOT IN (0, 1) OR status NOT BETWEEN 1 AND 7")
        _refuse_any(db, table, f"SELECT 1 FROM {table} WHERE {' OR '.join(wrong)}")  # noqa: S608
    _refuse_any(
        db, "counts",
        "SELECT 1 FROM (SELECT in_queue, pool, owner, status, worker<>'' AS busy, 1 AS number "
        "FROM jobs UNION ALL SELECT in_queue, pool, owner, status, busy, -number FROM counts) "
        "GROUP BY in_queue, pool, owner, status, busy HAVING sum(number)<>0",
    )  # fmt: skip


def _refuse_any(db: sqlite3.Connection, table: str, query: str) -> None:
    if db.execute(f"{query} LIMIT 1").fetchone() is not None:
        raise sqlite3.DatabaseError(f"a row of the ledger's table {table} is damaged")


def _check_meta(db: sqlite3.Connection) -> None:
    """Raise DatabaseError where a named value is not what it can be: nothing else would tell."""
    for name, value in db.execute("SELECT name, value FROM meta"):
        try:
            if name in ("offset", "marked"):
                int(value)
            elif name == "next_cluster":
                # the stream would be told of it, and every ledger that is made from that
                check_next_cluster(int(value))
            elif name == "refused":
                list(map(int, json.loads(value)))
            elif name == "checkpoints":
                {int(offset): str(digest) for offset, digest in json.loads(value)}
            elif name == "age" and value:
                _bytes, marks = json.loads(value)
                [(int(offset), float(time), int(size)) for offset, time, size in marks]
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise sqlite3.DatabaseError(f"{name} in the ledger is damaged") from error


def delete_damaged(path: Path) -> None:
    """Delete the damaged files that ``open_ledger`` has renamed: the new ledger is complete."""
    for damaged in path.parent.glob(f"{path.name}.damaged-*"):
        with contextlib.suppress(OSError):
            damaged.unlink()
            log.warning("deleted %s: the ledger has been made again from the stream", damaged)


def _put_aside(path: Path, why: str) -> None:
    former = path.with_name(f"{path.name}.{why}-{time.time_ns()}")
    log.warning(
        "the ledger %s is %s: renamed to %s; it is made again from the stream",
        path, "damaged" if why == "damaged" else "of another version", former.name,
    )  # fmt: skip
    path.rename(former)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(str(path) + suffix).unlink()


def _connect(path: Path) -> sqlite3.Connection:
    # it holds job messages, and these hold proxies
    os.close(open_regular(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        # a power cut may cost the last moments: they are in the stream
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"PRAGMA cache_size=-{_CACHE}")
        db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT}")
        if (bad := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(bad)
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int | None:
    """Return the version of the schema; None of a new file, 0 of one that is marked as damaged."""
    if db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        return None
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _created(db: sqlite3.Connection) -> sqlite3.Connection:
    db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
    return db


def mark_as_damaged(db: sqlite3.Connection) -> None:
    """Let the ledger be made again at the next start."""
    db.execute("PRAGMA user_version=0")
