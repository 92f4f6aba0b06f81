"""Reading ``config.yaml``: every problem is one line with the file, the line and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from plancton.calendar.syntax import BadPeriod, zone
from plancton.calendar.syntax import parse as parse_period
from plancton.daemon.logs import address
from plancton.engine.docker import container_body
from plancton.engine.pilot_spec import command_of, environment_of, filled, names_for
from plancton.errors import ConfigError
from plancton.model import HostFacts
from plancton.policy.capacity import max_docks, pilots_memory
from telemetry import targets

from .expressions import BadExpression
from .model import Config


def load(path: Path, facts: HostFacts) -> Config:
    """The configuration at ``path``, checked against this node.

    Raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; write one (docs/howto-node.md has a first one) "
            "or name its directory with --confdir"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {_reason(error)}") from error
    return parse(text, str(path), facts)


def parse(text: str, where: str, facts: HostFacts) -> Config:
    """The configuration written in ``text``; ``where`` names its source in the messages.

    Raises ConfigError.
    """
    lines, values = _mapping(text, where)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*_problems(error, where, lines)) from error
    problems = [
        f"{where}:{lines.get(key, 1)}: {key}: {what}" for key, what in _computed(config, facts)
    ]
    if problems:
        raise ConfigError(*problems)
    return config


def _mapping(text: str, where: str) -> tuple[dict[str, int], dict[str, Any]]:
    """The line of each key, and the values."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{where}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not YAML: {_reason(error)}") from error
    if values is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise ConfigError(f"{where}:1: must be a list of `key: value` lines")
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            # YAML would silently take the last one.
            raise ConfigError(
                f"{where}:{line}: {key.value} is given twice (first in line {lines[key.value]})"
            )
        lines[key.value] = line
    return lines, {str(key): value for key, value in values.items()}


def _problems(error: ValidationError, where: str, lines: dict[str, int]) -> list[str]:
    found: dict[str, str] = {}
    for item in error.errors(include_url=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        if key in found:  # a union reports each of its members
            if item["type"] != "extra_forbidden":
                found[key] = f"{where}:{lines.get(key, 1)}: {key}: {_expected(key, item['input'])}"
            continue
        place = f"{where}:{lines.get(key, 1)}"
        if item["type"] == "extra_forbidden":
            found[key] = f"{place}: unknown key {key!r}; {_nearest(key)}"
        elif key == "user_group" and isinstance(item["input"], int):
            found[key] = f'{place}: user_group: YAML reads it as a number; quote it: "uid:gid"'
        else:
            inside = "".join(f"[{part!r}]" for part in item["loc"][1:] if part in _parts(item))
            message = item["msg"][0].lower() + item["msg"][1:]
            found[key] = f"{place}: {key}{inside}: {message}, not {item['input']!r}"
    return list(found.values())


def _parts(item: Any) -> set[Any]:
    """The parts of a location that are the user's own (list positions, names), not pydantic's."""
    return {part for part in item["loc"][1:] if isinstance(part, int)}


def _expected(key: str, value: object) -> str:
    kinds = {
        "docker_cmd": "a string or a list of strings",
        "max_docks": "a whole number or an expression",
        "docks_per_loop": "a whole number of at least 1",
        "influxdb_url": "a URL or a list of URLs",
    }
    return f"must be {kinds.get(key, 'something else')}, not {value!r}"


def _nearest(key: str) -> str:
    names = difflib.get_close_matches(key.lower(), Config.model_fields, n=1, cutoff=0.6)
    if names:
        return f"did you mean {names[0]!r}?"
    return "`planctonctl help` names the page with all keys"


def _computed(config: Config, facts: HostFacts) -> Iterator[tuple[str, str]]:
    """What only shows when the configuration is used on this node."""
    try:
        max_docks(config, facts)
    except BadExpression as error:
        yield "max_docks", f"cannot compute {config.max_docks!r}: {error}"
    names = names_for(config, facts, "plancton-worker-000000")
    try:
        command_of(config, names)
    except BadExpression as error:
        yield "docker_cmd", f"{error}"
    try:
        environment_of(config, names)
    except BadExpression as error:
        yield "environment", f"{error}"
    for key in ("windows", "stops"):
        for number, text in enumerate(getattr(config, key)):
            try:
                parse_period(text)
            except BadPeriod as error:
                yield key, f"[{number}] {error}"
    try:
        if config.syslog:
            address(config.syslog)
    except ValueError as error:
        yield "syslog", f"{error}, not {config.syslog!r}"
    try:
        targets.parse_all(config.influxdb_url)
    except targets.BadTarget as error:
        yield "influxdb_url", f"{error}"
    try:
        zone(config.timezone or facts.timezone)
    except BadPeriod as error:
        yield "timezone", f"{error}"
    if config.engine == "docker":
        try:
            yield from container_body.problems(filled(config, names))
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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())
