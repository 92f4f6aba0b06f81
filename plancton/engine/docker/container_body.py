"""Translate a checked configuration into the Docker API's description of a container (v1.41).

Pure: it asks no engine and reads no file.  Source of the names:
https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerCreate
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from commandline.parser import suggest
from plancton.config.expressions import BadExpression
from plancton.config.model import Config
from plancton.engine import job_features
from plancton.engine.pilot_spec import PilotSpec

#: What Plancton writes on its containers, beside the labels of ``launch``.
PILOT, IMAGE = "plancton.pilot", "plancton.image"
IMAGE_DIGEST, CGROUP = "plancton.image.digest", "plancton.node.cgroup"
_OURS = "plancton."
#: Where a container finds what it is told about its node: at no place that is usually mounted.
FEATURES = "/plancton-pilot"

#: Docker refuses less than this (bytes).
MIN_MEMORY = 6 * 1024 * 1024
#: The kernel's shortest quota is 1 ms of 100 ms.
MIN_CPUS = 0.01
#: What a pilot prints may not fill the owner's disk: its last 10 MB are kept while it lives.
_LOG_LIMIT = {"max-size": "10m"}
#: Networks that exclude all others.
_LONE_NETWORKS = ("none", "host", "bridge", "default")
_PROPAGATION = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}
_RELABEL = {"z", "Z"}
#: The engine refuses to label these; CVMFS cannot be labelled.
_NEVER_LABELLED = {
    "/", "/bin", "/boot", "/cvmfs", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/opt",
    "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/usr", "/var", "/var/lib", "/var/log",
    "/tmp",  # noqa: S108
}  # fmt: skip
_DEVICE_RIGHTS = re.compile(r"[rwm]{1,3}\Z")
#: An image's name as the engines read it (github.com/distribution/reference, regexp.go): registry,
#: path in small letters, tag, digest.
_IMAGE_NAME = re.compile(
    r"((?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9A-Fa-f]{32,})?\Z"
)
_USER = re.compile(r"\w[\w.-]*(:\w[\w.-]*)?\Z")
#: As the engine's own programs write it.
_HOST = re.compile(r"(unix:///?\w.*|(tcp|https?|ssh)://[\w.\[].*)?\Z")
#: The limits of setrlimit(2), by the names that the engines have for them.
_ULIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip
#: capabilities(7), and the two words that Docker and Podman know beside them.
_CAPABILITIES = (
    "ALL", "DEFAULT",
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE",
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL",
    "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
    "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG",
    "WAKE_ALARM",
)  # fmt: skip


@dataclass(frozen=True)
class EngineFacts:
    """The engine's version and settings, and the CPUs of its node."""

    name: str = ""  #: e.g. "Docker 20.10.24"
    ncpus: int = 1
    apparmor: bool = False
    log_driver: str = ""
    cgroup_driver: str = "cgroupfs"
    #: it labels what is bound, so that SELinux lets containers read it
    selinux: bool = False
    #: mounts of the node can be passed on into containers, as its / is a shared mount
    passes_mounts_on: bool = True
    #: the security option with which pilots may make user namespaces
    user_namespaces: str = ""


def build_body(
    spec: PilotSpec, *, image: str, digest: str, facts: EngineFacts, cgroup_parent: str
) -> dict[str, Any]:
    """Return the body of ``POST /containers/create``.

    ``image`` is what the engine shall run, ``digest`` what is written on the label;
    ``cgroup_parent`` is in the engine's own form, "" for none.  Raises BadExpression,
    which a checked configuration does not.
    """
    config = spec.config
    return {
        "Image": image,
        "Cmd": list(spec.command),
        "Hostname": spec.hostname,
        "User": config.user_group,
        "Env": [f"{key}={value}" for key, value in _environment(spec).items()],
        "Labels": {
            **config.labels,
            **spec.labels,
            PILOT: spec.name,
            IMAGE: config.docker_image,
            IMAGE_DIGEST: digest,
            CGROUP: cgroup_parent,
        },
        # An image may name another; a pilot is always asked to end by SIGTERM.
        "StopSignal": "SIGTERM",
        "HostConfig": {
            **_limits(config, facts),
            **_rights(config, facts),
            **_view(config, facts),
            "CgroupParent": cgroup_parent,
            "OomScoreAdj": config.oom_score_adj,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": _log_config(facts),
        },
    }


def _environment(spec: PilotSpec) -> dict[str, str]:
    told = job_features.make_variables(FEATURES, spec.environment) if has_features(spec) else {}
    return {**told, **spec.environment}


def has_features(spec: PilotSpec) -> bool:
    """Tell whether the container gets files about its node; a read-only one takes none."""
    return bool(spec.features) and not spec.config.read_only


