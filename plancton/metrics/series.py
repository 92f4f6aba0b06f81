"""The series that a node sends; ``docs/reference/metrics.md`` is generated from this table.

The first three are those of 2017, which dashboards of then read: their names, tags, fields and
the fields' types never change (InfluxDB refuses a point with another type). Site and host name
together are a node, since hosts of two sites may have the same short name; the series of 2017 lack
the site, and no dashboard here reads them.
"""

from __future__ import annotations

from telemetry.points import Field, Series

DAEMON = Series(
    "daemon",
    ("hostname",),
    (
        Field("uptime", "float", "s", "Time since the daemon began."),
        Field("containers", "float", "pilots", "Pilots that run."),
        Field("status", "string", "", "`active`, `draining`, or `waiting` (nothing may start)."),
    ),
    "The daemon runs.",
    since="2017",
)
MEASUREMENT = Series(
    "measurement",
    ("hostname",),
    (Field("cpu_eff", "float", "%", "CPU in use on the node, by everybody."),),
    "The node's CPU.",
    since="2017",
)
CONTAINER = Series(
    "container",
    ("hostname", "started", "killed"),
    (Field("uptime", "float", "s", "Time from the pilot's start to its end."),),
    "One point for each pilot that ended; `started`: its command ran; `killed`: Plancton asked "
    "it to end (`True`, `False`).",
    since="2017",
)
OF_2017 = (DAEMON, MEASUREMENT, CONTAINER)

_NODE = ("hostname", "site")

