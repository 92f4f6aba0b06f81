"""The reference page of series, from the modules that declare them.

``python -m telemetry.page MODULE... --write docs/reference/metrics.md``; the modules are in
``tests/unit/telemetry/test_metrics_page.py``, which says when the page is old.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from .points import Series, metric_name

_HEAD = """\
# Series

The time series that Plancton and the schedd send to InfluxDB, with their names in Prometheus.
Unknown fields are left out, never sent as zero.

Points are stamped with round moments (whole multiples of the interval, 30 s) and sent when the
daemon's loop comes round; a pilot's end (`container`) with its own time, in microseconds. Counts
are those since the last point, or since the program began where the table says `total`;
Prometheus gets counters of both. Site and host name together are a node; site, schedd and pool
together a queue. The series marked 2017 are those of Plancton 0.6, unchanged, and not at
Prometheus.

A quiet node sends five points each 30 s, one more for each target, and one every five minutes:
2,000 nodes with one target send some 410 points a second, in 67 requests. A node has at most 20
series, a pool 14 and one for each hold reason, a schedd one, whatever the number of jobs. 10,000
points wait for a target that is away: 13 hours of a quiet node.
"""


def page(modules: Sequence[tuple[str, Sequence[Series]]]) -> str:
    """Return the page; ``modules``: heading and series of each part."""
    parts = [_HEAD]
    for heading, series in modules:
        parts.append(f"\n## {heading}\n")
        parts += [_series(one) for one in series]
    return "".join(parts)


def _series(series: Series) -> str:
    tags = ", ".join(f"`{tag}`" for tag in series.tags)
    lines = [f"\n### `{series.name}`", "", f"{series.text} Tags: {tags}. Since {series.since}.", ""]
    lines += ["| field | type | unit | at Prometheus | |", "|---|---|---|---|---|"]
    for field in series.fields:
        kind = {"gauge": "", "since": ", since the last point", "total": ", total"}[field.kind]
        name = "" if series.since == "2017" else f"`{metric_name(series, field)}`"
        lines.append(
            f"| `{field.name}` | {field.type}{kind} | {field.unit} | {name} | {field.text} |"
        )
    return "\n".join(lines) + "\n"


def of_modules(names: Sequence[str]) -> str:
    """Return the page of modules that have ``HEADING`` and ``ALL``."""
    found = [importlib.import_module(name) for name in names]
    return page([(module.HEADING, module.ALL) for module in found])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the reference page of the series of these modules, or write it to a file."""
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
