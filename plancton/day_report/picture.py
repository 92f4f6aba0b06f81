"""Draw the day as SVG: stacked areas over 24 hours, with gaps where nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from .ring import ROWS, Minute

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 960, 220, 44, 18, 22
#: Minutes that one step of the picture stands for: finer than a pixel shows nothing.
STEP = 2


@dataclass(frozen=True)
class Layer:
    """One area: its CSS class, and its value for a minute (None where unknown)."""

    css: str
    value: Callable[[Minute], float | None]


def make_layer(css: str, column: str, unit: float = 1.0) -> Layer:
    """Return the layer of a column of the day, its values in units of ``unit``.

    ``css``: its class.
    """

    def read(row: Minute) -> float | None:
        found = row.values.get(column)
        return None if found is None else found / unit

    return Layer(css, read)


def draw_areas(
    rows: Sequence[Minute], layers: Sequence[Layer], top: float, last_minute: int, zone: tzinfo
) -> str:
    """Return areas on top of one another, the first at the bottom, as SVG.

    ``top`` is the end of the scale, ``last_minute`` the right edge in minutes since 1970, ``zone``
    the time zone of the hours.
    """
    top = top if top > 0.0 else 1.0
    steps = _steps(rows, layers, last_minute)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">', _scale(top)]
    for number, layer in enumerate(layers):
        for begin, values in steps:
            lower = [sum(one[:number]) for one in values]
            upper = [sum(one[: number + 1]) for one in values]
            parts.append(f'<path class="{layer.css}" d="{_area(begin, lower, upper, top)}"/>')
    parts += [_name_gaps(steps), _hours(last_minute, zone), "</svg>"]
    return "".join(parts)


def draw_ticks(rows: Sequence[Minute], name: str, last_minute: int) -> str:
    """Return a line of ticks as SVG, one for each minute with ``name`` over 0.

    ``last_minute`` is the right edge in minutes since 1970.
    """
    ticks = [
        f'<line x1="{_x(row.minute - last_minute + ROWS):.1f}" x2="'
        f'{_x(row.minute - last_minute + ROWS):.1f}" y1="2" y2="14"/>'
        for row in rows
        if row.values.get(name, 0.0) > 0.0
    ]
    return f'<svg class="ticks" viewBox="0 0 {WIDTH} 16" role="img">{"".join(ticks)}</svg>'


def _steps(
    rows: Sequence[Minute], layers: Sequence[Layer], last_minute: int
) -> list[tuple[int, list[list[float]]]]:
    """Return runs of neighbouring steps: the first one's number, and each one's mean values."""
    cells: dict[int, list[list[float]]] = {}
    for row in rows:
        values = [layer.value(row) for layer in layers]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            cells.setdefault((row.minute - last_minute + ROWS) // STEP, []).append(known)
    runs: list[tuple[int, list[list[float]]]] = []
    for number in sorted(cells):
        seen = cells[number]
        mean = [sum(column) / len(seen) for column in zip(*seen, strict=True)]
        if runs and runs[-1][0] + len(runs[-1][1]) == number:
            runs[-1][1].append(mean)
        else:
            runs.append((number, [mean]))
    return runs


#: Minutes that a gap must have to hold the words.
_NAMED_GAP = 90


def _name_gaps(runs: Sequence[tuple[int, list[list[float]]]]) -> str:
    """Return "not known" in each long gap."""
    edges = [0]
    for begin, values in runs:
        edges += [begin * STEP, (begin + len(values)) * STEP]
    edges.append(ROWS)
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return "".join(
        f'<text x="{_x((begin + end) / 2):.1f}" y="{HEIGHT // 2}" class="unknown">not known</text>'
        for begin, end in gaps
        if end - begin >= _NAMED_GAP
    )


def _area(begin: int, lower: Sequence[float], upper: Sequence[float], top: float) -> str:
    there = [(begin * STEP + STEP * n, value) for n, value in enumerate(upper)]
    there.append(((begin + len(upper)) * STEP, upper[-1]))
    back = [((begin + len(lower)) * STEP, lower[-1])]
    back += [(begin * STEP + STEP * n, lower[n]) for n in reversed(range(len(lower)))]
    points = " ".join(f"{_x(minute):.1f},{_y(value, top):.1f}" for minute, value in there + back)
    return f"M{points}Z"


def _x(minute: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(minute, 0.0), ROWS) / ROWS


def _y(value: float, top: float) -> float:
    height = HEIGHT - BOTTOM
    return height - (height - 8) * min(value / top, 1.0)


def _scale(top: float) -> str:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        lines.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="scale">{top * share:.4g}</text>')
    return "".join(lines)


def _hours(last_minute: int, zone: tzinfo) -> str:
    """Return labels for every third full hour of the node's clock."""
    labels = []
    for minute in range(last_minute - ROWS, last_minute + 1):
        local = datetime.fromtimestamp(minute * 60, zone)
        if local.minute == 0 and local.hour % 3 == 0:
            x = _x(minute - last_minute + ROWS)
            labels.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" class="hour">{local:%H:%M}</text>')
    return "".join(labels)
