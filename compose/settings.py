"""The settings of a site: the file ``.env`` and its example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from compose.atomic_files import write_file
from compose.errors import SetupFailed

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def parse_env(text: str) -> dict[str, str]:
    """Parse ``KEY=VALUE`` lines as compose does; all other lines are comments."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: _parse_value(match[2].strip()) for match in found if match}


def _parse_value(text: str) -> str:
    """Return a value without its quotes, or what is before a comment."""
    quoted = re.match(r"(['\"])(.*?)\1", text)
    return quoted[2] if quoted else re.split(r"\s+#", text, maxsplit=1)[0]


def replace_value(text: str, key: str, value: str) -> str:
    """Return ``text`` with the line of ``key`` changed to ``value``."""
    return re.sub(rf"(?m)^{key}=.*$", lambda _: f"{key}={value}", text)


def find_missing(text: str, example: str) -> list[str]:
    """Find the keys that the example has and ``text`` does not."""
    there = parse_env(text)
    return [key for key in parse_env(example) if key not in there]


def read_env(directory: Path, node: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Read the settings; a missing ``.env`` is made from its example, with the name of the node.

    ``environment`` overrides the file, as it does for compose. Raises SetupFailed.
    """
    path, example = directory / ".env", (directory / ".env.example").read_text()
    if not path.exists():
        write_file(path, replace_value(example, "NODE_NAME", node).encode(), 0o644)
        print("made .env from .env.example")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SetupFailed(f".env: is not UTF-8 ({error.reason} at byte {error.start})") from None
    missing = find_missing(text, example)
    if missing:
        raise SetupFailed(f".env lacks {', '.join(missing)}: copy these lines from .env.example")
    known = parse_env(text)
    return {key: environment.get(key, value) for key, value in known.items()}
