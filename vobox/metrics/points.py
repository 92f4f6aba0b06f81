"""The points of a schedd, computed from the events of jobs and from the state of its pools."""

from __future__ import annotations

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from telemetry.points import Point, Value, point
from thyme.broker.lanes import get_pool
from thyme.protocol.events import (
    Evicted,
    Finished,
    JobMessage,
    Lost,
    Recorded,
    Started,
    Submit,
    Usage,
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

from .series import EXITS, HELD_JOBS, JOBS, RATES, SCHEDD, SLOTS, TIMES

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
    """The counts of one pool; times in seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    #: CPU seconds and the like, by field
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, other: PoolTally) -> None:
        """Count what the other one has counted as well."""
        self.counts.update(other.counts)
        self.exits.update(other.exits)
        self.waits += other.waits[: SAMPLES - len(self.waits)]
        self.runs += other.runs[: SAMPLES - len(self.runs)]
        for name, value in other.seconds.items():
            self.seconds[name] += value


@dataclass
class Happened:
    """The events since the last points."""

    pools: defaultdict[str, PoolTally] = field(default_factory=lambda: defaultdict(PoolTally))
    #: seconds from an event of our own until it was read back
    latencies: list[float] = field(default_factory=list)
    #: the longest age of an event when it was read
    lag: float | None = None


class Tally:
    """The counter of events: the schedd's thread counts, the sending thread takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Happened()
        #: by pool, what was seen since the last ``keep``
        self._seen: defaultdict[str, PoolTally] = defaultdict(PoolTally)

    def take(self) -> Happened:
        """Return what happened since the last call, and begin to count from zero."""
        with self._lock:
            taken, self._now = self._now, Happened()
            return taken

    def read(self, age: float) -> None:
        """Note that a record was read ``age`` seconds after it was written."""
        with self._lock:
            self._now.lag = max(age, self._now.lag or 0.0, 0.0)

    def read_back(self, age: float) -> None:
        """Note that an event of the schedd was read ``age`` seconds after it was recorded."""
        with self._lock:
            _keep(self._now.latencies, max(0.0, age))

    def see(
        self,
        before: Job | None,
        event: JobMessage,
        job: Job,
        live_cpu: float = 0.0,
        wall: float = math.inf,
    ) -> None:
        """Count an event, until ``keep`` or ``drop``.

        before    the job before the event; None: there was none
        job       the job after it
        live_cpu  CPU seconds that its worker told of last; 0 for nothing
        wall      now, seconds since 1970: a worker's clock may be ahead
        """
        tally = self._seen[get_pool(job.pool)]
        if before is not None:
            _count(tally, before, event, job, live_cpu, wall)
        elif isinstance(event, (Submit, Recorded)):
            tally.counts["submitted"] += 1

    def keep(self) -> None:
        """Count what was seen: it is in the ledger for good."""
        with self._lock:
            for pool, tally in self._seen.items():
                self._now.pools[pool].add(tally)
        self._seen.clear()

    def drop(self) -> None:
        """Forget what was seen: it could not be written, and will be seen again."""
        self._seen.clear()


def _count(
    tally: PoolTally, before: Job, event: JobMessage, job: Job, live_cpu: float, wall: float
) -> None:
    """Count what the event changed: one that came late, or twice, changed nothing."""
    has_ended = job.ended > before.ended or job.worker != before.worker
    if isinstance(event, Submit):
        tally.counts["retried"] += job.attempt > before.attempt
    elif isinstance(event, Started) and job.worker != before.worker:
        tally.counts["started"] += 1
        idle_since = before.ad.number("EnteredCurrentStatus")
        if before.status == IDLE and idle_since:
            _keep(tally.waits, max(0.0, min(event.time, wall) - idle_since))
    elif isinstance(event, Finished) and has_ended and before.status != REMOVED:
        _count_end(tally, event, job)
    elif isinstance(event, (Finished, Evicted)) and has_ended:
        # a run that was ended since its job is held or removed counts as that
        tally.counts["evicted"] += before.status in (RUNNING, SUSPENDED)
        tally.seconds["evicted_cpu_seconds"] += _add_cpu(event.usage)
    elif isinstance(event, Lost) and has_ended:
        tally.counts["lost"] += 1
        tally.seconds["lost_cpu_seconds"] += live_cpu
    elif isinstance(event, DeadLettered):
        is_again = job.dead_letters > before.dead_letters
        tally.counts["dead"] += is_again or job.status != before.status
    tally.counts["removed"] += before.status != REMOVED and job.status == REMOVED
    tally.counts["held"] += before.status != HELD and job.status == HELD


def _count_end(tally: PoolTally, event: Finished, job: Job) -> None:
    usage = event.usage
    if event.exit_code is None and event.signal is None:
        # held: it could not be started, or exceeded a limit
        tally.exits["never_ran"] += not usage.wall
        tally.seconds["evicted_cpu_seconds"] += _add_cpu(usage)
        return
    tally.counts["finished"] += 1
    tally.counts["attempts"] += job.attempt + 1
    if event.signal is not None:
        tally.exits["signal"] += 1
    else:
        tally.exits["ok" if event.exit_code == 0 else "error"] += 1
    _keep(tally.runs, usage.wall)
    tally.seconds["cpu_seconds"] += _add_cpu(usage)
    cpus = max(1, job.ad.number("RequestCpus"))
    tally.seconds["allocated_seconds"] += usage.wall * cpus


def _add_cpu(usage: Usage) -> float:
    return usage.user_cpu + usage.system_cpu


def _keep(samples: list[float], value: float) -> None:
    if len(samples) < SAMPLES:
        samples.append(value)


@dataclass(frozen=True)
class PoolNow:
    """The state of a pool; None is "not known"."""

    states: Mapping[int, int] | None  #: JobStatus: how many
    queued: int | None = None
    waiting: int | None = None
    busy: int | None = None
    #: held jobs by the name of the reason
    held: Mapping[str, int] | None = None


@dataclass(frozen=True)
class ScheddNow:
    """The state of the schedd; None is "not known"."""

    broker_ok: bool
    rebuilding: bool
    unreadable: int
    forged: int
    held: Mapping[tuple[str, str], int] | None  #: held jobs by pool and name of the reason
    queued: int | None  #: messages of ``pool`` that nobody has taken
    pool: str
    waiting: Iterable[Slot]


def pool_points(
    tags: Mapping[str, str], pool: str, now: PoolNow, tally: PoolTally, wall: float
) -> list[Point]:
    """Make the points of one pool.

    tags   schedd and site
    pool   its name
    now    how it stands
    tally  what happened in it since the last points
    wall   the time of the points, seconds since 1970
    """
    tags = {**tags, "pool": pool}
    made: list[Point | None] = []
    if now.states is not None:
        for status, name in STATES.items():
            count = now.states.get(status, 0)
            made.append(point(JOBS, {**tags, "state": name}, {"count": count}, wall))
    for reason, count in sorted((now.held or {}).items()):
        made.append(point(HELD_JOBS, {**tags, "reason": reason}, {"count": count}, wall))
    counts: dict[str, Value | None] = {
        one.name: int(tally.counts[one.name]) if one.type == "integer" else tally.seconds[one.name]
        for one in RATES.fields
    }
    made.append(point(RATES, tags, counts, wall))
    made.append(point(TIMES, tags, _times(tally), wall))
    for name in EXITS.values:
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
    return found


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that ``percent`` of 100 do not exceed (nearest rank)."""
    if not ordered:
        return None
    return ordered[-(-len(ordered) * percent // 100) - 1]


def schedd_point(
    tags: Mapping[str, str], happened: Happened, values: Mapping[str, Value | None], wall: float
) -> Point | None:
    """Make the point of the schedd itself; None where nothing is known.

    tags      schedd and site
    happened  since the last point
    values    the fields that are not of what happened
    wall      the time of the point, seconds since 1970
    """
    lag = happened.lag
    if lag is None and values.get("broker_ok"):
        lag = 0.0  # the broker answers and has told of nothing
    latency = percentile(sorted(happened.latencies), 50)
    fields = {**values, "broker_latency": latency, "event_lag": lag}
    return point(SCHEDD, tags, fields, wall)
