"""Queries on the embedded broker's queues and stream, within the caller's transaction.

What is read is cast: SQLite takes values of any type in any column, and one damaged row must be one
message that cannot be read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from thyme.broker import routing_keys
from thyme.broker.base import DeadLetter, Retention, make_dead_letter_id


def enqueue(db: sqlite3.Connection, pool: str, bodies: Sequence[bytes]) -> None:
    """Put messages into the pool's queue and the stream.

    ``bodies``: encoded job messages, in this order.
    """
    db.executemany("INSERT INTO queue(pool, body) VALUES(?, ?)", [(pool, b) for b in bodies])
    append(db, [(b, routing_keys.make_submit_key(pool), "") for b in bodies])


def append(db: sqlite3.Connection, entries: Sequence[tuple[bytes, str, str]]) -> None:
    """Append records to the stream. ``entries``: body, key and reason of each."""
    now = time.time()
    db.executemany(
        "INSERT INTO stream(time, body, key, reason) VALUES(?, ?, ?, ?)",
        [(now, *entry) for entry in entries],
    )


def trim_stream(db: sqlite3.Connection, retention: Retention, limit: int) -> None:
    """Delete at most ``limit`` of the oldest records: those that are too old, or too many.

    ``retention``: how old (s) and how many (bytes) records may be.
    """
    sizes = ("page_count", "freelist_count", "page_size")
    pages, free, page = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in sizes)
    too_many = (pages - free) * page > retention.bytes
    db.execute(
        "DELETE FROM stream WHERE offset IN (SELECT offset FROM stream ORDER BY offset LIMIT ?) "
        "AND (time<? OR ?)",
        (limit, time.time() - retention.seconds, too_many),
    )


def find_first_free(db: sqlite3.Connection, pool: str) -> tuple[int, bytes, int] | None:
    """Return id, body and number of deliveries of the oldest message that nobody has taken."""
    row: tuple[int, bytes, int] | None = db.execute(
        "SELECT id, CAST(body AS BLOB), CAST(deliveries AS INTEGER) FROM queue "
        "WHERE pool=? AND owner IS NULL ORDER BY id LIMIT 1",
        (pool,),
    ).fetchone()
    return row


def move_to_dead_letters(db: sqlite3.Connection, tag: int, reason: str) -> None:
    """Move a queued message to the dead letters, and record that in the stream.

    ``tag``: of the message in the queue; ``reason``: why no worker could run it.
    """
    query = "SELECT pool, CAST(body AS BLOB) FROM queue WHERE id=?"
    for pool, body in db.execute(query, (tag,)).fetchall():
        db.execute(
            "INSERT INTO dead(time, pool, reason, body) VALUES(?, ?, ?, ?)",
            (time.time(), pool, reason, body),
        )
        append(db, [(body, routing_keys.make_dead_key(pool), reason)])
    db.execute("DELETE FROM queue WHERE id=?", (tag,))


def list_dead_letters(db: sqlite3.Connection) -> list[tuple[int, DeadLetter]]:
    """Return each dead letter with its row's id, oldest first."""
    found = db.execute(
        "SELECT id, CAST(body AS BLOB), CAST(reason AS TEXT), CAST(time AS REAL), "
        "CAST(pool AS TEXT) FROM dead ORDER BY id"
    ).fetchall()
    return [
        (row, DeadLetter(body, reason, when, pool, make_dead_letter_id(pool, body)))
        for row, body, reason, when, pool in found
    ]


def requeue(db: sqlite3.Connection, ids: Sequence[str] | None) -> int:
    """Submit the dead letters of these ids (None: all) again; return how many."""
    chosen = [(row, one) for row, one in list_dead_letters(db) if ids is None or one.id in ids]
    for row, letter in chosen:
        db.execute("DELETE FROM dead WHERE id=?", (row,))
        enqueue(db, letter.pool, [letter.body])
    return len(chosen)
