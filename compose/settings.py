"""The file ``.env``: made, read, changed by one line, compared with its example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from compose.errors import CannotDo

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def parse(text: str) -> dict[str, str]:
    """``KEY=VALUE`` lines; others are comments."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: match[2].strip().strip("'\"") for match in found if match}


def changed(text: str, key: str, value: str) -> str:
    """``text`` with that one line changed."""
    return re.sub(rf"(?m)^{key}=.*$", lambda _: f"{key}={value}", text)


def lacking(text: str, example: str) -> list[str]:
    """What a newer example has and ``text`` does not."""
    there = parse(text)
    return [key for key in parse(example) if key not in there]


def read(directory: Path, node: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in force; makes ``.env`` where it is missing, with the node's name in it.

    ``environment`` wins, as it does for compose.  Raises CannotDo.
    """
    path, example = directory / ".env", (directory / ".env.example").read_text()
    if not path.exists():
        write(path, changed(example, "NODE_NAME", node))
        print("made .env from .env.example")
    text = path.read_text()
    missing = lacking(text, example)
    if missing:
        raise CannotDo(f".env lacks {', '.join(missing)}: copy these lines from .env.example")
    known = parse(text)
    return {key: environment.get(key, value) for key, value in known.items()}


def write(path: Path, text: str) -> None:
    """The whole file or nothing."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
