"""The embedded broker: one SQLite file in WAL mode, shared by the processes of one machine.

A process's life stands for its connection: each holds a lock (``flock``) on a
file of its own beside the database, which the kernel gives up when the
process ends in any way. What a dead process had taken is free again, and its
inboxes are gone, as soon as another one looks.

What is published is on the disk (``synchronous=FULL``) before the call
returns. Taking, acknowledging and mail are only written (``NORMAL``): after a
power cut a message may come again, which the claim sorts out; none is lost.

Waiting looks at SQLite's ``data_version`` (2 us a look), often while things
happen and 40 times a second when nothing does.
"""

from __future__ import annotations

import contextlib
import select
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Sequence

from thyme.broker import routing_keys
from thyme.broker.base import (
    TAKEN_TOO_OFTEN,
    DeadLetter,
    Delivery,
    Mail,
    QueueState,
    Record,
    Retention,
    Transport,
)
from thyme.broker.wakeup import Wakeup
from thyme.errors import InboxTaken

from . import queries
from .connection import Connection

#: Deliveries after which a message is a dead letter: each worker that took it died.
DELIVERY_LIMIT = 20
#: Seconds between looks for what dead processes had taken.
RECLAIM_INTERVAL = 0.5
#: What is kept of the stream; the bytes are those of the whole file.
RETENTION = Retention()
#: Seconds between two removals of old records, and records that one removes.
TRIM_INTERVAL = 60.0
TRIM_RECORDS = 10_000
#: Seconds between looks at data_version: while busy, and at rest.
POLL_MIN, POLL_MAX = 0.001, 0.025
#: Mail that nobody fetched for this many seconds is thrown away.
MAIL_TTL = 3600.0


