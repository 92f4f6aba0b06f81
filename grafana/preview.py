"""The dashboards without Grafana: the same queries, titles, units and places, on plain pages.

``python -m grafana.preview http://HOST:PORT#DATABASE --output DIR [--hours H]``
"""

from __future__ import annotations

import argparse
import html
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grafana import draw
from grafana.ask import Line, Period, ask, expand, table
from grafana.generate import DASHBOARDS, HERE

_STYLE = """
body { font: 13px system-ui, sans-serif; background: #111217; color: #ccccdc; margin: 12px; }
h1 { font-size: 18px; font-weight: 500; } a { color: #6e9fff; margin-right: 1em; }
main { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; grid-auto-rows: 30px; }
section { background: #181b1f; border: 1px solid #2a2d34; border-radius: 3px; padding: 6px 8px;
  overflow: auto; display: flex; flex-direction: column; }
section.row { background: none; border: 0; font-weight: 600; padding: 6px 0; }
h2 { font-size: 13px; font-weight: 500; margin: 0 0 4px; }
b { font-size: 26px; font-weight: 500; margin: auto; }
svg { width: 100%; min-height: 0; flex: 1; } text { fill: #9fa7b3; font-size: 10px;
  text-anchor: end; } .grid { stroke: #2a2d34; }
.legend span { margin-right: 1em; white-space: nowrap; } .legend i { display: inline-block;
  width: 10px; height: 3px; margin-right: 4px; vertical-align: middle; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 2px 10px 2px 0; }
.none { color: #8e8e99; margin: auto; }
"""


def page(dashboard: Mapping[str, Any], client: Any, period: Period) -> str:
    """One dashboard as HTML; ``client``: of the influxdb package."""
    parts = []
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        style = (
            f"grid-column: {place['x'] + 1} / span {place['w']}; "
            f"grid-row: {place['y'] + 1} / span {place['h']}"
        )
        title = html.escape(panel["title"])
        if panel["type"] == "row":
            parts.append(f'<section class="row" style="{style}">{title}</section>')
            continue
        told = html.escape(panel["description"])
        body = _body(panel, client, period)
        parts.append(f'<section style="{style}" title="{told}"><h2>{title}</h2>{body}</section>')
    links = " ".join(f'<a href="{name}.html">{name}</a>' for name in DASHBOARDS)
    heading = html.escape(dashboard["title"])
    return (
        f'<!doctype html><meta charset="utf-8"><title>{heading}</title><style>{_STYLE}</style>'
        f"<h1>{heading}</h1><nav>{links}</nav><main>{''.join(parts)}</main>\n"
    )


def answers(panel: Mapping[str, Any], client: Any, period: Period) -> list[Line]:
    """What the panel's queries give, lines without a row left out."""
    found: list[Line] = []
    for target in panel["targets"]:
        query = expand(target["query"], period)
        if target["resultFormat"] == "table":
            found += table(client, query)
        else:
            found += ask(client, query, target["alias"])
    return [line for line in found if any(row[-1] is not None for row in line.rows)]


def _body(panel: Mapping[str, Any], client: Any, period: Period) -> str:
    lines = answers(panel, client, period)
    if not lines:
        return '<div class="none">No data</div>'
    if panel["type"] == "timeseries":
        return draw.chart(lines, panel, period)
    if panel["type"] == "table":
        return _table(lines)
    defaults = panel["fieldConfig"]["defaults"]
    value = lines[-1].rows[-1][-1]
    ink = draw.colour(value, defaults["thresholds"]["steps"])
    text = html.escape(draw.shown(value, defaults["unit"], defaults.get("decimals")))
    return f'<b style="color:{ink or "inherit"}">{text}</b>'


def _table(lines: Sequence[Line]) -> str:
    heads = [*lines[0].tags, *lines[0].columns[1:]]
    rows = [[*line.tags.values(), *row[1:]] for line in lines for row in line.rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(draw.shown(v, ''))}</td>" for v in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def write(client: Any, directory: Path, period: Period) -> list[Path]:
    """All dashboards, as pages in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name in DASHBOARDS:
        dashboard = json.loads((HERE / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))
        path = directory / f"{name}.html"
        path.write_text(page(dashboard, client, period), encoding="utf-8")
        written.append(path)
    return written


def main(argv: Sequence[str] | None = None) -> int:
    from influxdb import InfluxDBClient

    from telemetry.targets import BadTarget, parse

    parser = argparse.ArgumentParser(prog="python -m grafana.preview", description=__doc__)
    parser.add_argument("url", help="of the InfluxDB, as influxdb_url has it")
    parser.add_argument("--output", type=Path, default=Path("build/dashboards"), metavar="DIR")
    parser.add_argument("--hours", type=float, default=6.0, help="that are shown (6)")
    arguments = parser.parse_args(argv)
    try:
        target = parse(arguments.url)
        client = InfluxDBClient(
            target.host, target.port, target.user, target.secret(), target.database,
            ssl=target.tls, verify_ssl=target.ca_file or target.verify, retries=1, timeout=30,
        )  # fmt: skip
        now = time.time()
        paths = write(client, arguments.output, Period(now - arguments.hours * 3600.0, now))
    except (BadTarget, OSError) as error:
        print(f"grafana.preview: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
