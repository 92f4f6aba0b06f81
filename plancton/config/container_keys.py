"""The keys that describe a pilot's container; a part of ``config.model.Config``.

The defaults are the safe ones: no capability, no new privileges, nothing of the
host writable.  Lists and texts may hold the templates that ``docker_cmd`` may.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from .key_types import Bytes, Interval, SizeExpression, Texts, key

_NAMES = "May hold `{{ names }}`."


class ContainerKeys(BaseModel):
    """The keys that only ``engine: docker`` uses."""

    # The engine
    docker_host: str = key(
        "",
        "",
        "Where the engine listens, e.g. `unix:///run/podman/podman.sock`; empty: `DOCKER_HOST`, "
        "else `unix:///var/run/docker.sock`.",
        "1.0",
    )

    # The image
    docker_image: str = key(
        "busybox",
        "",
        "Image of a pilot: repository[:tag] or repository@digest, with the registry in front "
        "where it is not Docker's own.",
    )
    image_expiration: Interval = key(
        43200.0,
        "s",
        "Time between pulls of the image. Running pilots keep theirs; a pull that fails keeps "
        "the one there is.",
    )
    registry_config: str = key(
        "",
        "",
        "The Docker config file with the credentials for private registries; empty: "
        "`$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. Read again for each pull.",
        "1.0",
    )

    # Rights
    docker_privileged: bool = key(
        False,
        "",
        "Run the container privileged: with all rights over the node. Then `capabilities`, "
        "`security_opts` and `no_new_privileges` say nothing.",
    )
    user_group: str = key("0:0", "", "uid:gid inside the container.")
    capabilities: Texts = key(
        (),
        "",
        "Capabilities to add, or to drop with a leading `-`. All are dropped but those that are "
        "added here; `DEFAULT` adds the engine's usual set, `ALL` every one.",
    )
    no_new_privileges: bool = key(
        True, "", "Nothing in the container gains rights by setuid programs.", "1.0"
    )
    security_opts: Texts = key(
        (),
        "",
        "Security options, e.g. `apparmor:PROFILE`, which is used only where AppArmor is on. "
        + _NAMES,
    )
    user_namespaces: bool = key(
        False,
        "",
        "Pilots may make user namespaces, as Apptainer does where it is not setuid: a seccomp "
        "profile of Plancton's own instead of the engine's, unless `security_opts` names one.",
        "1.0",
    )
    read_only: bool = key(False, "", "The container's own file system is read-only.", "1.0")

    # What it sees of the node
    binds: Texts = key(
        (),
        "",
        "Bind mounts, `host:container[:options]`: read-only unless `:rw` is written. "
        "The host path must exist. Options are separated by commas: ro, rw, z, Z, and how mounts "
        "spread (rslave, which is the default: what the node mounts later, as CVMFS is, shows in "
        "pilots; private, rshared, ...). Where the engine uses SELinux, `z` is the default but for "
        "/cvmfs and directories of the system; `security_opts: [label:disable]` prevents it. "
        + _NAMES,
    )
    tmpfs: dict[str, str] = key(
        {}, "", "File systems in memory: path and options, e.g. `/tmp: size=100m`.", "1.0"
    )
    devices: Texts = key((), "", "Devices, host:container[:cgroup permissions].")
    gpus: int | str = key(
        "",
        "",
        "GPUs for each pilot: `all`, a number, or `device=ID,ID`. The engine needs the vendor's "
        "runtime.",
        "1.0",
    )
    networks: Texts = key(
        (),
        "",
        "Networks of the engine to join, or one of `none`, `host` and `bridge`. "
        "Unset: the engine's default.",
        "1.0",
    )

    # Limits
    max_dock_swap: Bytes = key(0, "bytes", "Swap of one pilot, beside its `max_dock_mem`.")
    shm_size: Bytes = key(
        0, "bytes", "Size of /dev/shm, a part of the pilot's memory; 0: the engine's.", "1.0"
    )
    ulimits: dict[str, int | str] = key(
        {}, "", "Limits by name, `nofile: 4096` or `nofile: 1024:4096` (soft:hard).", "1.0"
    )
    pids_limit: Annotated[int, Field(ge=0)] = key(
        2048,
        "processes",
        "Most processes and threads of one pilot, so that a job that forks without end takes "
        "none of the owner's; 0: no limit.",
        "1.0",
    )
    max_dock_disk: Bytes = key(
        100_000_000_000,
        "bytes",
        "Disk that one pilot may fill in its container; one that has written more is asked to end. "
        "Measured every 20 s, less often where that takes long, as the sum of the sizes of its "
        "files; files in bind mounts and volumes do not count. A pilot that cannot be measured "
        "three times in a row, within 60 s each, is asked to end, too: it has millions of files, "
        "or paths longer than 4096 characters. 0: no limit.",
        "1.0",
    )
    init: bool = key(
        False,
        "",
        "Run the engine's small init as the first process. Without it, a command that does not "
        "handle SIGTERM is not ended by it, as the kernel protects first processes.",
        "1.0",
    )
    labels: dict[str, str] = key({}, "", "Further labels of the container. " + _NAMES, "1.0")

    # The owner first
    cgroup_parent: str = key(
        "plancton",
        "",
        "Control group that holds every pilot: it runs only when nobody else wants the CPU, and "
        "tells what the pilots use. With the engine's `systemd` driver it is a slice "
        "(`plancton.slice`). Pilots in a group inside another one (`batch/plancton`) yield to what "
        "is in the outer one alone, unless that has `cpu.idle` too: they are then evicted for CPU.",
        "1.0",
    )
    cgroup_root: str = key(
        "/sys/fs/cgroup",
        "",
        "Where the node's control groups are mounted; another place when Plancton itself runs "
        "in a container.",
        "1.0",
    )
    pilots_memory: SizeExpression = key(
        "ram_bytes - mem_reserve",
        "bytes",
        "Most memory for all pilots together: a number, or an expression over ncpus, ram_bytes, "
        "swap_bytes, max_dock_mem, max_dock_swap and mem_reserve. 0: no ceiling.",
        "1.0",
    )
    oom_score_adj: Annotated[int, Field(ge=-1000, le=1000)] = key(
        900,
        "",
        "How readily the kernel kills pilots when memory is out: 1000 is before all others. Below "
        "1000, so that it takes a worker's job (which has 1000) before the worker.",
        "1.0",
    )


#: For these the engine is opened again.
READ_AT_START = ("docker_host", "cgroup_parent", "cgroup_root")
