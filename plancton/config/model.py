"""The keys of ``config.yaml``: those of 2017 with their defaults, and the new ones.

Sizes are bytes and times are seconds throughout; in a file they may have a unit (``2GB``,
``12h``).  The descriptions below are the reference: ``docs/reference/plancton-config.md`` is
generated from them.

``engine`` defaults to ``docker`` because a configuration of 2017 means containers: as processes,
its pilots would run without isolation, as root. ``docks_per_loop`` has no default, because the
engine limits the rate of starts by itself.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .container_keys import ContainerKeys
from .key_types import (
    Bytes,
    Codes,
    Interval,
    Lifetime,
    Memory,
    Periods,
    Seconds,
    SlowInterval,
    Texts,
)
from .key_types import key as _key


class Config(ContainerKeys):
    """A node's configuration, an immutable value: a reload makes a new one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # What runs the pilots
    engine: Literal["docker", "process"] = _key(
        "docker",
        "",
        "`docker`: each pilot is a container of Docker or Podman. "
        "`process`: each pilot is a process group with its own scratch directory; "
        "no isolation, for one's own workstation and for trying things out. "
        "Never chosen silently.",
        "1.0",
    )
    docker_cmd: str | Texts = _key(
        "/bin/sleep 60",
        "",
        "Command of a pilot, a string (split as a shell would, without one) or a list. "
        "May hold `{{ ncpus }}`, `{{ hostname }}`, `{{ ram_bytes }}`, `{{ swap_bytes }}`, "
        "`{{ max_dock_mem }}`, `{{ max_dock_swap }}`, `{{ cpus_per_dock }}`, `{{ pilot }}`.",
    )
    environment: dict[str, str] = _key(
        {},
        "",
        "Environment variables of a pilot; values may hold the same `{{ names }}`. "
        "With `engine: process` a pilot also gets PATH, LANG, LC_ALL, TZ, USER and LOGNAME of "
        "the daemon, HOME and TMPDIR in its scratch directory, and PLANCTON_PILOT (its name).",
        "1.0",
    )
    scratch_dir: str = _key(
        "",
        "",
        "`engine: process`: directory for the pilots' scratch directories; empty means the run "
        "directory. As root the run directory is often in memory: name a disk here, in a "
        "directory that other users cannot write into.",
        "1.0",
    )

    # How many pilots
    max_docks: int | str = _key(
        "ncpus - 2",
        "pilots",
        "Most pilots at once: a number, or an expression over ncpus, ram_bytes, swap_bytes, "
        "max_dock_mem and max_dock_swap, with the functions abs, float, int, max, min and round; "
        "below 0 counts as 0.",
    )
    cpus_per_dock: Annotated[float, Field(gt=0, allow_inf_nan=False)] = _key(
        1.0, "CPUs", "CPUs that one pilot counts for; fractions allowed."
    )
    cpu_reserve: Annotated[float, Field(allow_inf_nan=False)] = _key(
        0.0,
        "CPUs",
        "CPUs kept free beside those that the owner uses. Negative hands out more than is idle: "
        "pilots yield to the owner anyway, as they run at the lowest priority.",
        "1.0",
    )
    max_dock_mem: Memory = _key(2_000_000_000, "bytes", "Memory of one pilot.")
    mem_reserve: Bytes = _key(
        1_000_000_000,
        "bytes",
        "Available memory kept for the owner; when less is left, pilots are evicted at once.",
        "1.0",
    )
    memory_stall: Annotated[float, Field(gt=0, le=100)] = _key(
        10.0,
        "%",
        "Share of the last 10 s in which every task waited for memory (PSI, `full avg10`) from "
        "which on pilots are evicted. With systemd and control groups v2 each slice beside the "
        "pilots' counts by itself, so that pilots that compute do not hide that the owner waits; "
        "one in which something waits at a memory limit of its own does not count. Not used where "
        "the kernel has no PSI.",
        "1.0",
    )
    docks_per_loop: Annotated[int, Field(ge=1)] | None = _key(
        None,
        "pilots",
        "Most pilots started by one timer pass (2017: 4). Unset: no cap. "
        "A pilot that ends is replaced at once in any case.",
    )

    # When
    main_sleep: Interval = _key(30.0, "s", "Time between two looks at the node.")
    updateconfig: Interval = _key(60.0, "s", "Time between re-reads of the configuration.")
    grace_kill: Seconds = _key(
        120.0,
        "s",
        "Time over capacity before pilots are evicted, those that used the least CPU first, all "
        "at once. Not for CPU where `cpu.idle` protects the owner.",
    )
    grace_spawn: Seconds = _key(60.0, "s", "Time without starts after an eviction.")
    squeeze_limit: Seconds = _key(
        3600.0,
        "s",
        "Time without CPU, because the owner uses it, after which a pilot is given up so that its "
        "job runs elsewhere; 0: never. Where `cpu.idle` protects the owner, pilots are not evicted "
        "for CPU before. The default is an hour: a job of several hours loses more by starting "
        "again.",
        "1.0",
    )
    lifetime_confidence: Annotated[float, Field(ge=0, lt=1)] = _key(
        0.97,
        "",
        "Probability with which a pilot lives for as long as it is told that it may: learned from "
        "how long this node's idle periods last. Higher: shorter times are told, and less is lost "
        "by evictions. Lower for a probe after others found no work. "
        "0: pilots are told only what `windows`, `stops` and `max_ttl` say.",
        "1.0",
    )
    lifetime_min: Seconds = _key(
        120.0,
        "s",
        "Shortest life that a pilot is told from what was learned. Few jobs are shorter than two "
        "minutes: a pilot that is told less finds none.",
        "1.0",
    )
    machine_features: bool = _key(
        True,
        "",
        "Tell pilots about the node and how long they may live: as Machine/Job Features "
        "(HSF-TN-2016-02), in the directories that `$MACHINEFEATURES` and `$JOBFEATURES` name, and "
        "in the file `$PLANCTON_LIFE`, which holds until when, in seconds since 1970. Not with "
        "`read_only`, as they are files in the container.",
        "1.0",
    )
    max_ttl: Lifetime = _key(
        43200.0,
        "s",
        "Time a pilot may live. Where this key is not set, only the time counts in which a pilot "
        "used no CPU although it could have had some, so that only stuck pilots are ended, and "
        "the week after which every pilot ends.",
    )
    stop_grace: Seconds = _key(
        10.0,
        "s",
        "Time between asking a pilot to end (SIGTERM) and killing it. "
        "At most 1 s when memory is short.",
        "1.0",
    )

    # Windows
    windows: Periods = _key(
        (),
        "",
        "When the node may be used, e.g. `mon-fri 20:00-06:00`, `sat,sun`, "
        "`fri 18:00 - mon 06:00`, `2026-12-24 18:00 - 2027-01-02 08:00`; empty: always.",
        "1.0",
    )
    stops: Periods = _key(
        (),
        "",
        "When it may not, whatever `windows` says; written alike. A lone date is the whole day.",
        "1.0",
    )
    timezone: str = _key(
        "",
        "",
        "Time zone of `windows` and `stops`, e.g. `Europe/Zurich`; empty: that of the node. "
        "In a container name it: the clock there is often UTC.",
        "1.0",
    )
    drain_lead: Seconds = _key(
        0.0,
        "s",
        "Time before the end of a window, or before a stop, from which on no pilot starts.",
        "1.0",
    )
    window_grace: Seconds = _key(
        60.0, "s", "Time after that end before the pilots that still run are evicted.", "1.0"
    )

    # What a pilot's end tells
    exit_no_work: Codes = _key(
        (3,), "", "Exit codes of a pilot that found nothing to do: back off.", "1.0"
    )
    exit_failure: Codes = _key(
        (4, 5), "", "Exit codes of a pilot that could not work: count as a failure.", "1.0"
    )
    quick_death: Seconds = _key(
        10.0,
        "s",
        "A pilot that ends sooner than this with any other code but 0 counts as a failure too.",
        "1.0",
    )
    no_work_backoff: Interval = _key(
        10.0, "s", "Wait before the first probe for work; doubles with each probe in vain.", "1.0"
    )
    no_work_backoff_max: Interval = _key(300.0, "s", "Longest wait between two probes.", "1.0")
    probe_cpu: Seconds = _key(
        5.0, "s", "A pilot that has used this much CPU time is taken to have found work.", "1.0"
    )
    breaker_failures: Annotated[int, Field(ge=1)] = _key(
        3, "pilots", "Failures in a row that stop new pilots (the circuit breaker).", "1.0"
    )
    breaker_backoff: Interval = _key(
        30.0, "s", "Wait before one pilot is tried again; doubles with each failure.", "1.0"
    )
    breaker_backoff_max: Interval = _key(1800.0, "s", "Longest wait of the breaker.", "1.0")

    # Log
    syslog: str = _key(
        "",
        "",
        "Log there too: a socket such as `/dev/log`, or `address[:port]` (UDP). Empty: nowhere.",
        "1.0",
    )

    # Metrics
    influxdb_url: str | Texts | None = _key(
        None,
        "",
        "One URL or a list, `http://user:pass@host:8086#database`; `https` or, accepting any "
        "certificate, `insecure_https`. Before the `#` options: `/?password_file=PATH&ca_file=PATH`"
        " (a file with the password; the CA of the server's certificate). The database is "
        "made when it is missing.",
    )
    metrics_interval: SlowInterval = _key(30.0, "s", "Between two points of each series.", "1.0")
    prometheus: str = _key(
        "",
        "",
        "Show the same figures at `ADDRESS:PORT/metrics` for Prometheus (needs "
        "`prometheus_client`). Empty: nowhere.",
        "1.0",
    )
    site: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=64)] = _key(
        "", "", "Name of the site, a tag of the series: for dashboards of several sites.", "1.0"
    )


