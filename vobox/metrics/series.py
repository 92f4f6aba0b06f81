"""The series that a schedd sends; ``docs/reference/metrics.md`` is generated from this table."""

from __future__ import annotations

from telemetry.points import Field, Series

_SCHEDD = ("schedd", "site")
_POOL = (*_SCHEDD, "pool")

JOBS = Series(
    "thyme_jobs",
    (*_POOL, "state"),
    (
        Field(
            "count", "integer", "jobs", "Jobs in the queue with this JobStatus.",
            metric="thyme_jobs",
        ),
    ),
    "`state`: `idle`, `running`, `removed`, `completed`, `held`, `transferring` or `suspended`.",
)  # fmt: skip
HELD_JOBS = Series(
    "thyme_held_jobs",
    (*_POOL, "reason"),
    (
        Field(
            "count", "integer", "jobs", "Jobs that are held for this reason.",
            metric="thyme_held_jobs",
        ),
    ),
    "`reason`: HTCondor's name of the HoldReasonCode (`UserRequest`, `TransferInputError` …), "
    "`DeadLetter` where the broker put the job's message aside, `Other` for a code of the user's "
    "own. A reason appears with the first job that has it.",
)  # fmt: skip
RATES = Series(
    "thyme_rates",
    _POOL,
    (
        Field("submitted", "integer", "jobs", "Jobs submitted.", "since"),
        Field("started", "integer", "attempts", "Attempts started.", "since"),
        Field("finished", "integer", "jobs", "Jobs that ended by themselves.", "since"),
        Field(
            "evicted", "integer", "attempts",
            "Attempts that ended with their pilot, or were vacated.", "since",
        ),
        Field(
            "lost", "integer", "attempts",
            "Attempts given up without news of their worker for the whole lease.", "since",
        ),
        Field("retried", "integer", "attempts", "Attempts queued again.", "since"),
        Field("removed", "integer", "jobs", "Jobs removed.", "since"),
        Field("held", "integer", "jobs", "Jobs put on hold.", "since"),
        Field(
            "dead", "integer", "messages",
            "Messages put aside by the broker because no worker could take them.", "since",
        ),
        Field(
            "attempts", "integer", "attempts", "Attempts that the finished jobs needed.", "since"
        ),
        Field(
            "cpu_seconds", "float", "s", "CPU time of the jobs that finished, in their last "
            "attempt.", "since",
        ),
        Field(
            "allocated_seconds", "float", "s",
            "Wall-clock time × RequestCpus of the jobs that finished, in their last attempt.",
            "since",
        ),
        Field(
            "evicted_cpu_seconds", "float", "s",
            "CPU time of attempts that ended with their pilot, or were vacated, held or removed.",
            "since",
        ),
        Field(
            "lost_cpu_seconds", "float", "s",
            "CPU time of attempts that were lost, as their workers last told.", "since",
        ),
    ),
    "What happened to jobs.",
    prefix="thyme_jobs",
)  # fmt: skip
TIMES = Series(
    "thyme_times",
    _POOL,
    (
        Field("wait_p50", "float", "s", "Time from queued to started; median."),
        Field("wait_p90", "float", "s", "Time from queued to started; 90th percentile."),
        Field("wait_p99", "float", "s", "Time from queued to started; 99th percentile."),
        Field("run_p50", "float", "s", "Wall-clock time of the jobs that finished; median."),
        Field(
            "run_p90", "float", "s", "Wall-clock time of the jobs that finished; 90th percentile."
        ),
        Field(
            "run_p99", "float", "s", "Wall-clock time of the jobs that finished; 99th percentile."
        ),
    ),
    "How long jobs wait and run: those that started, or finished, in the last interval.",
    prefix="thyme_jobs",
)
EXITS = Series(
    "thyme_exits",
    (*_POOL, "class"),
    (
        Field(
            "count", "integer", "jobs",
            "Jobs that ended by themselves, or could not be started, by how.", "since",
            "thyme_jobs_ended_total",
        ),
    ),
    "`class`: `ok` (exit code 0), `error` (another code), `signal`, or `never_ran` (held, as it "
    "could not be started).",
    values=("ok", "error", "signal", "never_ran"),
)  # fmt: skip
SLOTS = Series(
    "thyme_slots",
    _POOL,
    (
        Field(
            "queued", "integer", "messages",
            "Messages in the pool's queue at the broker, its lanes included; the same of each "
            "schedd.",
        ),
        Field(
            "waiting", "integer", "workers",
            "Workers of the pool that wait for a job; the same of each schedd.",
        ),
        Field("busy", "integer", "workers", "Workers that run a job of this schedd."),
    ),
    "Work and workers of a pool.",
)  # fmt: skip
SCHEDD = Series(
    "thyme_schedd",
    _SCHEDD,
    (
        Field("uptime", "float", "s", "Time since the schedd began."),
        Field("jobs", "integer", "jobs", "Jobs in the ledger, ended ones included."),
        Field(
            "oldest_idle", "float", "s",
            "Time since the submission of the first idle job in the queue.",
        ),
        Field(
            "put_aside", "integer", "jobs",
            "Jobs held because their message was put aside by the broker.",
        ),
        Field("broker_ok", "boolean", "", "The broker answers, and the ledger is current."),
        Field(
            "broker_latency", "float", "s",
            "Time from a recorded event until it is read back; median.",
        ),
        Field(
            "event_lag", "float", "s",
            "Age of an event of the schedd's own when it was read, longest; 0 when nothing was "
            "left to read.",
        ),
        Field("rebuilding", "boolean", "", "The ledger is being made from the stream."),
        Field("unreadable", "integer", "records", "Records that could not be read.", "total"),
        Field(
            "forged", "integer", "records",
            "Records that were not believed, as their sender may not write what they say.", "total",
        ),
        Field(
            "rss", "integer", "bytes", "Memory of the process.",
            metric="thyme_schedd_memory_bytes",
        ),
        Field("version", "string", "", "Version of Plancton.", metric="thyme_build_info"),
    ),
    "Whether the schedd works.",
)  # fmt: skip

ALL = (JOBS, HELD_JOBS, RATES, TIMES, EXITS, SLOTS, SCHEDD)
