"""The report: an HTML page with the timeline, the faults and every agent."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from .chart import STATES, draw_timeline
from .plan import Agent, Story

if TYPE_CHECKING:
    from .run import Result

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def render_page(result: Result, plan: Sequence[Agent]) -> str:
    """Render the page as HTML; it needs no other file."""
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_TEMPLATE.read_text())
    killed = [agent.number for agent in plan if agent.story is Story.PILOT_KILLED]
    return template.render(
        line=result.verdict.totals.line(result.seconds),
        totals=result.verdict.totals,
        good=not result.verdict.differences,
        differences=result.verdict.differences,
        picture=draw_timeline(result.timeline, len(plan), killed),
        states=[name for name, _ in STATES],
        marks=result.timeline.marks,
        rows=_rows(result, plan),
        host=platform.node(),
        cores=len(os.sched_getaffinity(0)),
        when=time.strftime("%Y-%m-%d %H:%M %Z"),
    )


def _rows(result: Result, plan: Sequence[Agent]) -> list[dict[str, str]]:
    found = {one.record.number: one for one in result.seen}
    times = result.timeline
    rows = []
    for agent in plan:
        one = found.get(agent.number)
        submitted, left = times.submitted.get(agent.number), times.left.get(agent.number)
        rows.append(
            {
                "number": str(agent.number),
                "job": one.record.job if one else "",
                "dialect": one.record.dialect if one else "",
                "story": agent.story.value,
                "meant": agent.meant,
                "seen": one.end if one else "not submitted",
                "runs": str(one.starts) if one else "",
                "waited": _passed(submitted, times.started.get(agent.number)),
                "stayed": _passed(submitted, left),
                "differences": "; ".join(result.verdict.by_agent.get(agent.number, ())),
            }
        )
    return rows


def _passed(begin: float | None, end: float | None) -> str:
    return "" if begin is None or end is None else f"{max(0.0, end - begin):.1f}"
