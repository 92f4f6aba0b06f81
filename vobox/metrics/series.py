"""The series that a schedd sends; ``docs/reference/metrics.md`` is generated from this table."""

from __future__ import annotations

from telemetry.points import Field, Series

HEADING = "A VO box: `thyme-schedd`"

_SCHEDD = ("schedd", "site")
_POOL = (*_SCHEDD, "pool")

JOBS = Series(
    "thyme_jobs",
    (*_POOL, "state"),
    (Field("count", "integer", "jobs", "In the queue with this JobStatus now."),),
    "`state`: `idle`, `running`, `removed`, `completed`, `held`, `transferring` or `suspended`.",
)
RATES = Series(
    "thyme_rates",
    _POOL,
    (
        Field("submitted", "integer", "jobs", "Submitted since the last point."),
        Field("started", "integer", "attempts", "Started."),
        Field("finished", "integer", "jobs", "Ended by themselves, well or not."),
        Field("evicted", "integer", "attempts", "Ended with their pilot, or vacated."),
        Field("lost", "integer", "attempts", "Given up: no news for the whole lease."),
        Field("retried", "integer", "attempts", "Queued again."),
        Field("removed", "integer", "jobs", "Removed."),
        Field("held", "integer", "jobs", "Put on hold."),
        Field("dead", "integer", "messages", "Put aside by the broker: no worker could take them."),
    ),
    "What happened to jobs since the last point.",
)
TIMES = Series(
    "thyme_times",
    _POOL,
    (
        Field("wait_p50", "float", "s", "Queued to started, of the attempts started: median."),
        Field("wait_p90", "float", "s", "The same: nine of ten are quicker."),
        Field("wait_p99", "float", "s", "The same: 99 of 100 are quicker."),
        Field("run_p50", "float", "s", "Wall-clock time of the jobs finished: median."),
        Field("run_p90", "float", "s", "The same: nine of ten are shorter."),
        Field("run_p99", "float", "s", "The same: 99 of 100 are shorter."),
        Field("cpu_efficiency", "float", "share", "Their CPU time of wall-clock time × CPUs."),
        Field("attempts", "float", "attempts", "That the finished jobs needed; mean."),
    ),
    "How long jobs wait and run, over those of the last interval.",
)
EXITS = Series(
    "thyme_exits",
    (*_POOL, "class"),
    (Field("count", "integer", "jobs", "Finished since the last point."),),
    "`class`: `ok` (0), `error` (another code), `signal` or `never_ran`.",
)
SLOTS = Series(
    "thyme_slots",
    _POOL,
    (
        Field("queued", "integer", "messages", "In the broker, taken by nobody."),
        Field("waiting", "integer", "workers", "That wait for a job."),
        Field("busy", "integer", "workers", "That run one."),
    ),
    "Work and workers of a pool, as this schedd sees them.",
)
SCHEDD = Series(
    "thyme_schedd",
    _SCHEDD,
    (
        Field("uptime", "float", "s", "How long the schedd runs."),
        Field("jobs", "integer", "jobs", "In the ledger, ended ones included."),
        Field("broker_ok", "boolean", "", "The line to the broker is up, the ledger is current."),
        Field("broker_latency", "float", "s", "A recorded event until it is read back; median."),
        Field("event_lag", "float", "s", "Age of the newest event when it was read; longest."),
        Field("rebuilding", "boolean", "", "The ledger is being made from the stream."),
        Field("unreadable", "integer", "records", "Passed over since the start."),
        Field("rss", "integer", "bytes", "Memory of the process."),
        Field("version", "string", "", "Of Plancton."),
    ),
    "Whether the schedd works.",
)

ALL = (JOBS, RATES, TIMES, EXITS, SLOTS, SCHEDD)
