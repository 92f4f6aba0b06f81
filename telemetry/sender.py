"""Sending in the background: a thread, a buffer and a back-off for each target."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .buffer import CAPACITY, Buffer
from .influx import BatchTooLarge, Database, Influx, PointsRefused, TargetAway
from .points import Point
from .targets import Target

#: Points in one request.
BATCH = 2000
#: Seconds to the next try after a failure; doubled with each, up to the second. That is short, as
#: until then a database which is back finds the node silent, and Grafana's alert waits for two
#: minutes.
RETRY, RETRY_MAX = 5.0, 60.0
#: Reasons that are logged while a target cannot be used: a text may hold what changes each time.
MOST_REASONS = 10
#: Seconds that an ending program gives a target to take what is left.
LAST_WORDS = 3.0


@dataclass(frozen=True)
class TargetState:
    """The state of sending to one target; ``problem`` is "" when all is well."""

    name: str
    waiting: int
    sent: int
    dropped: int
    failures: int
    problem: str


class TargetSender:
    """The sender to one target.  ``add`` and ``flush`` never wait."""

    def __init__(
        self,
        target: Target,
        log: logging.Logger,
        open_database: Callable[[Target], Database] = Influx,
        capacity: int = CAPACITY,
        retry: tuple[float, float] = (RETRY, RETRY_MAX),
    ) -> None:
        self.target = target
        self._log, self._retry = log, retry
        self._database = open_database(target)
        self._buffer = Buffer(capacity)
        #: points in one request: fewer where the target, or a proxy, takes no such request
        self._most = BATCH
        self._go = threading.Event()
        self._ending = threading.Event()
        self._sent = self._failures = 0
        self._problem = ""
        #: why the target could not be used since it last could: each reason is logged once
        self._reasons: set[str] = set()
        #: what was logged of the last points that were refused: not again with each round
        self._refusal = ""
        self._told_dropped = 0
        self._thread = threading.Thread(
            target=self._run, name=f"metrics {target.name}", daemon=True
        )
        self._thread.start()

    @property
    def state(self) -> TargetState:
        """What is waiting for this target, what was sent, and what is wrong."""
        return TargetState(
            self.target.name,
            len(self._buffer),
            self._sent,
            self._buffer.dropped,
            self._failures,
            self._problem,
        )

    def copy_waiting(self) -> list[Point]:
        """Return what has not arrived, as far as is known; the database takes a point twice."""
        return self._buffer.copy()

    def add(self, points: Iterable[Point]) -> None:
        """Add points to what is to be sent."""
        self._buffer.add(points)

    def flush(self) -> None:
        """Send what there is soon, or after the pause of a failure."""
        self._go.set()

    def close(self, wait: float) -> None:
        """Try once more to send what is left, for at most ``wait`` seconds."""
        self._ending.set()
        self._go.set()
        self._thread.join(wait)

    def _run(self) -> None:
        failed = 0
        while True:
            self._go.wait()
            self._go.clear()
            last = self._ending.is_set()
            while len(self._buffer):
                if self._send_one():
                    failed = 0
                    continue
                failed += 1
                if last:
                    break
                first, most = self._retry
                pause = min(most, first * 2.0 ** min(failed - 1, 10))
                # 2,000 nodes must not come back to a server at the same moment
                last = self._ending.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311
            if last:
                self._database.close()
                return

    def _send_one(self) -> bool:
        batch: Sequence[Point] = self._buffer.batch(self._most)
        try:
            self._database.write(batch)
        except TargetAway as error:
            self._buffer.back()
            self._failures += 1
            if isinstance(error, BatchTooLarge) and len(batch) > 1:
                self._most = len(batch) // 2
                return True
            self._tell(str(error))
            return False
        except PointsRefused as error:
            lost = len(batch) if error.lost is None else min(error.lost, len(batch))
            self._buffer.refused(lost)
            self._sent += len(batch) - lost
            self._failures += 1
            if str(error) != self._refusal:
                self._refusal = str(error)
                self._log.error("metrics: %d points were refused: %s", lost, error)
            return True
        except Exception as error:
            # a bug must neither end this thread in silence nor keep its points for ever
            self._buffer.refused()
            self._failures += 1
            self._log.exception("metrics: %s: %d points dropped", self.target.name, len(batch))
            self._tell(f"{self.target.name}: {type(error).__name__}")
            return True
        self._buffer.done()
        self._sent += len(batch)
        self._tell("")
        return True

    def _tell(self, problem: str) -> None:
        """Log each reason of a problem once, and once that it is over."""
        if problem and problem not in self._reasons and len(self._reasons) < MOST_REASONS:
            self._reasons.add(problem)
            self._log.warning("metrics cannot be sent, and are kept for a while: %s", problem)
        elif self._problem and not problem:
            lost = self._buffer.dropped - self._told_dropped
            self._told_dropped = self._buffer.dropped
            self._log.info("metrics go to %s again; %d points lost", self.target.name, lost)
            self._reasons.clear()
        self._problem = problem


class Senders:
    """The senders to all targets of a program; follows its configuration."""

    def __init__(
        self,
        log: logging.Logger,
        new: Callable[[Target, logging.Logger], TargetSender] = TargetSender,
    ) -> None:
        self._log, self._new = log, new
        self._senders: dict[Target, TargetSender] = {}

    def follow(self, targets: Iterable[Target]) -> None:
        """Send there from now on, and nowhere else.

        What waits for a database goes on waiting where only the user, the password or the kind of
        connection is another one; what waits for others is given up.
        """
        wanted, waiting = dict.fromkeys(targets), {}
        for target in [one for one in self._senders if one not in wanted]:
            gone = self._senders.pop(target)
            waiting[target.name] = gone.copy_waiting()
            gone.close(0.0)
        for target in wanted:
            if target not in self._senders:
                self._senders[target] = self._new(target, self._log)
                self._senders[target].add(waiting.get(target.name, ()))

    def send(self, points: Sequence[Point]) -> None:
        """Give the points to every target's thread; returns at once."""
        for sender in self._senders.values():
            sender.add(points)
            sender.flush()

    def states(self) -> list[TargetState]:
        """Return the state of every target."""
        return [sender.state for sender in self._senders.values()]

    def close(self, wait: float = LAST_WORDS) -> None:
        """Stop the threads; ``wait``: seconds that they have to send what is left."""
        deadline = time.monotonic() + wait
        for sender in self._senders.values():
            sender.close(0.0)
        for sender in self._senders.values():
            sender.close(max(0.0, deadline - time.monotonic()))
        self._senders.clear()