#: Keys that say how many pilots run, when, and what is reported.  A change of any other key
#: changes what a pilot is, or what its end means.
NODE_KEYS = frozenset(
    {
        "max_docks",
        "cpu_reserve",
        "mem_reserve",
        "memory_stall",
        "docks_per_loop",
        "main_sleep",
        "updateconfig",
        "grace_kill",
        "grace_spawn",
        "squeeze_limit",
        "lifetime_confidence",
        "lifetime_min",
        "max_ttl",
        "stop_grace",
        "windows",
        "stops",
        "timezone",
        "drain_lead",
        "window_grace",
        "image_expiration",
        "syslog",
        "influxdb_url",
        "metrics_interval",
        "prometheus",
        "site",
    }
)


def fingerprint_pilots(config: Config) -> str:
    """Return a short text that is the same for the same kind of pilot."""
    text = config.model_dump_json(exclude=set(NODE_KEYS))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


#: Keys that do nothing with ``engine: process``; ``validate`` and the log name those that are set.
UNUSED_WITH_PROCESS = tuple(ContainerKeys.model_fields)


def list_notes(config: Config) -> tuple[str, ...]:
    """Return what the configuration asks for and does not get, one sentence each."""
    found = []
    if config.engine == "process":
        found += [
            f"{key} has no effect with engine: process"
            for key in UNUSED_WITH_PROCESS
            if key in config.model_fields_set
        ]
        found.append(
            "max_dock_mem decides how many pilots start; "
            "with engine: process nothing keeps a pilot below it"
        )
    return tuple(found)
