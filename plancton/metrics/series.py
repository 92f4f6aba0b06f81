"""The series that a node sends; ``docs/reference/metrics.md`` is generated from this table.

The first three are those of 2017, which dashboards of then read: their names, tags
and fields never change.
"""

from __future__ import annotations

from telemetry.points import Field, Series

HEADING = "A node: `plancton`"

DAEMON = Series(
    "daemon",
    ("hostname",),
    (
        Field("uptime", "float", "s", "How long the daemon runs."),
        Field("containers", "integer", "pilots", "Pilots that run."),
        Field("status", "string", "", "`active`, `draining`, or `waiting` (nothing may start)."),
    ),
    "The daemon lives.",
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
    (Field("uptime", "float", "s", "How long it lived."),),
    "One point for each pilot that ended; `started`: its command ran; `killed`: Plancton asked "
    "it to end (`True`, `False`).",
    since="2017",
)

_NODE = ("hostname", "site")

NODE = Series(
    "plancton_node",
    _NODE,
    (
        Field("ncpus", "integer", "CPUs", "CPUs of the node."),
        Field("owner_cpus", "float", "CPUs", "In use by the owner: everything but pilots."),
        Field("owner_cpus_smoothed", "float", "CPUs", "The same as capacity is reckoned with."),
        Field("pilots_cpus", "float", "CPUs", "In use by all pilots together."),
        Field("idle_cpus", "float", "CPUs", "In use by nobody."),
        Field("harvest", "float", "share", "Of the CPU that the owner leaves, what pilots use."),
        Field(
            "pilots_squeezed",
            "float",
            "share",
            "Of the CPUs promised to running pilots, what they do not get while the node is full.",
        ),
        Field(
            "owner_squeezed",
            "float",
            "CPUs",
            "In use by pilots that the kernel does not hold below the owner, while the node is "
            "full; 0 where the protection is in force.",
        ),
        Field("mem_total", "integer", "bytes", "Memory of the node."),
        Field("mem_available", "integer", "bytes", "What programs can still get."),
        Field("pilots_mem", "integer", "bytes", "In use by all pilots together."),
        Field("memory_stall", "float", "%", "PSI: time of the last 10 s that all tasks waited."),
    ),
    "What the owner and the pilots use.",
)
PILOTS = Series(
    "plancton_pilots",
    _NODE,
    (
        Field("running", "integer", "pilots", "That run."),
        Field("starting", "integer", "pilots", "That are being started."),
        Field("draining", "integer", "pilots", "Asked to end and still there."),
        Field("capacity", "integer", "pilots", "Up to here pilots are started."),
        Field("capacity_keep", "integer", "pilots", "Beyond this they are evicted."),
        Field("limited_by", "string", "", "The rule that keeps more from starting; `` for none."),
        Field("started", "integer", "pilots", "Started since the last point."),
        Field("starts_per_second", "float", "1/s", "The same as a rate."),
        Field("start_failures", "integer", "pilots", "Could not be started."),
        Field("start_latency", "float", "s", "From the request to its command's start; median."),
        Field("start_latency_max", "float", "s", "The longest of them."),
        Field("ended_normal", "integer", "pilots", "Ended well."),
        Field("ended_no_work", "integer", "pilots", "Found nothing to do."),
        Field("ended_failure", "integer", "pilots", "Failed."),
        Field("ended_other", "integer", "pilots", "Were asked to end, or tell nothing."),
    ),
    "The pilots of a node, and what became of those that ended since the last point.",
)
EVICTIONS = Series(
    "plancton_evictions",
    (*_NODE, "reason"),
    (Field("count", "integer", "pilots", "Asked to end since the last point."),),
    "`reason`: `owner`, `memory`, `window`, `max_ttl` or `force-stop`.",
)
STATE = Series(
    "plancton_state",
    _NODE,
    (
        Field("mode", "string", "", "`active`, `drain`, `drain-stop` or `force-stop`."),
        Field("window", "string", "", "`open`, `ending`, `grace` or `closed`."),
        Field("window_change", "float", "s", "Until the window's next change."),
        Field("breaker_open", "boolean", "", "Pilots fail, and starts are held back."),
        Field("breaker_failures", "integer", "pilots", "Failures in a row."),
        Field("no_work_level", "integer", "", "Of the back-off; 0: pilots find work."),
        Field("engine_ok", "boolean", "", "The engine answers."),
        Field("protected", "boolean", "", "The kernel holds the pilots below the owner."),
        Field("loop_time", "float", "s", "A look at the node took so long; mean."),
        Field("loop_time_max", "float", "s", "The longest of them."),
        Field("looks", "integer", "", "Looks since the last point."),
        Field("config_age", "float", "s", "Since the configuration in force was read."),
        Field("config_rejected", "boolean", "", "A newer configuration is wrong and not used."),
        Field("image", "string", "", "Digest of the image that new pilots are made from."),
        Field("image_age", "float", "s", "Since the registry last gave it."),
        Field("image_problem", "boolean", "", "The last pull failed."),
        Field("version", "string", "", "Of Plancton."),
    ),
    "What the daemon thinks, and whether it can work.",
)
ERRORS = Series(
    "plancton_errors",
    (*_NODE, "kind"),
    (Field("count", "integer", "", "Since the last point."),),
    "`kind`: `engine`, `configuration`, `start` or `pilot`.",
)
SENDING = Series(
    "plancton_metrics",
    (*_NODE, "target"),
    (
        Field("waiting", "integer", "points", "Not sent yet."),
        Field("sent", "integer", "points", "Since the daemon began."),
        Field("dropped", "integer", "points", "Lost since then: too many waited, or refused."),
        Field("failures", "integer", "", "Requests that failed since then."),
    ),
    "How sending goes, a target (`host:port#database`) each.",
)

ALL = (DAEMON, MEASUREMENT, CONTAINER, NODE, PILOTS, EVICTIONS, STATE, ERRORS, SENDING)
