"""The slots of condor_status: one for each worker that waits or works.

A worker that waits says so to every schedd of its pool (``Waiting``), again
and again; one that works says what its machine is with its heartbeats. Nothing
of it is stored: a schedd that starts again knows all of them after one
interval. What runs where is the ledger's to say; here is only what the ledger
cannot know. No clock and no I/O: ``now`` is monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from thyme.protocol.mail import Heartbeat, Machine, Waiting

#: A worker silent for so many of its own intervals is gone.
MISSED: Final = 3
#: Seconds. Whatever a worker says its interval is, it is not remembered for a day.
LONGEST_INTERVAL: Final = 1200.0
SHORTEST_INTERVAL: Final = 1.0
#: Seconds that the machine of a worker that works is remembered without a heartbeat.
BUSY_KEPT: Final = 3600.0
#: Seconds between looks for slots to forget.
SWEEP: Final = 30.0
#: Slots. A worker that invents names must not fill the memory (400 bytes each).
MOST: Final = 200_000


@dataclass(frozen=True)
class Slot:
    """``worker``: its address; ``host``: HTCondor's name of the slot, ``slot1_7@node``.

    ``since``: when it began to wait, epoch seconds; ``jobs``: how many it has run;
    ``until``: when to forget it. One that does not wait works, or was told to.
    """

    worker: str
    host: str
    pool: str
    machine: Machine | None
    since: float
    jobs: int
    is_waiting: bool
    until: float


class Slots:
    """One thread writes; ``waiting`` and ``machine`` may be called from any."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._next_sweep = 0.0

    def waits(self, news: Waiting, now: float) -> None:
        self._sweep(now)
        if news.leaving:
            self._slots.pop(news.worker, None)
            return
        interval = min(max(news.interval, SHORTEST_INTERVAL), LONGEST_INTERVAL)
        self._put(
            Slot(
                news.worker, news.host, news.pool, news.machine, news.since, news.jobs,
                is_waiting=True, until=now + MISSED * interval,
            )
        )  # fmt: skip

    def works(self, beat: Heartbeat, now: float) -> None:
        self._sweep(now)
        known = self._slots.get(beat.worker)
        machine = beat.machine or (known.machine if known else None)
        self._put(
            Slot(
                beat.worker, beat.host, "", machine, 0.0, 0, is_waiting=False, until=now + BUSY_KEPT
            )
        )

    def taken(self, worker: str, now: float) -> None:
        """It was told to start a job."""
        known = self._slots.get(worker)
        if known is not None and known.is_waiting:
            self._put(
                Slot(
                    worker, known.host, "", known.machine, 0.0, 0,
                    is_waiting=False, until=now + BUSY_KEPT,
                )
            )  # fmt: skip

    def waiting(self, now: float) -> list[Slot]:
        """Those who wait for a job, as far as is known."""
        return [slot for slot in list(self._slots.values()) if slot.is_waiting and slot.until > now]

    def machine(self, worker: str) -> Machine | None:
        """The machine of a worker that waits or works; None if it was never told."""
        known = self._slots.get(worker)
        return known.machine if known else None

    def __len__(self) -> int:
        return len(self._slots)

    def _put(self, slot: Slot) -> None:
        if slot.worker in self._slots or len(self._slots) < MOST:
            self._slots[slot.worker] = slot

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP
        for worker in [each.worker for each in self._slots.values() if each.until <= now]:
            del self._slots[worker]