def pack_features(features: job_features.Features) -> bytes:
    """Return a tar archive of the files about the node, readable by everybody.

    An archive cannot remove a file: one that is to go becomes a link to nothing, so that who
    opens it finds none.
    """
    packed = io.BytesIO()
    directories = {str(parent) for path in features for parent in PurePath(path).parents}
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for directory in sorted(directories):
            entry = tarfile.TarInfo(str(PurePath(FEATURES.lstrip("/"), directory)))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, text in features.items():
            content = (text or "").encode()
            entry = tarfile.TarInfo(str(PurePath(FEATURES.lstrip("/"), path)))
            entry.size, entry.mode = len(content), 0o644
            if text is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, ".none"
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def list_further_networks(config: Config) -> tuple[str, ...]:
    """Return the networks to join after creation: the API takes one at a time."""
    return config.networks[1:]


def find_problems(config: Config) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the values, by key; ``config`` has its templates filled in."""
    checks: Mapping[str, Any] = {
        "binds": lambda: [_bind(text) for text in config.binds],
        "devices": lambda: [_device(text) for text in config.devices],
        "capabilities": lambda: _capabilities(config),
        "ulimits": lambda: [_ulimit(*item) for item in config.ulimits.items()],
        "gpus": lambda: _gpus(str(config.gpus)),
        "networks": lambda: _check_networks(config.networks),
        "docker_host": lambda: _check(
            _HOST, config.docker_host, "is not unix:///PATH or tcp://HOST:PORT"
        ),
        "user_group": lambda: _check(_USER, config.user_group, "is not uid:gid"),
        "labels": lambda: _check_labels(config.labels),
        "cgroup_parent": lambda: _check(
            re.compile(r"/?\w[\w.-]*(/\w[\w.-]*)*\Z"), config.cgroup_parent, "is no group's name"
        ),
        "tmpfs": lambda: [_absolute(path) for path in config.tmpfs],
        "max_dock_mem": lambda: _check_memory(config.max_dock_mem),
        "docker_image": lambda: _check(_IMAGE_NAME, config.docker_image, "is no image's name"),
    }
    for key, check in checks.items():
        try:
            check()
        except BadExpression as error:
            yield key, str(error)


def _limits(config: Config, facts: EngineFacts) -> dict[str, Any]:
    cpus = min(max(config.cpus_per_dock, MIN_CPUS), facts.ncpus)
    return {
        "NanoCpus": round(cpus * 1e9),
        "Memory": config.max_dock_mem,
        # Docker means memory and swap together.
        "MemorySwap": config.max_dock_mem + config.max_dock_swap,
        # -1 means no limit to Docker, and to Podman 0 does too
        "PidsLimit": config.pids_limit or -1,
        "Ulimits": [_ulimit(*item) for item in config.ulimits.items()],
        **({"ShmSize": config.shm_size} if config.shm_size else {}),
    }


def _rights(config: Config, facts: EngineFacts) -> dict[str, Any]:
    if config.docker_privileged:
        return {"Privileged": True, "Init": config.init}
    add, drop = _capabilities(config)
    options = [text.replace(":", "=", 1) for text in config.security_opts]
    if not facts.apparmor:
        options = [text for text in options if not text.startswith("apparmor=")]
    if config.user_namespaces and not any(text.startswith("seccomp=") for text in options):
        options.append(facts.user_namespaces)
    if config.no_new_privileges:
        options.append("no-new-privileges")
    return {
        "Privileged": False,
        "CapAdd": add,
        "CapDrop": drop,
        "SecurityOpt": options,
        "ReadonlyRootfs": config.read_only,
        "Init": config.init,
    }


def _view(config: Config, facts: EngineFacts) -> dict[str, Any]:
    labelled = facts.selinux and not (
        config.docker_privileged or {"label:disable", "label=disable"} & {*config.security_opts}
    )
    binds = [_bind(text, facts.passes_mounts_on, labelled) for text in config.binds]
    return {
        "NetworkMode": config.networks[0] if config.networks else "default",
        # Only the old form of a bind can relabel for SELinux; the new one refuses a host
        # path that is not there, where the old one makes a directory on the owner's disk.
        "Binds": [one for one in binds if isinstance(one, str)],
        "Mounts": [one for one in binds if not isinstance(one, str)],
        "Tmpfs": dict(config.tmpfs),
        "Devices": [_device(text) for text in config.devices],
        "DeviceRequests": _gpus(str(config.gpus)),
    }


def _log_config(facts: EngineFacts) -> dict[str, Any]:
    if facts.log_driver == "json-file":
        return {"Type": facts.log_driver, "Config": _LOG_LIMIT}
    return {"Type": "", "Config": {}}


def _bind(text: str, passes_mounts_on: bool = True, labelled: bool = False) -> str | dict[str, Any]:
    """Return a bind as the API wants it; what the text leaves open is for CVMFS to work.

    That is mounted when it is first used, maybe after the pilot started. ``labelled``: SELinux lets
    no container read what has not its label (``z``, as all pilots share it).
    """
    # A lone path, as files of 2017 have it, is found at the same place inside.
    host, colon, rest = text.partition(":")
    inside, _, options = rest.partition(":") if colon else (host, "", "")
    if not inside:
        raise BadExpression(f"{text!r} is not host:container[:options]")
    _absolute(host)
    _absolute(inside)
    given = set(options.split(",")) - {""}
    unknown = given - _PROPAGATION - _RELABEL - {"ro", "rw"}
    if unknown:
        raise BadExpression(f"{text!r} has an unknown option, {min(unknown)!r}")
    if {"ro", "rw"} <= given:
        raise BadExpression(f"{text!r} cannot be both ro and rw")
    spread = sorted(given & _PROPAGATION)
    if len(spread) > 1:
        raise BadExpression(f"{text!r} cannot be both {spread[0]} and {spread[1]}")
    if not spread and passes_mounts_on:
        spread = ["rslave"]
    if labelled and not given & _RELABEL and host not in _NEVER_LABELLED:
        given |= {"z"}
    if given & _RELABEL:
        mode = "rw" if "rw" in given else "ro"
        return f"{host}:{inside}:" + ",".join([mode, *spread, *sorted(given & _RELABEL)])
    mount: dict[str, Any] = {
        "Type": "bind",
        "Source": host,
        "Target": inside,
        "ReadOnly": "rw" not in given,
    }
    if spread:
        mount["BindOptions"] = {"Propagation": spread[0]}
    return mount


def _device(text: str) -> dict[str, str]:
    parts = text.split(":")
    host = _absolute(parts[0])
    inside, rights = host, "rwm"
    if len(parts) == 2 and _DEVICE_RIGHTS.match(parts[1]):
        rights = parts[1]
    elif len(parts) >= 2:
        inside = _absolute(parts[1])
    if len(parts) == 3:
        rights = parts[2]
    if len(parts) > 3 or not _DEVICE_RIGHTS.match(rights):
        raise BadExpression(f"{text!r} is not host:container[:permissions]")
    return {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": rights}


def _capabilities(config: Config) -> tuple[list[str], list[str]]:
    """Return the capabilities to add and those to drop."""
    add: list[str] = []
    drop: list[str] = []
    for text in config.capabilities:
        name = text.removeprefix("-").upper().removeprefix("CAP_")
        if name not in _CAPABILITIES:
            raise BadExpression(f"{text!r} is no capability{suggest(name, _CAPABILITIES)}")
        (drop if text.startswith("-") else add).append(name)
    if "DEFAULT" in add or "ALL" in add:
        return [name for name in add if name not in ("DEFAULT", *drop)], drop
    return [name for name in add if name not in drop], ["ALL"]


def _ulimit(name: str, value: int | str) -> dict[str, Any]:
    parts = str(value).split(":")
    if len(parts) > 2 or not all(re.fullmatch(r"-1|\d+", part) for part in parts):
        raise BadExpression(f"{name}: {value!r} is not a number or soft:hard")
    if name not in _ULIMITS:
        raise BadExpression(f"{name}: is no limit; known: {', '.join(_ULIMITS)}")
    soft, hard = int(parts[0]), int(parts[-1])
    if max(soft, hard) >= 2**63:
        raise BadExpression(f"{name}: {value!r} is more than the kernel can be told; -1: no limit")
    if hard != -1 and not 0 <= soft <= hard:  # -1: no limit
        raise BadExpression(f"{name}: {value!r} has a soft limit above the hard one")
    return {"Name": name, "Soft": soft, "Hard": hard}


def _gpus(text: str) -> list[dict[str, Any]]:
    if not text:
        return []
    request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]], "Options": {}}
    if text == "all":
        return [{**request, "Count": -1}]
    if text.isdigit():
        return [{**request, "Count": int(text)}]
    if text.startswith("device=") and all(text[len("device=") :].split(",")):
        return [{**request, "DeviceIDs": text[len("device=") :].split(",")}]
    raise BadExpression(f"{text!r} is not `all`, a number or `device=ID,ID`")


def _check_networks(networks: tuple[str, ...]) -> None:
    lone = [name for name in networks if name in _LONE_NETWORKS]
    if lone and len(networks) > 1:
        raise BadExpression(f"{lone[0]!r} cannot be joined with another network")


def _check_labels(labels: Mapping[str, str]) -> None:
    for name in labels:
        if name.startswith(_OURS):
            raise BadExpression(f"{name!r}: labels that begin with {_OURS!r} are Plancton's own")


def _check_memory(size: int) -> None:
    if size < MIN_MEMORY:
        raise BadExpression(f"a container needs at least {MIN_MEMORY} bytes, not {size}")


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise BadExpression(f"{path!r} is not an absolute path")
    return path


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.match(text):
        raise BadExpression(f"{text!r} {what}")
