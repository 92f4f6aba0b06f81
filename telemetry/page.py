"""The reference page of series, from the modules that declare them.

``python -m telemetry.page MODULE... --write docs/reference/metrics.md``; the modules are in
``tests/unit/telemetry/test_metrics_page.py``, which says when the page is old.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from .points import Series

_HEAD = """\
# Series

What Plancton and the schedd send to InfluxDB. A field that is not known is left out, never sent as
zero. Counts are since the last point unless they say otherwise. Times are microseconds, so that two
pilots that end in the same second stay two points. The series marked 2017 are those of Plancton
0.6, unchanged.
"""


def page(modules: Sequence[tuple[str, Sequence[Series]]]) -> str:
    """The page; ``modules``: heading and series of each part."""
    parts = [_HEAD]
    for heading, series in modules:
        parts.append(f"\n## {heading}\n")
        parts += [_series(one) for one in series]
    return "".join(parts)


def _series(series: Series) -> str:
    tags = ", ".join(f"`{tag}`" for tag in series.tags)
    lines = [f"\n### `{series.name}`", "", f"{series.text} Tags: {tags}. Since {series.since}.", ""]
    lines += ["| field | type | unit | |", "|---|---|---|---|"]
    lines += [
        f"| `{field.name}` | {field.type} | {field.unit} | {field.text} |"
        for field in series.fields
    ]
    return "\n".join(lines) + "\n"


def of_modules(names: Sequence[str]) -> str:
    """The page of modules that have ``HEADING`` and ``ALL``."""
    found = [importlib.import_module(name) for name in names]
    return page([(module.HEADING, module.ALL) for module in found])


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    names = words[: words.index("--write")] if "--write" in words else words
    target = words[len(names) + 1 :]
    if not names or len(target) > 1 or ("--write" in words and not target):
        print("usage: python -m telemetry.page MODULE... [--write FILE]", file=sys.stderr)
        return 2
    if target:
        Path(target[0]).write_text(of_modules(names), encoding="utf-8")
    else:
        print(of_modules(names), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