NODE = Series(
    "plancton_node",
    _NODE,
    (
        Field("ncpus", "integer", "CPUs", "CPUs of the node.", metric="plancton_node_cpus"),
        Field("owner_cpus", "float", "CPUs", "CPUs that the owner uses: everything but pilots."),
        Field(
            "owner_cpus_smoothed", "float", "CPUs",
            "CPUs that the owner uses, smoothed as the capacity for pilots is computed with it.",
        ),
        Field("pilots_cpus", "float", "CPUs", "CPUs that all pilots together use."),
        Field("idle_cpus", "float", "CPUs", "CPUs that nobody uses."),
        Field("harvest", "float", "share", "Share of the CPUs left by the owner that pilots use."),
        Field(
            "pilots_squeezed", "float", "share",
            "Share of the CPUs promised to running pilots that they do not get while the node is "
            "full.",
        ),
        Field(
            "owner_squeezed", "float", "CPUs",
            "CPUs that pilots use which the kernel does not hold below the owner, while the node "
            "is full; 0 where the protection is in force.",
            metric="plancton_node_owner_squeezed_cpus",
        ),
        Field(
            "mem_total", "integer", "bytes", "Memory of the node.",
            metric="plancton_node_memory_bytes",
        ),
        Field(
            "mem_available", "integer", "bytes", "Memory that programs can still get.",
            metric="plancton_node_memory_available_bytes",
        ),
        Field(
            "pilots_mem", "integer", "bytes", "Memory that all pilots together use.",
            metric="plancton_node_pilots_memory_bytes",
        ),
        Field(
            "memory_stall", "float", "%",
            "Share of the last 10 s in which all tasks waited for memory (PSI; `memory_stall`).",
        ),
    ),
    "What the owner and the pilots use now.",
)  # fmt: skip
CPU = Series(
    "plancton_cpu",
    _NODE,
    (
        Field(
            "total_seconds", "float", "s",
            "CPU time of the node: its CPUs × the time in which the rest was known.", "since",
        ),
        Field("owner_seconds", "float", "s", "CPU time that the owner used.", "since"),
        Field("pilots_seconds", "float", "s", "CPU time that pilots used.", "since"),
        Field(
            "idle_no_work_seconds", "float", "s",
            "CPU time that idled while pilots found no work.", "since",
        ),
        Field(
            "idle_limited_seconds", "float", "s",
            "CPU time that idled although work may have been there, by a limit or a failure.",
            "since",
        ),
        Field(
            "idle_closed_seconds", "float", "s",
            "CPU time that idled while the node was drained or its window not open.", "since",
        ),
        Field(
            "owner_squeezed_seconds", "float", "s",
            "CPU time that pilots took which the kernel did not hold below the owner, while the "
            "node was full.",
            "since",
        ),
    ),
    "Where the CPU time went; every five minutes, or more often where `metrics_interval` is "
    "below 30 s.",
)  # fmt: skip
PILOTS = Series(
    "plancton_pilots",
    _NODE,
    (
        Field("running", "integer", "pilots", "Pilots that run."),
        Field("starting", "integer", "pilots", "Pilots that are being started."),
        Field("draining", "integer", "pilots", "Pilots asked to end that are still there."),
        Field("capacity", "integer", "pilots", "Pilots up to which new ones are started."),
        Field("capacity_keep", "integer", "pilots", "Pilots beyond which some are evicted."),
        Field(
            "limited_by", "string", "",
            "The rule that keeps more pilots from starting; empty for none.",
        ),
        Field("started", "integer", "pilots", "Pilots started.", "since"),
        Field("start_failures", "integer", "pilots", "Pilots that could not be started.", "since"),
        Field(
            "start_latency", "float", "s",
            "Time from the request to start a pilot to its command's start; median.",
        ),
        Field(
            "start_latency_max", "float", "s",
            "Time from the request to start a pilot to its command's start; longest.",
        ),
        Field("lived", "float", "s", "Time from start to end of the pilots that ended; median."),
        Field("lived_max", "float", "s", "Time from start to end of pilots that ended; longest."),
        Field("ended_normal", "integer", "pilots", "Pilots that ended with success.", "since"),
        Field(
            "finished_cpu_seconds", "float", "s",
            "CPU time of the pilots that ended with success, as last seen before their end.",
            "since",
        ),
        Field("ended_no_work", "integer", "pilots", "Pilots that found no work.", "since"),
        Field("ended_failure", "integer", "pilots", "Pilots that failed.", "since"),
        Field(
            "ended_other", "integer", "pilots",
            "Pilots that ended because they were asked to, or whose end tells nothing.", "since",
        ),
    ),
    "The pilots of a node.",
)  # fmt: skip
EVICTIONS = Series(
    "plancton_evictions",
    (*_NODE, "reason"),
    (
        Field(
            "count", "integer", "pilots", "Pilots that were asked to end.", "since",
            "plancton_evictions_total",
        ),
        Field(
            "cpu_seconds", "float", "s",
            "CPU time used by pilots that ended because they were asked to, with their job "
            "unfinished.",
            "since",
        ),
    ),
    "`reason`: `owner`, `memory`, `window`, `max_ttl`, `disk`, `force-stop`, or `other` (by a "
    "command, as `planctonctl drain --deadline`).",
    values=("owner", "memory", "window", "max_ttl", "disk", "force-stop", "other"),
)  # fmt: skip
STATE = Series(
    "plancton_state",
    _NODE,
    (
        Field("uptime", "float", "s", "Time since the daemon began."),
        Field("mode", "string", "", "`active`, `drain`, `drain-stop` or `force-stop`."),
        Field("active", "integer", "", "1 while the mode is `active`, else 0."),
        Field("in_trouble", "integer", "", "1 while something does not work, else 0."),
        Field(
            "trouble", "string", "",
            "What does not work: `engine`, `image`, `breaker`, `configuration`, `protection`.",
        ),
        Field("window", "string", "", "`open`, `ending`, `grace` or `closed`."),
        Field("window_change", "float", "s", "Time until the window's next change."),
        Field("breaker_open", "boolean", "", "Pilots fail, and starts are held back."),
        Field("breaker_failures", "integer", "pilots", "Failed pilots in a row."),
        Field("no_work_level", "integer", "", "Level of the back-off; 0: pilots find work."),
        Field("engine_ok", "boolean", "", "The container engine answers."),
        Field("protected", "boolean", "", "The kernel holds the pilots below the owner."),
        Field("loop_time", "float", "s", "Time that a pass of the loop took; mean."),
        Field("loop_time_max", "float", "s", "Time that a pass of the loop took; longest."),
        Field("looks", "integer", "", "Passes of the loop.", "since"),
        Field("config_age", "float", "s", "Time since the configuration in force was read."),
        Field("config_rejected", "boolean", "", "A newer configuration is wrong and not used."),
        Field("image", "string", "", "Digest of the image that new pilots are made from."),
        Field("image_age", "float", "s", "Time since the registry last gave the image."),
        Field("image_problem", "boolean", "", "The last pull of the image failed."),
        Field(
            "version", "string", "", "Version of Plancton.", metric="plancton_build_info"
        ),
    ),
    "What the daemon decides by, and whether it can work.",
)  # fmt: skip
ERRORS = Series(
    "plancton_errors",
    (*_NODE, "kind"),
    (Field("count", "integer", "", "Errors.", "since", "plancton_errors_total"),),
    "`kind`: `engine`, `configuration`, `start` or `pilot`.",
    values=("engine", "configuration", "start", "pilot"),
)
SENDING = Series(
    "plancton_metrics",
    (*_NODE, "target"),
    (
        Field("waiting", "integer", "points", "Points that are not sent yet."),
        Field("sent", "integer", "points", "Points sent.", "total"),
        Field(
            "dropped", "integer", "points",
            "Points lost because too many waited or because they were refused.", "total",
        ),
        Field("failures", "integer", "", "Requests that failed.", "total"),
    ),
    "How sending goes, a target (`host:port#database`) each.",
)  # fmt: skip

ALL = (*OF_2017, NODE, CPU, PILOTS, EVICTIONS, STATE, ERRORS, SENDING)
