"""A small world of sites, nodes and schedds whose figures are known, as points.

Everything is constant, so that each figure can be counted by hand:

* Site A. n1: 16 CPUs, the owner uses 4, pilots 5 (5 pilots), 7 idle by a limit.
  n2: 32 CPUs, owner 2, pilots 10 (10 pilots), 20 idle although work may be there; its image cannot
  be pulled. n3: 28 CPUs, all used by 28 pilots, silent for two hours. n4: 8 CPUs, owner 1, drained.
* Site B. n1, a name that A has too: 4 CPUs, pilots 2 (2 pilots), 2 idle without work; silent from
  five until two hours ago. Unprotected pilots took 2 CPUs from its owner while it was full: during
  the last hour.
* Schedds of A: s1 with the pools default (1000 idle, 30 running) and gpu (0 and 2); s2 with default
  (200 and 13). Each holds one job: of default at its user's request, of gpu as its input could
  not be fetched. The queue of default holds 1200 messages and 4 workers wait; both schedds tell so.
  s3 has lost the broker; s4 has been silent for an hour.
* Each 30 s s1 finishes two jobs of default with 50 CPU seconds of 60 × 1 CPU, in three attempts; of
  gpu one with 2 of 20. s2 loses the broker and finishes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from plancton.metrics import series as node_series
from telemetry.points import Point, Series, Value, point
from vobox.metrics import series as schedd_series

STEP, CPU_STEP = 30, 300
HOUR = 3600


def made(
    series: Series, tags: Mapping[str, str], fields: Mapping[str, Value], time: float
) -> Point:
    """Return a point; Undeclared is raised for what the program would never send."""
    one = point(series, tags, fields, time)
    assert one is not None
    return one


@dataclass(frozen=True)
class Node:
    """``silent``: (from, until), seconds before the end of the world."""

    site: str
    name: str
    cpus: int
    owner: float
    pilots: float
    running: int
    idle: str = "limited"
    limited_by: str = ""
    mode: str = "active"
    trouble: str = ""
    silent: tuple[int, int] = (0, 0)
    #: CPUs that pilots took from the owner in the last hour
    squeezed: float = 0.0

    @property
    def tags(self) -> dict[str, str]:
        return {"hostname": self.name, "site": self.site}

    def points(self, time: int, ago: int) -> Iterator[Point]:
        """Those of one moment; ``ago``: seconds before the end."""
        if self.silent[1] < ago <= self.silent[0]:
            return
        squeezed = self.squeezed if ago < HOUR else 0.0
        idle = self.cpus - self.owner - self.pilots
        yield made(
            node_series.NODE,
            self.tags,
            {
                "ncpus": self.cpus, "owner_cpus": self.owner, "pilots_cpus": self.pilots,
                "idle_cpus": idle, "owner_squeezed": squeezed, "memory_stall": self.owner,
                "mem_total": 10**9 * self.cpus, "mem_available": 10**8 * self.cpus,
                "pilots_mem": 10**7,
            },
            time,
        )  # fmt: skip
        yield made(
            node_series.PILOTS,
            self.tags,
            {
                "running": self.running, "starting": 0, "draining": 0, "capacity": self.cpus,
                "limited_by": self.limited_by, "started": 1, "ended_normal": 1, "ended_no_work": 0,
                "ended_failure": 0, "ended_other": 0, "lived": 60.0, "lived_max": 90.0,
            },
            time,
        )  # fmt: skip
        yield made(
            node_series.STATE,
            self.tags,
            {
                "uptime": 100.0, "mode": self.mode, "active": int(self.mode == "active"),
                "window": "open", "in_trouble": int(bool(self.trouble)), "trouble": self.trouble,
                "engine_ok": True, "protected": not self.squeezed, "breaker_open": False,
                "breaker_failures": 0, "no_work_level": 0, "config_rejected": False,
                "image_problem": "image" in self.trouble, "loop_time_max": 0.1, "version": "1.0",
            },
            time,
        )  # fmt: skip
        if time % CPU_STEP == 0:
            seconds = {f"idle_{why}_seconds": 0.0 for why in ("no_work", "limited", "closed")}
            seconds[f"idle_{self.idle}_seconds"] = idle * CPU_STEP
            seconds["total_seconds"] = float(self.cpus * CPU_STEP)
            seconds["owner_seconds"] = self.owner * CPU_STEP
            seconds["pilots_seconds"] = self.pilots * CPU_STEP
            seconds["owner_squeezed_seconds"] = squeezed * CPU_STEP
            yield made(node_series.CPU, self.tags, seconds, time)


NODES = (
    Node("A", "n1", 16, 4.0, 5.0, 5, limited_by="cpu"),
    Node("A", "n2", 32, 2.0, 10.0, 10, trouble="image"),
    Node("A", "n3", 28, 0.0, 28.0, 28, silent=(2 * HOUR, -HOUR)),
    Node("A", "n4", 8, 1.0, 0.0, 0, idle="closed", limited_by="mode", mode="drain"),
    Node(
        "B", "n1", 4, 0.0, 2.0, 2, idle="no_work", limited_by="no-work",
        silent=(5 * HOUR, 2 * HOUR), squeezed=2.0,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Queue:
    """A pool of a schedd; what finishes does so each 30 s."""

    schedd: str
    pool: str
    idle: int
    running: int
    finished: int = 0
    cpu: float = 0.0
    allocated: float = 0.0
    attempts: int = 0
    queued: int = 0
    waiting: int = 0

    def points(self, time: int) -> Iterator[Point]:
        tags = {"schedd": self.schedd, "site": "A", "pool": self.pool}
        for state, count in (("idle", self.idle), ("running", self.running), ("held", 1)):
            yield made(schedd_series.JOBS, {**tags, "state": state}, {"count": count}, time)
        reason = "UserRequest" if self.pool == "default" else "TransferInputError"
        yield made(schedd_series.HELD_JOBS, {**tags, "reason": reason}, {"count": 1}, time)
        counts: dict[str, Value] = {
            field.name: 0 if field.type == "integer" else 0.0
            for field in schedd_series.RATES.fields
        }
        counts |= {
            "started": self.finished, "finished": self.finished, "cpu_seconds": self.cpu,
            "allocated_seconds": self.allocated, "attempts": self.attempts,
        }  # fmt: skip
        yield made(schedd_series.RATES, tags, counts, time)
        for how in schedd_series.EXITS.values:
            count = self.finished if how == "ok" else 0
            yield made(schedd_series.EXITS, {**tags, "class": how}, {"count": count}, time)
        slots: dict[str, Value] = {
            "queued": self.queued, "waiting": self.waiting, "busy": self.running
        }  # fmt: skip
        yield made(schedd_series.SLOTS, tags, slots, time)


QUEUES = (
    Queue("s1", "default", 1000, 30, 2, 100.0, 120.0, 3, queued=1200, waiting=4),
    Queue("s1", "gpu", 0, 2, 1, 2.0, 20.0, 1),
    Queue("s2", "default", 200, 13, queued=1200, waiting=4),
)
#: name: (broker ok, seconds for which it has been silent)
SCHEDDS = {"s1": (True, 0), "s2": (True, 0), "s3": (False, 0), "s4": (True, HOUR)}


def _schedds(time: int, ago: int) -> Iterator[Point]:
    for name, (broker_ok, silent) in SCHEDDS.items():
        if silent and ago < silent:
            continue
        fields: dict[str, Value] = {
            "uptime": 50.0, "jobs": 9, "broker_ok": broker_ok, "rebuilding": False,
            "unreadable": 0, "event_lag": 0.0, "put_aside": 3 if name == "s2" else 0,
            "oldest_idle": 600.0 if name == "s1" else 30.0, "rss": 77_000_000, "version": "1.0",
        }  # fmt: skip
        yield made(schedd_series.SCHEDD, {"schedd": name, "site": "A"}, fields, time)


def points(end: int, begin: int, until: int) -> Iterator[Point]:
    """Yield the world from ``begin`` to ``until``; multiples of 30 s since 1970.

    ``end`` is the moment that the description counts from; the world goes on after it.
    """
    for time in range(begin, until + 1, STEP):
        ago = end - time
        for node in NODES:
            yield from node.points(time, ago)
        for queue in QUEUES:
            yield from queue.points(time)
        yield from _schedds(time, ago)
    if not begin <= end - 3 * HOUR <= until:
        return
    # three hours ago: evictions of site A, by reason, with the CPU time of their jobs
    for reason, count, cpu in (("owner", 4, 7200.0), ("memory", 1, 900.0)):
        tags = {"hostname": "n2", "site": "A", "reason": reason}
        fields: dict[str, Value] = {"count": count, "cpu_seconds": cpu}
        yield made(node_series.EVICTIONS, tags, fields, end - 3 * HOUR)
    lost = {"schedd": "s1", "site": "A", "pool": "gpu"}
    yield made(
        schedd_series.RATES, lost, {"lost": 1, "lost_cpu_seconds": 450.0}, end - 3 * HOUR + 7
    )


def moments(begin: float, end: float, step: int) -> int:
    """How many multiples of ``step`` there are from ``begin`` to ``end``."""
    return int(end // step) - int(-(-begin // step)) + 1
