"""Parse ``config.yaml``; each problem is one line with the file, the line and what to do."""

from __future__ import annotations

import difflib
from typing import Any

import yaml
from pydantic import ValidationError

from plancton.errors import ConfigError

from .model import Config


def read_yaml(text: str, where: str) -> tuple[Config, dict[str, int]]:
    """Return the configuration in ``text``, and the line of each key.

    ``where`` names the source in the messages.  Raises ConfigError, with one line for each
    problem.
    """
    lines, values = _mapping(text, where)
    try:
        return Config.model_validate(values), lines
    except ValidationError as error:
        raise ConfigError(*_problems(error, where, lines, values)) from error


class _Loader(yaml.SafeLoader):
    """Refuses, with their lines, keys given twice and values that Python cannot make."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list or a mapping: PyYAML refuses it as a key
            if key.value in lines:
                # YAML would silently take the last one.
                twice = f"{key.value} is given twice (first in line {lines[key.value]})"
                raise _BadValue(problem=twice, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # 5,000 digits, the 45th of May
            what = f"{node.value[:40]!r} is no number or date that can be read"
            raise _BadValue(problem=what, problem_mark=node.start_mark) from error


class _BadValue(yaml.MarkedYAMLError):
    """YAML, but not what a configuration may hold."""


def _mapping(text: str, where: str) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the line of each key, and the values."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        what = "" if isinstance(error, _BadValue) else "not YAML: "
        raise ConfigError(f"{where}:{_find_line(error, text)}: {what}{error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{where}:{line}: not YAML: holds the control character {chr(error.character)!r}"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{where}: not YAML: lists or mappings in each other too deep") from error
    if node is None or values is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}:1: must be `key: value` lines")
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    # as they are written: to YAML `on` is true, and 0x10 is 16
    written = {str(loader.construct_object(key)): key.value for key, _ in node.value}
    return lines, {written[str(key)]: value for key, value in values.items()}


def _find_line(error: yaml.MarkedYAMLError, text: str) -> int:
    """Return the line of what is wrong; where it was noticed later, that in which it begins."""
    mark, began = error.problem_mark, error.context_mark
    if began and (mark is None or mark.index >= len(text.rstrip()) or "':'" in str(error.problem)):
        mark = began
    return mark.line + 1 if mark else 1


#: What keys with values of several types take.
_UNIONS = {
    "docker_cmd": "a string or a list of strings",
    "max_docks": "a whole number or an expression",
    "pilots_memory": "a size or an expression",
    "docks_per_loop": "a whole number of at least 1",
    "influxdb_url": "a URL or a list of URLs",
    "gpus": "`all`, a number or `device=ID,ID`",
}
#: What pydantic says in Python's words.
_PLAIN = {
    "tuple_type": "must be a list, as [a, b]",
    "dict_type": "must be a mapping, as {name: value}",
}


def _problems(
    error: ValidationError, where: str, lines: dict[str, int], values: dict[str, Any]
) -> list[str]:
    found: dict[str, str] = {}
    for item in error.errors(include_url=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        if key in found:  # a union reports each of its members; of a list the first will do
            if key in _UNIONS:
                text = f"must be {_UNIONS[key]}, not {item['input']!r}"
                found[key] = f"{where}:{lines.get(key, 1)}: {key}: {text}"
            continue
        place = f"{where}:{lines.get(key, 1)}"
        if item["type"] == "extra_forbidden":
            # the nearest name takes a tenth of a millisecond, and only so many problems are told
            nearest = _nearest(key) if len(found) < ConfigError.MOST else ""
            found[key] = f"{place}: unknown key {key!r}; {nearest}"
        elif key == "user_group" and isinstance(item["input"], int):
            found[key] = f'{place}: user_group: YAML reads it as a number; quote it: "uid:gid"'
        else:
            inside = "".join(f"[{part!r}]" for part in _list_parts(item["loc"], values))
            # as it was written, with its unit
            written = values.get(key) if len(item["loc"]) == 1 else item["input"]
            message = _PLAIN.get(item["type"], item["msg"].removeprefix("Value error, "))
            message = message[0].lower() + message[1:]
            found[key] = f"{place}: {key}{inside}: {message}, not {written!r}"
    return list(found.values())


def _list_parts(place: tuple[Any, ...], values: dict[str, Any]) -> list[Any]:
    """Return the parts of a place that the user wrote: positions and names, none of pydantic's."""
    found: list[Any] = []
    value: Any = values.get(str(place[0]))
    for part in place[1:]:
        parts = range(len(value)) if isinstance(value, list) else value
        if isinstance(parts, (dict, range)) and part in parts:
            value = value[part]
            found.append(part)
    return found


def _nearest(key: str) -> str:
    names = difflib.get_close_matches(key.lower(), Config.model_fields, n=1, cutoff=0.6)
    if names:
        return f"did you mean {names[0]!r}?"
    return "`planctonctl help` names the page with all keys"
