"""Derive one pilot from the configuration: its name, command and environment."""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import string
from collections.abc import Mapping
from dataclasses import dataclass, field

from plancton.config.computed_keys import list_numbers
from plancton.config.expressions import BadExpression, render
from plancton.config.model import Config
from plancton.model import HostFacts

NAME_PREFIX = "plancton-worker-"
#: Labels of every pilot: which node it is for, and with which configuration it was started.
NODE_LABEL, CONFIG_LABEL = "plancton.node", "plancton.config"
_SUFFIX_LENGTH = 6
_ALPHABET = string.digits + string.ascii_lowercase
#: A host name may have 63 characters; ``plancton-``, ``-`` and the suffix take 16 (as in 2017).
_HOST_LENGTH = 40
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class PilotSpec:
    """What an engine needs to start a pilot; templates are filled in.

    ``config`` carries the rest (image, mounts, ...) for engines with containers.
    """

    name: str
    hostname: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    config: Config
    labels: Mapping[str, str] = field(default_factory=dict)
    #: files that tell the pilot about its node (``job_features``): relative paths and contents
    features: Mapping[str, str] = field(default_factory=dict)


def make_name() -> str:
    """Return ``plancton-worker-`` and six random characters."""
    return NAME_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_LENGTH))


def make_spec(
    config: Config, facts: HostFacts, name: str, features: Mapping[str, str] | None = None
) -> PilotSpec:
    """Return one pilot.  Raises BadExpression, which a checked configuration does not.

    Args:
        config: the node's.
        facts: of the node.
        name: the pilot's.
        features: what it is told (``job_features.make_features``); None: nothing.
    """
    names = list_template_names(config, facts, name)
    return PilotSpec(
        name=name,
        hostname=f"plancton-{facts.hostname[:_HOST_LENGTH]}-{name[len(NAME_PREFIX) :]}",
        command=fill_command(config, names),
        environment=fill_environment(config, names),
        config=fill_container_keys(config, names),
        labels={NODE_LABEL: facts.hostname, CONFIG_LABEL: fingerprint_config(config)},
        features=features or {},
    )


def fingerprint_config(config: Config) -> str:
    """Return a short text that is the same for the same configuration."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]


#: Keys whose texts may hold templates; the others are read before any pilot has a name.
TEMPLATES = (
    "user_group",
    "security_opts",
    "binds",
    "tmpfs",
    "devices",
    "gpus",
    "networks",
    "labels",
)


def fill_container_keys(config: Config, names: Mapping[str, str | float]) -> Config:
    """Return the configuration with its container's templates filled in.

    Raises BadExpression.
    """
    changed: dict[str, object] = {}
    for key in TEMPLATES:
        value = getattr(config, key)
        try:
            new: object
            if isinstance(value, (str, int)):
                new = render(str(value), names)
            elif isinstance(value, tuple):
                new = tuple(render(part, names) for part in value)
            else:
                new = {render(name, names): render(part, names) for name, part in value.items()}
        except BadExpression as error:
            raise BadExpression(f"{key}: {error}") from error
        if new != value:
            changed[key] = new
    return config.model_copy(update=changed) if changed else config


def list_template_names(config: Config, facts: HostFacts, pilot: str) -> dict[str, str | float]:
    """Return the names that the configuration's templates may use, with their values.

    ``facts``: of the node, ``pilot``: the pilot's name.
    """
    return {
        **list_numbers(config, facts),
        "hostname": facts.hostname,
        "cpus_per_dock": config.cpus_per_dock,
        "pilot": pilot,
    }


def fill_command(config: Config, names: Mapping[str, str | float]) -> tuple[str, ...]:
    """Return ``docker_cmd``, filled in and split.  Raises BadExpression."""
    if isinstance(config.docker_cmd, str):
        try:
            command = tuple(shlex.split(render(config.docker_cmd, names)))
        except BadExpression:
            raise
        except ValueError as error:  # an open quote
            raise BadExpression(f"{error} in {config.docker_cmd!r}") from error
    else:
        command = tuple(render(part, names) for part in config.docker_cmd)
    if not command or not command[0]:
        raise BadExpression("is empty; give the command that a pilot runs")
    if any("\0" in part for part in command):
        raise BadExpression("holds a null character")
    return command


def fill_environment(config: Config, names: Mapping[str, str | float]) -> dict[str, str]:
    """Return ``environment``, filled in.  Raises BadExpression."""
    filled = {}
    for key, value in config.environment.items():
        if not _VARIABLE.match(key):
            raise BadExpression(f"{key!r} is not a name for a variable")
        try:
            filled[key] = render(value, names)
        except BadExpression as error:
            raise BadExpression(f"{key}: {error}") from error
        if "\0" in filled[key]:
            raise BadExpression(f"{key}: holds a null character")
    return filled
