"""Draws a panel's answer as SVG or HTML, in Grafana's units.  Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from grafana.ask import Line, Period

WIDTH, HEIGHT, LEFT, BOTTOM = 600, 200, 56, 20
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0")
NAMED = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff780a", "text": "#b8bec9"}


def shown(value: Any, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana writes it."""
    if value is None:
        return "No data"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if unit == "percentunit":
        return f"{100 * value:.{0 if decimals is None else decimals}f}%"
    if unit == "percent":
        return f"{value:.{0 if decimals is None else decimals}f}%"
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(value) < 1024 or name == "TiB":
                return f"{value:.3g} {name}"
            value /= 1024
    if unit == "s":
        if abs(value) < 1:
            return f"{1000 * value:.3g} ms"
        for size, name in ((604800, "weeks"), (86400, "days"), (3600, "hours"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.3g} s"
    if decimals is not None:
        return f"{value:.{decimals}f}" + (f" {unit}" if unit not in ("short", "") else "")
    return f"{value:.4g}" + (f" {unit}" if unit not in ("short", "") else "")


def colour(value: Any, steps: Sequence[Mapping[str, Any]]) -> str:
    """The colour of the last threshold that the value reaches."""
    found = ""
    for step in steps:
        bound = step["value"]
        if bound is None or (isinstance(value, (int, float)) and value >= bound):
            found = step["color"]
    return NAMED.get(found, "")


def chart(lines: Sequence[Line], panel: Mapping[str, Any], period: Period) -> str:
    """A time series panel: lines, areas, bars or points."""
    field = panel["fieldConfig"]
    custom, unit = field["defaults"]["custom"], field["defaults"]["unit"]
    stacked = "stacking" in custom
    series = [(line.name, [row for row in line.rows if _number(row[1])]) for line in lines]
    series = [(name, rows) for name, rows in series if rows]
    top = _top([rows for _, rows in series], stacked, field["defaults"].get("max"))
    floor: dict[float, float] = {}
    drawn = [_axes(top, unit)]
    chosen = {
        one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"]
        for one in field["overrides"]
    }
    legend = []
    for number, (name, rows) in enumerate(series):
        ink = NAMED.get(chosen.get(name, ""), COLOURS[number % len(COLOURS)])
        legend.append(f'<span><i style="background:{ink}"></i>{html.escape(name)}</span>')
        points = []
        for time, value in rows:
            below = floor.get(time, 0.0) if stacked else 0.0
            points.append((_x(time, period), _y(below, top), _y(below + value, top)))
            if stacked:
                floor[time] = below + value
        drawn.append(_marks(points, custom, ink))
    body = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(drawn)}</svg>'
    return f'{body}<div class="legend">{"".join(legend)}</div>'


def _marks(
    points: Sequence[tuple[float, float, float]], custom: Mapping[str, Any], ink: str
) -> str:
    style = custom["drawStyle"]
    if style == "points":
        return "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{ink}"/>' for x, _, y in points
        )
    if style == "bars":
        return "".join(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{ink}" '
            'stroke-width="2"/>'
            for x, low, high in points
        )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, _, y in points)
    made = f'<polyline points="{line}" fill="none" stroke="{ink}"/>'
    if custom["fillOpacity"]:
        back = " ".join(f"{x:.1f},{low:.1f}" for x, low, _ in reversed(points))
        opacity = custom["fillOpacity"] / 100
        made += f'<polygon points="{line} {back}" fill="{ink}" opacity="{opacity}"/>'
    return made


def _top(series: Sequence[Sequence[Sequence[Any]]], stacked: bool, most: float | None) -> float:
    if most is not None:
        return float(most)
    sums: dict[float, float] = {}
    for rows in series:
        for time, value in rows:
            sums[time] = sums.get(time, 0.0) + value if stacked else max(sums.get(time, 0.0), value)
    return max(sums.values(), default=0.0) * 1.05 or 1.0


def _axes(top: float, unit: str) -> str:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}">{shown(top * share, unit)}</text>')
    return "".join(parts)


def _x(time: float, period: Period) -> float:
    share = (time - period.begin) / max(1.0, period.end - period.begin)
    return LEFT + (WIDTH - LEFT) * min(max(share, 0.0), 1.0)


def _y(value: float, top: float) -> float:
    return (HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 8) * min(value / top, 1.0)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
