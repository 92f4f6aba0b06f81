"""The points of a schedd: what happened to jobs since the last ones, and how things stand."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from telemetry.points import Point, Value, point
from thyme.protocol.events import (
    Evicted,
    Finished,
    Held,
    JobMessage,
    Lost,
    Recorded,
    Removed,
    Started,
    Submit,
)
from vobox.jobs.job import Job
from vobox.jobs.status import (
    COMPLETED,
    HELD,
    IDLE,
    REMOVED,
    RUNNING,
    SUSPENDED,
    TRANSFERRING_OUTPUT,
)
from vobox.jobs.transitions import DeadLettered
from vobox.workers.slots import Slot

from .series import EXITS, JOBS, RATES, SCHEDD, SLOTS, TIMES

STATES: Final = {
    IDLE: "idle",
    RUNNING: "running",
    REMOVED: "removed",
    COMPLETED: "completed",
    HELD: "held",
    TRANSFERRING_OUTPUT: "transferring",
    SUSPENDED: "suspended",
}
#: Times of one interval that are kept for the percentiles: the first ones of a storm will do.
SAMPLES: Final = 10_000


@dataclass
class PoolTally:
    """What happened in one pool; times in seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    cpu: float = 0.0
    cpu_could: float = 0.0


@dataclass
class Happened:
    """Since the last round."""

    pools: defaultdict[str, PoolTally] = field(default_factory=lambda: defaultdict(PoolTally))
    #: seconds from an event of our own until it was read back
    latencies: list[float] = field(default_factory=list)
    #: the longest age of an event when it was read
    lag: float | None = None


@dataclass(frozen=True)
class Before:
    """Of a job, before an event: its JobStatus and since when (seconds since 1970)."""

    status: int
    since: float

    @classmethod
    def of(cls, job: Job | None) -> Before | None:
        if job is None:
            return None
        return cls(job.status, float(job.ad.number("EnteredCurrentStatus")))


class Tally:
    """Told of each event by the schedd's thread, asked by the thread that sends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Happened()

    def take(self) -> Happened:
        with self._lock:
            taken, self._now = self._now, Happened()
            return taken

    def read(self, age: float) -> None:
        """A record was read ``age`` seconds after it was written."""
        with self._lock:
            self._now.lag = max(age, self._now.lag or 0.0, 0.0)

    def see(self, before: Before | None, event: JobMessage, job: Job, wall: float) -> None:
        """``job``: after the event; ``wall``: seconds since 1970."""
        with self._lock:
            tally = self._now.pools[job.pool]
            if not isinstance(event, (Started, Finished, Evicted)):
                _keep(self._now.latencies, max(0.0, wall - event.time))
            if before is None:
                if isinstance(event, (Submit, Recorded)):
                    tally.counts["submitted"] += 1
                return
            _count(tally, before, event, job)


def _count(tally: PoolTally, before: Before, event: JobMessage, job: Job) -> None:
    if isinstance(event, Submit):
        tally.counts["retried"] += event.attempt > 0
    elif isinstance(event, Started):
        tally.counts["started"] += 1
        if before.status == IDLE and before.since:
            _keep(tally.waits, max(0.0, event.time - before.since))
    elif isinstance(event, Finished):
        _count_end(tally, event, job)
    elif isinstance(event, Evicted):
        tally.counts["evicted"] += 1
    elif isinstance(event, Lost):
        tally.counts["lost"] += 1
    elif isinstance(event, DeadLettered):
        tally.counts["dead"] += 1
    elif isinstance(event, Removed):
        tally.counts["removed"] += before.status != REMOVED and job.status == REMOVED
    elif isinstance(event, Held):
        tally.counts["held"] += before.status != HELD and job.status == HELD


def _count_end(tally: PoolTally, event: Finished, job: Job) -> None:
    tally.counts["finished"] += 1
    if event.exit_code is None and event.signal is None:
        tally.exits["never_ran"] += 1
        return
    if event.signal is not None:
        tally.exits["signal"] += 1
    else:
        tally.exits["ok" if event.exit_code == 0 else "error"] += 1
    usage = event.usage
    _keep(tally.runs, usage.wall)
    tally.attempts.append(job.attempt + 1)
    tally.cpu += usage.user_cpu + usage.system_cpu
    tally.cpu_could += usage.wall * max(1, job.ad.number("RequestCpus"))


def _keep(samples: list[float], value: float) -> None:
    if len(samples) < SAMPLES:
        samples.append(value)


@dataclass(frozen=True)
class PoolNow:
    """A pool now; None is "not known"."""

    states: Mapping[int, int] | None  #: JobStatus: how many
    queued: int | None = None
    waiting: int | None = None
    busy: int | None = None


@dataclass(frozen=True)
class ScheddNow:
    """What the schedd's thread knows; None is "not known"."""

    broker_ok: bool
    rebuilding: bool
    unreadable: int
    queued: int | None  #: messages of ``pool`` that nobody has taken
    pool: str
    waiting: Iterable[Slot]


def pool_points(
    tags: Mapping[str, str], pool: str, now: PoolNow, tally: PoolTally, wall: float
) -> list[Point]:
    """The points of one pool.  ``tags``: schedd and site."""
    tags = {**tags, "pool": pool}
    made: list[Point | None] = []
    if now.states is not None:
        for status, name in STATES.items():
            count = now.states.get(status, 0)
            made.append(point(JOBS, {**tags, "state": name}, {"count": count}, wall))
    counts: dict[str, Value | None] = {
        one.name: int(tally.counts[one.name]) for one in RATES.fields
    }
    made.append(point(RATES, tags, counts, wall))
    made.append(point(TIMES, tags, _times(tally), wall))
    for name in ("ok", "error", "signal", "never_ran"):
        made.append(point(EXITS, {**tags, "class": name}, {"count": tally.exits[name]}, wall))
    slots: dict[str, Value | None] = {
        "queued": now.queued, "waiting": now.waiting, "busy": now.busy
    }  # fmt: skip
    made.append(point(SLOTS, tags, slots, wall))
    return [one for one in made if one is not None]


def _times(tally: PoolTally) -> dict[str, Value | None]:
    found: dict[str, Value | None] = {}
    for name, samples in (("wait", tally.waits), ("run", tally.runs)):
        ordered = sorted(samples)
        for percent in (50, 90, 99):
            found[f"{name}_p{percent}"] = percentile(ordered, percent)
    found["cpu_efficiency"] = tally.cpu / tally.cpu_could if tally.cpu_could else None
    if tally.attempts:
        found["attempts"] = sum(tally.attempts) / len(tally.attempts)
    return found


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The smallest value that ``percent`` of 100 do not exceed (nearest rank)."""
    if not ordered:
        return None
    return ordered[-(-len(ordered) * percent // 100) - 1]


def schedd_point(
    tags: Mapping[str, str], happened: Happened, values: Mapping[str, Value | None], wall: float
) -> Point | None:
    """``values``: the fields that are not of what happened."""
    latency = percentile(sorted(happened.latencies), 50)
    fields = {**values, "broker_latency": latency, "event_lag": happened.lag}
    return point(SCHEDD, tags, fields, wall)
