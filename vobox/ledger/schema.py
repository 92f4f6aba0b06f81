"""The ledger's tables, and how its file is opened.

One row a job. What queries ask for most stands in columns of its own; the ad
itself is the difference from the *template* that jobs submitted alike share
(``templates.py``).
``plain`` says that the columns are exactly what the ad says, as ClassAd
literals: only then may a query read them instead of the ad. ``in_queue`` is in
partial indexes on itself, because SQLite reads the table for it otherwise.
``counts`` says how many jobs there are of each kind: triggers keep it, so that
it is right whatever is written, and whenever the writer ends.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from vobox.jobs.status import IDLE, TRANSFERRING_OUTPUT

VERSION = 7

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
    has_result INTEGER NOT NULL,
    in_queue INTEGER NOT NULL, left_at REAL NOT NULL, has_policy INTEGER NOT NULL,
    qdate INTEGER NOT NULL, batch TEXT, procs INTEGER, plain INTEGER NOT NULL,
    shape INTEGER NOT NULL, ad TEXT NOT NULL, PRIMARY KEY(cluster, proc));
CREATE INDEX jobs_columns
    ON jobs(cluster, proc, status, owner, qdate, batch, procs, shape, in_queue) WHERE in_queue=1;
CREATE INDEX jobs_not_plain ON jobs(cluster) WHERE plain=0;
CREATE INDEX jobs_to_queue ON jobs(cluster)
    WHERE in_queue=1 AND status={IDLE} AND queued=0;
CREATE INDEX jobs_to_deliver ON jobs(cluster) WHERE in_queue=1 AND status={TRANSFERRING_OUTPUT};
CREATE INDEX jobs_policy ON jobs(cluster, proc) WHERE in_queue=1 AND has_policy=1;
CREATE INDEX jobs_worked ON jobs(cluster, proc, attempt, lease, pool)
    WHERE in_queue=1 AND worker<>'';
CREATE INDEX jobs_left ON jobs(left_at, cluster, proc) WHERE in_queue=0;
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
CREATE TABLE templates(id INTEGER PRIMARY KEY AUTOINCREMENT, ad TEXT NOT NULL);
CREATE TABLE shapes(id INTEGER PRIMARY KEY AUTOINCREMENT, template INTEGER NOT NULL,
    names TEXT NOT NULL);
CREATE TABLE bases(id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE bodies(cluster INTEGER, proc INTEGER, kind TEXT, base INTEGER, body BLOB NOT NULL,
    PRIMARY KEY(cluster, proc, kind));
CREATE INDEX bodies_output ON bodies(cluster, proc) WHERE kind='output';
CREATE TABLE waiting_log(
    id INTEGER PRIMARY KEY, cluster INTEGER NOT NULL, proc INTEGER NOT NULL, text BLOB NOT NULL);
CREATE INDEX waiting_log_job ON waiting_log(cluster, proc);
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
TABLES = ("jobs", "counts", "templates", "shapes", "bases", "bodies", "waiting_log", "meta")
#: KiB of the file that the writer keeps in memory.
_CACHE = 16 * 1024
#: Pages (4 KiB) after which the log goes into the file.
_CHECKPOINT = 4000


def open_ledger(path: Path) -> sqlite3.Connection:
    """The writer's connection; tables of another version are thrown away.

    Raises sqlite3.DatabaseError for a file that is none, sqlite3.OperationalError
    and OSError where the disk is at fault.
    """
    # it holds job messages, and these hold proxies
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        # a power cut may cost the last moments: they are in the stream
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"PRAGMA cache_size=-{_CACHE}")
        db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT}")
        if (bad := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(bad)
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            for (table,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'"
            ).fetchall():
                db.execute(f"DROP TABLE {table}")
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db
