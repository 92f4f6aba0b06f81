"""The result of a simulation for people: a table, and a page with a picture of the first node."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timezone
from pathlib import Path

from markupsafe import Markup

from plancton.day_report.page import fill_template
from plancton.day_report.picture import draw_areas, make_layer
from plancton.day_report.ring import ROWS, Minute

from .node import BEGIN
from .result import Sample, SimulationResult

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_MINUTE = 60.0
_AREAS = ("owner", "pilots", "idle")
_LAYERS = tuple(make_layer(name, name) for name in _AREAS)


class FirstDay:
    """Collects the first day of a node, minute by minute."""

    def __init__(self) -> None:
        self._sums: dict[int, list[float]] = {}

    def take(self, sample: Sample, seconds: float) -> None:
        """Add ``seconds`` in which nothing changed."""
        at, end = sample.at, min(sample.at + seconds, ROWS * _MINUTE)
        while at < end:
            minute = math.floor(at / _MINUTE)
            part = min(end, (minute + 1) * _MINUTE) - at
            sums = self._sums.setdefault(minute, [0.0] * 3)
            for number, value in enumerate((sample.owner, sample.pilots, sample.idle)):
                sums[number] += value * part / _MINUTE
            at += max(part, 1e-6)

    def draw(self, ncpus: int) -> Markup:
        """Return the picture as SVG."""
        first = int(BEGIN / _MINUTE)
        rows = [
            Minute(first + minute, dict(zip(_AREAS, sums, strict=True)))
            for minute, sums in sorted(self._sums.items())
        ]
        # our own text of numbers
        return Markup(draw_areas(rows, _LAYERS, ncpus, first + ROWS, timezone.utc))  # noqa: S704


def list_rows(results: Mapping[str, SimulationResult]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table: what it is, and its value for each of the results."""
    found = list(results.values())
    reasons = sorted({reason for one in found for reason in one.thrown_cpu})

    def percent(name: str, values: Sequence[float]) -> tuple[str, ...]:
        # plus zero: what rounding leaves below 0 is no -0.0 %
        shares = (one.share(value) for one, value in zip(found, values, strict=True))
        return name, *(f"{round(share, 3) + 0.0:.1%}" for share in shares)

    def count(name: str, values: Sequence[int]) -> tuple[str, ...]:
        return name, *map(str, values)

    yield percent("finished", [one.finished_cpu for one in found])
    yield percent("under way at the end", [one.running_cpu for one in found])
    yield percent("thrown away", [one.thrown for one in found])
    for reason in reasons:
        yield percent(f"  {reason}", [one.thrown_cpu.get(reason, 0.0) for one in found])
    yield percent("left idle", [one.unused_cpu for one in found])
    yield (
        "owner squeezed by",
        *(f"{one.owner_squeezed / (one.owner_cpu or 1.0):.1%}" for one in found),
    )
    yield count("pilots started", [one.started for one in found])
    yield count("jobs finished", [one.finished for one in found])
    yield count("pilots ended early", [one.evicted for one in found])
    yield count("found no job", [one.no_work for one in found])


def summarize(result: SimulationResult, ncpus: int) -> str:
    """Return what was simulated, in one line."""
    return (
        f"nodes: {result.nodes}, each with {ncpus} CPU{'s' * (ncpus != 1)}; "
        f"{result.duration / 86400:.2f} node-days; "
        f"the owner left {result.idle_cpu / 3600:.1f} CPU-hours"
    )


def render_page(
    source: str,
    results: Mapping[str, SimulationResult],
    pictures: Mapping[str, FirstDay],
    ncpus: int,
) -> str:
    """Return the page as HTML.

    Args:
        source: the trace's file.
        results: by what was simulated, e.g. ``configured``.
        pictures: the first node's first day, by the same names.
        ncpus: CPUs of a node.
    """
    return fill_template(
        _TEMPLATE,
        source=source,
        summary=summarize(next(iter(results.values())), ncpus),
        head=("share of the idle CPU time", *results),
        table=list(list_rows(results)),
        pictures=[(name, one.draw(ncpus)) for name, one in pictures.items()],
    )
