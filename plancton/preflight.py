"""Load a configuration and check it against this node before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hostfiles.regular_file import open_regular
from plancton.calendar.syntax import find_zone, parse_period
from plancton.config.computed_keys import max_docks, pilots_memory
from plancton.config.expressions import BadExpression
from plancton.config.key_types import parse_syslog_address
from plancton.config.model import Config
from plancton.config.yaml_file import read_yaml
from plancton.engine.docker import container_body
from plancton.engine.pilot_spec import (
    fill_command,
    fill_container_keys,
    fill_environment,
    list_template_names,
)
from plancton.errors import ConfigError
from plancton.model import HostFacts
from telemetry import targets

#: Bytes of a configuration.
_LONGEST_FILE = 1_000_000


def load_config(path: Path, facts: HostFacts, may_be_pipe: bool = False) -> Config:
    """Return the configuration at ``path``, checked against this node.

    ``may_be_pipe``: for a path that a person has just named, as ``/dev/stdin``. Raises ConfigError.
    """
    try:
        with open(path, "rb", opener=None if may_be_pipe else open_regular) as file:
            content = file.read(_LONGEST_FILE + 1)
        if len(content) > _LONGEST_FILE:
            raise ConfigError(
                f"{path}: has more than {_LONGEST_FILE} bytes, the most of a configuration"
            )
        text = content.decode()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; write one (keys: planctonctl validate --schema) "
            "or name its directory with --confdir"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: is not UTF-8; store the file in that encoding"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_config(text, str(path), facts)


def parse_config(text: str, where: str, facts: HostFacts) -> Config:
    """Return the configuration in ``text``; ``where`` names its source in the messages.

    Raises ConfigError.
    """
    config, lines = read_yaml(text, where)
    problems = [
        f"{where}:{lines.get(key, 1)}: {key}: {what}" for key, what in _find_problems(config, facts)
    ]
    if problems:
        raise ConfigError(*problems)
    return config


def _check_absolute(path: str) -> None:
    """Raise ValueError unless it is empty: the daemon's directory is / or anything."""
    if path and not path.startswith("/"):
        raise ValueError(f"{path!r} is not an absolute path")


def _find_problems(config: Config, facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield the problems (key, text) that only show when the configuration is used here."""
    names = list_template_names(config, facts, "plancton-worker-000000")
    zone = config.timezone or facts.timezone
    #: by key: what uses it, and what its problems begin with
    checks: list[tuple[str, Callable[[], object], str]] = [
        ("max_docks", lambda: max_docks(config, facts), f"cannot compute {config.max_docks!r}: "),
        ("docker_cmd", lambda: fill_command(config, names), ""),
        ("environment", lambda: fill_environment(config, names), ""),
        *(
            (key, partial(parse_period, text), f"[{number}] ")
            for key, periods in (("windows", config.windows), ("stops", config.stops))
            for number, text in enumerate(periods)
        ),
        ("syslog", lambda: config.syslog and parse_syslog_address(config.syslog), ""),
        ("influxdb_url", lambda: targets.parse_all(config.influxdb_url), ""),
        ("prometheus", lambda: config.prometheus and targets.parse_address(config.prometheus), ""),
        ("timezone", lambda: find_zone(zone), ""),
        ("scratch_dir", lambda: _check_absolute(config.scratch_dir), ""),
        ("registry_config", lambda: _check_absolute(config.registry_config), ""),
    ]
    for key, check, begin in checks:
        try:
            check()
        except ValueError as error:  # BadExpression, BadPeriod and BadTarget are such
            yield key, f"{begin}{error}"
    if config.engine == "docker":
        try:
            yield from container_body.find_problems(fill_container_keys(config, names))
        except BadExpression as error:
            key, _, what = str(error).partition(": ")
            yield key, what
    try:
        pilots_memory(config, facts)
    except BadExpression as error:
        yield "pilots_memory", f"cannot compute {config.pilots_memory!r}: {error}"
    both = sorted(set(config.exit_no_work) & set(config.exit_failure))
    if both:
        yield "exit_failure", f"exit code {both[0]} is in exit_no_work too"
    if 0 in config.exit_no_work + config.exit_failure:
        key = "exit_no_work" if 0 in config.exit_no_work else "exit_failure"
        yield key, "exit code 0 is a normal end"
