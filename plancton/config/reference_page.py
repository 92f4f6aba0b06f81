"""Generate ``docs/reference/plancton-config.md`` from the model, so that the two cannot differ.

``python -m plancton.config.reference_page`` prints the page; ``--write FILE`` writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .container_keys import ContainerKeys
from .model import UNUSED_WITH_PROCESS, Config

_HEAD = """\
# Configuration of Plancton

`config.yaml`, in `/etc/plancton` for root and in `~/.plancton/conf` for others (`--confdir`
names another directory). It is read again every `updateconfig` seconds; a wrong file
changes nothing, and `planctonctl status` and `explain` say what is wrong with it.
Sizes are in bytes and times in seconds, or have a unit: `2GB` (10⁹), `2GiB` (2³⁰), `90s`, `30min`,
`12h`, `1d`.
`planctonctl validate` checks a file before it is installed.

A key that is not in this table is an error. Keys marked 2017 keep their name, default and
meaning from Plancton 0.6.

This page is generated:
`python -m plancton.config.reference_page --write docs/reference/plancton-config.md`.

| key | default | unit | since | meaning |
|---|---|---|---|---|
"""


def render_page() -> str:
    """Return the whole page, in Markdown."""
    # The keys of every engine first; a class lists those that it inherits before its own.
    own = [name for name in Config.model_fields if name not in ContainerKeys.model_fields]
    return _HEAD + "".join(_row(name) for name in (*own, *ContainerKeys.model_fields))


def _row(name: str) -> str:
    field = Config.model_fields[name]
    extra: dict[str, Any] = (
        field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    )
    meaning = field.description or ""
    if name in UNUSED_WITH_PROCESS:
        meaning += " No effect with `engine: process`."
    cells = (f"`{name}`", f"`{_default(field.default)}`", extra["unit"], extra["since"], meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the page, or write it to a file; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--write"] and len(arguments) == 2:
        Path(arguments[1]).write_text(render_page(), encoding="utf-8")
    elif not arguments:
        print(render_page(), end="")
    else:
        print("usage: python -m plancton.config.reference_page [--write FILE]", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
