"""The HTML page of a node's last day, which refers to nothing outside of itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from pathlib import Path

import jinja2
from markupsafe import Markup

from . import picture
from .picture import Layer, make_layer
from .ring import ROWS, Minute
from .summary import DaySummary, summarise

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_GB = 1e9


def render_page(rows: Sequence[Minute], node: str, source: str, now: float, zone: tzinfo) -> str:
    """Return the page.

    ``node`` is the host name, ``source`` the file that ``rows`` come from, ``now`` in seconds since
    1970, ``zone`` the time zone of the hours.
    """
    last = int(now // 60)
    found = summarise(rows)

    def most(name: str) -> float:
        return max((row.values.get(name, 0.0) for row in rows), default=0.0)

    def drawn(layers: Sequence[Layer], top: float) -> Markup:
        # our own text of numbers
        return Markup(picture.draw_areas(rows, layers, top, last, zone))  # noqa: S704

    return fill_template(
        _TEMPLATE,
        node=node,
        summary=_summarize(found),
        cpus=drawn(_CPUS, most("ncpus")),
        running=drawn((make_layer("running", "running"),), most("running")),
        memory=drawn(_MEMORY, most("mem_total") / _GB),
        evictions=Markup(picture.draw_ticks(rows, "evicted", last)),  # noqa: S704
        figures=_figures(found),
        reasons=_reasons(found),
        made=f"{datetime.fromtimestamp(now, zone):%Y-%m-%d %H:%M %Z}".rstrip(),
        source=source,
        minutes=found.minutes,
        rows=ROWS,
    )


def fill_template(path: Path, **values: object) -> str:
    """Return the HTML template at ``path``, with its values escaped and filled in."""
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(path.read_text(encoding="utf-8"))
    return template.render(**values)


def _idle(row: Minute) -> float | None:
    known = [row.values.get(name) for name in ("ncpus", "owner_cpus", "pilots_cpus")]
    ncpus, owner, pilots = known
    if ncpus is None or owner is None or pilots is None:
        return None
    return max(0.0, ncpus - owner - pilots)


def _owner_memory(row: Minute) -> float | None:
    total, available, pilots = (
        row.values.get(name) for name in ("mem_total", "mem_available", "pilots_mem")
    )
    if total is None or available is None or pilots is None:
        return None
    return max(0.0, total - available - pilots) / _GB


_CPUS = (
    make_layer("owner", "owner_cpus"),
    make_layer("pilots", "pilots_cpus"),
    Layer("idle", _idle),
)
_MEMORY = (
    Layer("owner", _owner_memory),
    make_layer("pilots", "pilots_mem", _GB),
    make_layer("idle", "mem_available", _GB),
)


def _summarize(found: DaySummary) -> str:
    if found.harvested is None or found.share is None:
        return "Nothing is known of the CPUs in the last day."
    felt = (
        "What the owner felt is not known."
        if found.squeezed is None
        else f"They took {found.squeezed:.0f} CPU-minutes from the owner."
    )
    finished = "" if found.finished is None else f"{found.finished:.1f} in pilots that finished, "
    return (
        f"Pilots used {found.harvested:.1f} core-hours, {found.share:.0%} of what the owner left: "
        f"{finished}{found.unfinished:.1f} in pilots that were evicted with their job unfinished. "
        f"{felt}"
    )


def _reasons(found: DaySummary) -> str:
    if not found.evicted:
        return "No pilot was asked to end."
    by_reason = ", ".join(f"{reason} {number}" for reason, number in found.reasons.items())
    return f"A tick for each minute in which pilots were asked to end: {found.evicted} in all" + (
        f", by reason: {by_reason}." if by_reason else "."
    )


def _figures(found: DaySummary) -> list[tuple[str, str]]:
    def hours(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}"

    share = "–" if found.share is None else f"{found.share:.0%}"
    return [
        (hours(found.harvested), "core-hours used by pilots"),
        (share, "of the idle CPU used by pilots"),
        (hours(found.owner), "core-hours of the owner"),
        (hours(found.idle), "core-hours left idle"),
        (str(found.started), "pilots started"),
        (str(found.ended), "pilots ended"),
        (str(found.failed), "of them failed"),
        (str(found.no_work), "of them found no work"),
        (str(found.evicted), "evicted"),
        (hours(found.finished), "core-hours in pilots that finished"),
        (f"{found.unfinished:.1f}", "core-hours evicted with an unfinished job"),
        (
            "–" if found.squeezed is None else f"{found.squeezed:.0f}",
            "CPU-minutes taken from the owner",
        ),
    ]
