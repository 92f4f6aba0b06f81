"""The slots of condor_status: one for each worker that waits for a job or runs one.

A worker that waits announces itself to every schedd of its pool (``Waiting``), again
and again; one that runs a job describes its machine in its heartbeats. Nothing of it
is stored: a schedd that restarts knows all of them after one interval. The ledger
knows what runs where; here is only what it cannot know. No clock and no I/O: ``now``
is monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from thyme.protocol.events import Machine
from thyme.protocol.mail import Claim, Heartbeat, Waiting

#: A worker that is silent for so many of its own intervals is gone.
MAX_MISSED_INTERVALS: Final = 3
#: Seconds: bounds of the interval that a worker claims to have.
MAX_INTERVAL_SECONDS: Final = 1200.0
MIN_INTERVAL_SECONDS: Final = 1.0
#: Seconds that the machine of a worker with a job is remembered without a heartbeat.
BUSY_KEPT_SECONDS: Final = 3600.0
#: Seconds between removals of outdated slots.
SWEEP_SECONDS: Final = 30.0
#: Slots remembered: a worker that invents names must not fill the memory.
MAX_SLOTS: Final = 200_000


@dataclass(frozen=True)
class Slot:
    """A worker as a slot.

    ``worker``: its address; ``host``: HTCondor's name of the slot, ``slot1_7@node``;
    ``since``: when it began to wait, epoch seconds; ``jobs``: how many it has run;
    ``until``: when to forget it, monotonic seconds. A slot that does not wait has a job.
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
    """All slots. One thread writes; ``list_waiting`` and ``get_machine`` may be called from any."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._next_sweep = 0.0
        #: how many workers became known so far
        self.arrivals = 0

    def record_waiting(self, news: Waiting, now: float) -> None:
        """Remember a worker that announced that it waits; forget one that leaves."""
        self._sweep(now)
        if news.leaving:
            self._slots.pop(news.worker, None)
            return
        interval = min(max(news.interval, MIN_INTERVAL_SECONDS), MAX_INTERVAL_SECONDS)
        self._put(
            Slot(
                news.worker, news.host, news.pool, news.machine, news.since, news.jobs,
                is_waiting=True, until=now + MAX_MISSED_INTERVALS * interval,
            )
        )  # fmt: skip

    def record_heartbeat(self, beat: Heartbeat, now: float) -> None:
        """Remember a worker that reported that it runs its job."""
        self._sweep(now)
        known = self._slots.get(beat.worker)
        machine = beat.machine or (known.machine if known else None)
        self._put(
            Slot(
                beat.worker,
                beat.host,
                "",
                machine,
                0.0,
                0,
                is_waiting=False,
                until=now + BUSY_KEPT_SECONDS,
            )
        )

    def record_taken(self, claim: Claim, now: float) -> None:
        """Remember that the worker's claim was granted: it waits no longer."""
        known = self._slots.get(claim.worker)
        if known is None and claim.machine is None:
            return
        machine = claim.machine or (known.machine if known else None)
        self._put(
            Slot(
                claim.worker, claim.host, "", machine, 0.0, 0,
                is_waiting=False, until=now + BUSY_KEPT_SECONDS,
            )
        )  # fmt: skip

    def list_waiting(self, now: float) -> list[Slot]:
        """Return the slots that wait for a job, as far as is known."""
        return [slot for slot in list(self._slots.values()) if slot.is_waiting and slot.until > now]

    def list_known(self) -> list[Slot]:
        """Return all slots that are remembered."""
        return list(self._slots.values())

    def get_machine(self, worker: str) -> Machine | None:
        """Return the machine of a worker; None if it never described it."""
        known = self._slots.get(worker)
        return known.machine if known else None

    def __len__(self) -> int:
        return len(self._slots)

    def _put(self, slot: Slot) -> None:
        known = self._slots.get(slot.worker)
        if known is not None or len(self._slots) < MAX_SLOTS:
            self._slots[slot.worker] = slot
            self.arrivals += known is None or known.machine is None

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_SECONDS
        for worker in [each.worker for each in self._slots.values() if each.until <= now]:
            del self._slots[worker]
