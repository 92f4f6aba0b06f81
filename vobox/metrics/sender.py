"""Sending of the schedd's series in a thread of its own: no command waits for it."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from commandline.parser import read_version
from telemetry.points import Point, Value
from telemetry.reporter import Reporter
from telemetry.rounds import Rounds
from thyme.broker.lanes import get_pool
from vobox.jobs.status import IDLE
from vobox.jobs.transitions import DEAD_LETTER

from .points import PoolNow, PoolTally, ScheddNow, Tally, pool_points, schedd_point

log = logging.getLogger(__name__)

#: Seconds between two points of each series.
INTERVAL: Final = 30.0


class Metrics:
    """The maker and sender of points.

    ``now`` tells of the schedd; ``clock``: monotonic seconds, ``wall``: seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        site: str,
        ledger: Path,
        tally: Tally,
        now: Callable[[], ScheddNow],
        reporter: Reporter,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._tags = {"schedd": name, "site": site}
        self._ledger, self._tally, self._now = ledger, tally, now
        self._interval, self._clock, self._wall = interval, clock, wall
        self.reporter = reporter
        self._began = clock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        #: by pool, the reasons that held jobs have had: those that none has now are told as 0
        self._reasons: defaultdict[str, set[str]] = defaultdict(set)

    def start(self) -> None:
        """Start the thread that sends the points."""
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what happened since the last points, and end."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(10.0)
            self.round()
        self.reporter.close()

    def _run(self) -> None:
        rounds = Rounds(self._wall())
        while not self._end.wait(self._interval - self._wall() % self._interval):
            if (moment := rounds.due(self._interval, self._wall())) is None:
                continue
            try:
                self.round(moment)
            except Exception:
                # a bug in the figures must not end them for ever
                log.exception("metrics: this round is left out")

    def round(self, moment: float | None = None) -> list[Point]:
        """Make and send the points of a moment (seconds since 1970; None: now)."""
        now, happened = self._now(), self._tally.take()
        wall = self._wall() if moment is None else moment
        # a ledger that is being made tells of a moment long ago
        states, busy, jobs, oldest = (None,) * 4 if now.rebuilding else self._counts()
        made: list[Point] = []
        waiting: dict[str, int] = {}
        for slot in now.waiting:
            waiting[slot.pool] = waiting.get(slot.pool, 0) + 1
        for pool, reason in now.held or {}:
            self._reasons[pool].add(reason)
        for pool in sorted({now.pool, *happened.pools, *(states or {}), *self._reasons}):
            held = None
            if now.held is not None:
                held = {name: now.held.get((pool, name), 0) for name in self._reasons[pool]}
            current = PoolNow(
                states.get(pool, {}) if states is not None else None,
                now.queued if pool == now.pool else None,
                waiting.get(pool, 0) if now.broker_ok else None,
                busy.get(pool, 0) if busy is not None else None,
                held,
            )
            tally = happened.pools.get(pool, PoolTally())
            made += pool_points(self._tags, pool, current, tally, wall)
        put_aside = None
        if now.held is not None:
            put_aside = sum(n for (_, reason), n in now.held.items() if reason == DEAD_LETTER)
        values: dict[str, Value | None] = {
            "uptime": self._clock() - self._began,
            "jobs": jobs,
            "broker_ok": now.broker_ok,
            "rebuilding": now.rebuilding,
            "unreadable": now.unreadable,
            "forged": now.forged,
            "put_aside": put_aside,
            "oldest_idle": None if oldest is None else max(0.0, wall - oldest),
            "rss": rss(),
            "version": read_version(),
        }
        if (one := schedd_point(self._tags, happened, values, wall)) is not None:
            made.append(one)
        return self.reporter.report(made)

    def _counts(
        self,
    ) -> tuple[dict[str, dict[int, int]] | None, dict[str, int] | None, int | None, float | None]:
        """Count the ledger's jobs.

        Returns by pool the jobs of each JobStatus, by pool those with a worker, the number of all,
        and when the first idle one was submitted (seconds since 1970).  None: not known, or none.
        """
        try:
            # a connection of this round: the file may be another one after a rebuild
            address = f"{self._ledger.absolute().as_uri()}?mode=ro"
            db = sqlite3.connect(address, uri=True, timeout=5.0)
        except sqlite3.Error as error:
            log.warning("metrics: %s: %s", self._ledger, error)
            return None, None, None, None
        try:
            rows = db.execute(
                "SELECT in_queue, pool, status, busy, number FROM counts WHERE number>0"
            ).fetchall()
            # in the order of an index: the first one is found at once, where there is one
            is_any_idle = any(row[0] and row[2] == IDLE for row in rows)
            first = (
                is_any_idle
                and db.execute(
                    "SELECT qdate FROM jobs WHERE in_queue=1 AND status=? "
                    "ORDER BY cluster, proc LIMIT 1",
                    (IDLE,),
                ).fetchone()
            )
        except sqlite3.Error as error:
            log.warning("metrics: %s: %s", self._ledger, error)
            return None, None, None, None
        finally:
            db.close()
        states: dict[str, dict[int, int]] = {}
        busy: dict[str, int] = {}
        for in_queue, queue, status, is_busy, number in rows:
            if in_queue:
                pool = get_pool(queue)
                of_pool = states.setdefault(pool, {})
                of_pool[status] = of_pool.get(status, 0) + number
                busy[pool] = busy.get(pool, 0) + number * is_busy
        return states, busy, sum(row[-1] for row in rows), float(first[0]) if first else None


def rss() -> int | None:
    """Return the resident bytes of this process (/proc/self/statm, proc(5)); None: not known."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGESIZE")