class SqliteTransport(Transport):
    """One connection to the embedded broker."""

    def __init__(self, path: str) -> None:
        """``path``: the database; its directory must exist and be writable."""
        self._next_reclaim = 0.0
        self._next_trim = 0.0
        self._poll = POLL_MIN
        self._closed = False
        self._received: deque[Mail] = deque()
        self._wakeup = Wakeup()
        try:
            self._connection = Connection(path)
        except BaseException:
            self._wakeup.close()
            raise
        self._process_lock = self._connection.process_lock
        self._owner = self._process_lock.name

    def declare_topology(self, pools: Sequence[str]) -> None:
        """Check the broker's file; its tables hold the queues of all pools."""
        self._connection.check_file()  # all else is in the file from the start

    # --- publishing -----------------------------------------------------------------

    def submit(self, pool: str, bodies: Iterable[bytes]) -> None:
        """Put messages into a pool's queue and the stream, in one transaction on the disk."""
        bodies = list(bodies)  # a generator may read meanwhile
        with self._connection.writing(durable=True) as db:
            queries.enqueue(db, pool, bodies)
            self._trim(db)

    def record(self, bodies: Sequence[bytes]) -> None:
        """Append events to the stream, in this order, in one transaction on the disk."""
        with self._connection.writing(durable=True) as db:
            queries.append(db, [(b, routing_keys.make_event_key(b), "") for b in bodies])
            self._trim(db)

    def _trim(self, db: sqlite3.Connection) -> None:
        if time.monotonic() >= self._next_trim:
            self._next_trim = time.monotonic() + TRIM_INTERVAL
            queries.trim_stream(db, RETENTION, TRIM_RECORDS)

    # --- job queue ------------------------------------------------------------------

    def take(self, pool: str, listen: bool = True) -> Delivery | None:
        """Take the oldest free message of the pool's queue, or return None at once."""
        self._reclaim()
        with self._connection.reading() as db:
            # look before asking for the write lock: most looks of an idle worker find nothing
            free = "SELECT 1 FROM queue WHERE pool=? AND owner IS NULL LIMIT 1"
            if not db.execute(free, (pool,)).fetchone():
                return None
        with self._connection.writing(durable=False) as db:
            row = queries.find_first_free(db, pool)
            if row is None:
                return None
            tag, body, deliveries = row
            if deliveries >= DELIVERY_LIMIT:
                queries.move_to_dead_letters(db, tag, f"delivered {deliveries} {TAKEN_TOO_OFTEN}")
                return None
            db.execute(
                "UPDATE queue SET owner=?, deliveries=deliveries+1 WHERE id=?", (self._owner, tag)
            )
        return Delivery(tag, body, redelivered=deliveries > 0)

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a message: it is removed."""
        with self._connection.writing(durable=False) as db:
            db.execute("DELETE FROM queue WHERE id=? AND owner=?", (delivery.tag, self._owner))

    def requeue(self, delivery: Delivery) -> None:
        """Give a message back to the head of its queue."""
        with self._connection.writing(durable=False) as db:
            db.execute(
                "UPDATE queue SET owner=NULL WHERE id=? AND owner=?", (delivery.tag, self._owner)
            )

    def reject(self, delivery: Delivery, reason: str) -> None:
        """Move a message to the dead letters, with the reason, and record that in the stream."""
        with self._connection.writing(durable=True) as db:
            queries.move_to_dead_letters(db, delivery.tag, reason)

    def count_ready(self, pool: str) -> int:
        """Return how many messages of the pool's queue no process has taken."""
        with self._connection.reading() as db:
            row = db.execute(
                "SELECT count(*) FROM queue WHERE pool=? AND owner IS NULL", (pool,)
            ).fetchone()
        return int(row[0])

    # --- for the operator -----------------------------------------------------------

    def get_queue_state(self, pool: str) -> QueueState:
        """Return the state of the pool's queue; how many wait for its messages is unknown."""
        return QueueState(self.count_ready(pool), None)

    def get_dead_letter_state(self) -> QueueState:
        """Return how many dead letters there are."""
        return self._count("SELECT count(*) FROM dead")

    def get_stream_state(self) -> QueueState:
        """Return how many records the stream has."""
        return self._count("SELECT count(*) FROM stream")

    def _count(self, query: str) -> QueueState:
        with self._connection.reading() as db:
            return QueueState(int(db.execute(query).fetchone()[0]), None)

    def list_dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first; they stay."""
        with self._connection.reading() as db:
            return [letter for _row, letter in queries.list_dead_letters(db)]

    def requeue_dead_letters(self, ids: Sequence[str] | None = None) -> int:
        """Submit the dead letters of these ids (None: all) again; return how many."""
        with self._connection.writing(durable=True) as db:
            return queries.requeue(db, ids)

    def purge_queue(self, pool: str) -> int:
        """Delete the free messages of the pool's queue; return how many. The stream stays."""
        with self._connection.writing(durable=True) as db:
            return db.execute("DELETE FROM queue WHERE pool=? AND owner IS NULL", (pool,)).rowcount

    def purge_dead_letters(self) -> int:
        """Delete the dead letters; return how many."""
        with self._connection.writing(durable=True) as db:
            return db.execute("DELETE FROM dead").rowcount

    def _reclaim(self) -> None:
        """Free what dead processes had taken, and delete their inboxes."""
        if time.monotonic() < self._next_reclaim:
            return
        self._next_reclaim = time.monotonic() + RECLAIM_INTERVAL
        self._connection.check_file()
        with self._connection.reading() as db:
            owners = db.execute(
                "SELECT owner FROM queue WHERE owner IS NOT NULL UNION SELECT owner FROM inbox"
            ).fetchall()
        dead = [(owner,) for (owner,) in owners if not self._process_lock.is_alive(owner)]
        if dead:
            with self._connection.writing(durable=False) as db:
                db.executemany("UPDATE queue SET owner=NULL WHERE owner=?", dead)
                db.executemany("DELETE FROM inbox WHERE owner=?", dead)
                db.execute("DELETE FROM listener WHERE inbox NOT IN (SELECT name FROM inbox)")

    # --- stream ---------------------------------------------------------------------

    def read(self, after: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records with an offset over ``after`` (-1: all); may be []."""
        with self._connection.reading() as db:
            rows = db.execute(
                "SELECT offset, CAST(time AS REAL), CAST(body AS BLOB), CAST(key AS TEXT), "
                "CAST(reason AS TEXT) FROM stream WHERE offset > ? "
                "ORDER BY offset LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Record(*row) for row in rows]

    def get_first_offset(self) -> int:
        """Return the offset of the oldest record that the stream has; -1: none."""
        with self._connection.reading() as db:
            (first,) = db.execute("SELECT MIN(offset) FROM stream").fetchone()
        return -1 if first is None else int(first)

    def get_retention(self) -> Retention:
        """Return how long, and up to how many bytes, the stream keeps its records."""
        return RETENTION

    # --- mail -----------------------------------------------------------------------

    def open_inbox(self, name: str, pools: Sequence[str] = ()) -> None:
        """Receive mail under this name, and what is announced to ``pools``, until ``close``."""
        with self._connection.writing(durable=False) as db:
            row = db.execute("SELECT owner FROM inbox WHERE name=?", (name,)).fetchone()
            if row and row[0] != self._owner:
                if self._process_lock.is_alive(row[0]):
                    text = f"another living process already answers as {name!r}"
                    raise InboxTaken(f"broker {self._connection.path}: {text}", 0.0)
                db.execute("DELETE FROM mail WHERE inbox=?", (name,))
            db.execute(
                "INSERT OR REPLACE INTO inbox(name, owner) VALUES(?, ?)", (name, self._owner)
            )
            db.execute("DELETE FROM listener WHERE inbox=?", (name,))
            db.executemany(
                "INSERT OR IGNORE INTO listener(pool, inbox) VALUES(?, ?)",
                [(pool, name) for pool in pools],
            )
            db.execute("DELETE FROM mail WHERE time < ?", (time.time() - MAIL_TTL,))

    def send(self, to: str, mail: Mail) -> bool:
        """Send mail; returns False when no living process has that inbox."""
        with self._connection.reading() as db:
            row = db.execute("SELECT owner FROM inbox WHERE name=?", (to,)).fetchone()
        if row is None or not self._process_lock.is_alive(row[0]):
            return False
        self._put_mail([to], mail)
        return True

    def request(self, to: str, mail: Mail) -> None:
        """Send mail that has a ``correlation``; it comes back where nobody has that inbox."""
        if not self.send(to, mail):
            self._received.append(mail)

    def announce(self, pool: str, mail: Mail) -> None:
        """Send mail to every inbox that listens to ``pool``; there may be none."""
        with self._connection.reading() as db:
            rows = db.execute("SELECT inbox FROM listener WHERE pool=?", (pool,)).fetchall()
        if rows:
            self._put_mail([inbox for (inbox,) in rows], mail)

    def _put_mail(self, inboxes: Sequence[str], mail: Mail) -> None:
        now = time.time()
        with self._connection.writing(durable=False) as db:
            db.executemany(
                "INSERT INTO mail(inbox, time, reply_to, correlation, body) VALUES(?, ?, ?, ?, ?)",
                [(to, now, mail.reply_to, mail.correlation, mail.body) for to in inboxes],
            )

    def receive(self) -> Mail | None:
        """Return the next mail of our inboxes, or None at once."""
        if not self._received:
            self._fetch_mail()
        return self._received.popleft() if self._received else None

    def _fetch_mail(self) -> None:
        """Fetch all mail in one transaction: mail may be lost with its reader."""
        query = (
            "SELECT mail.id, CAST(body AS BLOB), CAST(reply_to AS TEXT), "
            "CAST(correlation AS TEXT) FROM inbox JOIN mail ON inbox = name "
            "WHERE owner=? ORDER BY mail.id LIMIT 100"
        )
        with self._connection.reading() as db:
            rows = db.execute(query, (self._owner,)).fetchall()
        if rows:
            with self._connection.writing(durable=False) as db:
                db.executemany("DELETE FROM mail WHERE id=?", [(row[0],) for row in rows])
            self._received.extend(Mail(*row[1:]) for row in rows)

    # --- waiting --------------------------------------------------------------------

    def wait(self, timeout: float) -> None:
        """Return when the file has changed, on ``wake``, or after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            if self._connection.changed():
                self._poll = POLL_MIN
                return
            left = deadline - time.monotonic()
            if left <= 0:
                return
            # what a process had taken comes back without anybody writing
            pause = min(self._poll, left, max(self._next_reclaim - time.monotonic(), POLL_MIN))
            if select.select([self._wakeup.fileno], [], [], pause)[0]:
                self._wakeup.clear()
                return
            self._poll = min(self._poll * 1.2, POLL_MAX)
            self._reclaim()

    def wake(self) -> None:
        """End the present or the next ``wait``; for other threads and signal handlers."""
        self._wakeup.wake()

    def close(self) -> None:
        """Free what was taken, close the inboxes and the file; never raises."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception), self._connection.writing(durable=False) as db:
            mine = (self._owner,)
            db.execute("UPDATE queue SET owner=NULL WHERE owner=?", mine)
            db.execute(
                "DELETE FROM mail WHERE inbox IN (SELECT name FROM inbox WHERE owner=?)", mine
            )
            db.execute("DELETE FROM inbox WHERE owner=?", mine)
            db.execute("DELETE FROM listener WHERE inbox NOT IN (SELECT name FROM inbox)")
        self._connection.close()
        self._wakeup.close()
