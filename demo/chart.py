"""Drawing of the timeline as inline SVG, coloured by the page's style sheet.

Three panels over one time axis: the pilots as bars, the agents by state as
stacked areas, the CPUs that the owner and the pilots use as lines. What was
done to the site crosses all of them as numbered vertical marks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from .timeline import Mark, Point, Timeline

#: The picture's user units: its width, and the margins that hold the axes' texts.
_WIDTH, _LEFT, _RIGHT = 1000.0, 76.0, 14.0
_LANE = 24.0
_TOP = 34.0
_GAP = 40.0
_JOBS, _CPU = 200.0, 130.0

#: Stacked from the bottom; each name is also a CSS class.
STATES: tuple[tuple[str, Callable[[Point], int]], ...] = (
    ("ended", lambda point: point.ended),
    ("running", lambda point: point.running),
    ("held", lambda point: point.held),
    ("idle", lambda point: point.idle),
)


@dataclass(frozen=True)
class Bar:
    """One pilot in the drawing: its lifetime in seconds, and the agent it ran (0: none)."""

    name: str
    begin: float
    end: float
    agent: int
    lane: int


def find_bars(points: Sequence[Point]) -> list[Bar]:
    """Find the pilots of the timeline; each gets the first lane that is free when it begins."""
    begin: dict[str, float] = {}
    end: dict[str, float] = {}
    agent: dict[str, int] = {}
    for before, point in zip([None, *points], points, strict=False):
        for name, number in point.pilots.items():
            # It began at some time since the last look; half of it is the best guess.
            begin.setdefault(name, (before.at + point.at) / 2 if before else point.at)
            agent[name] = number or agent.get(name, 0)
        if before is not None:
            for name in before.pilots.keys() - point.pilots.keys():
                end[name] = (before.at + point.at) / 2
    last = points[-1].at if points else 0.0
    lanes: list[float] = []
    found = []
    for name in sorted(begin, key=lambda one: (begin[one], one)):
        stop = end.get(name, last)
        lane = next((i for i, free in enumerate(lanes) if free <= begin[name]), len(lanes))
        lanes[lane : lane + 1] = [stop]
        found.append(Bar(name, begin[name], stop, agent[name], lane))
    return found


def draw_timeline(timeline: Timeline, agents: int, killed: Iterable[int] = ()) -> str:
    """Draw the timeline.

    Args:
        timeline: what was sampled.
        agents: how many agents there are, the height of the stack.
        killed: numbers of the agents whose first pilot was killed.

    Returns:
        One SVG element.
    """
    points = timeline.points
    span = max([point.at for point in points] + [mark.at for mark in timeline.marks] + [1.0])
    pilots = find_bars(points)
    lanes = max((bar.lane for bar in pilots), default=0) + 1
    scale = _Scale(span)
    jobs_top = _TOP + lanes * _LANE + _GAP
    cpu_top = jobs_top + _JOBS + _GAP
    bottom = cpu_top + _CPU
    parts = [
        _jobs(points, agents, scale, jobs_top),
        _cpus(points, scale, cpu_top),
        _time_axis(scale, bottom),
        # above the areas, and below the numbers on the pilots' bars
        _marks(timeline.marks, scale, bottom),
        _pilots(pilots, scale, _TOP, frozenset(killed)),
    ]
    height = bottom + 26
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" '
        'aria-label="Pilots, agents by state and CPU use over the time of the demo">'
        + "".join(parts)
        + "</svg>"
    )


@dataclass(frozen=True)
class _Scale:
    span: float

    def x(self, at: float) -> float:
        return _LEFT + at / self.span * (_WIDTH - _LEFT - _RIGHT)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named}>{escape(text)}</text>'


def _pilots(pilots: Sequence[Bar], scale: _Scale, top: float, killed: frozenset[int]) -> str:
    parts = [_text(0, top + 14, "pilots", "title")]
    # Of the pilots that had a killed agent, the first one is the one that was killed.
    victims = {_first(pilots, number) for number in killed}
    for bar in pilots:
        x, width = scale.x(bar.begin), max(2.0, scale.x(bar.end) - scale.x(bar.begin) - 1.5)
        y = top + bar.lane * _LANE
        kind = "killed" if bar in victims else "work" if bar.agent else "empty"
        what = f"agent {bar.agent}" if bar.agent else "found no work"
        note = f"{bar.name}: {what}, {bar.begin:.1f} s to {bar.end:.1f} s"
        parts.append(
            f'<g><title>{escape(note)}</title><rect class="pilot {kind}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{_LANE - 4:g}" rx="2"/>'
        )
        if bar.agent and width > 14:
            parts.append(_text(x + width / 2, y + 14.5, str(bar.agent), "on-bar"))
        parts.append("</g>")
    return "".join(parts)


def _first(pilots: Sequence[Bar], agent: int) -> Bar | None:
    had = [bar for bar in pilots if bar.agent == agent]
    return min(had, key=lambda bar: bar.begin, default=None)


def _jobs(points: Sequence[Point], agents: int, scale: _Scale, top: float) -> str:
    def y(count: float) -> float:
        return top + _JOBS - count / max(agents, 1) * _JOBS

    parts = [_text(0, top + 14, "agents", "title"), _grid(scale, y, _ticks(agents))]
    below = [0.0] * len(points)
    for name, of in STATES:
        above = [base + of(point) for base, point in zip(below, points, strict=True)]
        forth = [f"{scale.x(p.at):.1f},{y(v):.1f}" for p, v in zip(points, above, strict=True)]
        back = [f"{scale.x(p.at):.1f},{y(v):.1f}" for p, v in zip(points, below, strict=True)]
        if any(of(point) for point in points):
            outline = " ".join([*forth, *reversed(back)])
            parts.append(f'<polygon class="area {name}" points="{outline}"/>')
        below = above
    for begin, end in _find_unanswered(points):
        x, width = scale.x(begin), scale.x(end) - scale.x(begin)
        parts.append(
            f'<rect class="mute" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{_JOBS:g}"><title>the schedd does not answer</title></rect>'
        )
    return "".join(parts)


def _find_unanswered(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Find the periods in which the schedd did not answer."""
    found: list[tuple[float, float]] = []
    begin: float | None = None
    for point in points:
        if not point.answered and begin is None:
            begin = point.at
        elif point.answered and begin is not None:
            found.append((begin, point.at))
            begin = None
    if begin is not None:
        found.append((begin, points[-1].at))
    return found


def _cpus(points: Sequence[Point], scale: _Scale, top: float) -> str:
    owner = [(p.at, p.owner_cpus) for p in points if p.owner_cpus is not None]
    pilots = [(p.at, p.pilots_cpus) for p in points if p.pilots_cpus is not None]
    most = max([1.0] + [cpus for _, cpus in owner + pilots])

    def y(cpus: float) -> float:
        return top + _CPU - cpus / most * _CPU

    parts = [_text(0, top + 14, "CPUs", "title"), _grid(scale, y, _ticks(most))]
    for name, line in (("owner", owner), ("pilots", pilots)):
        dots = " ".join(f"{scale.x(at):.1f},{y(cpus):.1f}" for at, cpus in line)
        parts.append(f'<polyline class="cpu {name}" points="{dots}"/>')
    return "".join(parts)


def _ticks(most: float) -> list[float]:
    """Choose at most seven round numbers from 0 to ``most`` for an axis."""
    step = next(
        (step for step in (0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 32, 64) if most / step <= 6), most
    )
    return [step * i for i in range(int(most / step) + 1)]


def _grid(scale: _Scale, y: Callable[[float], float], ticks: Iterable[float]) -> str:
    return "".join(
        f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y(tick):.1f}" '
        f'y2="{y(tick):.1f}"/>' + _text(_LEFT - 8, y(tick) + 4, f"{tick:g}", "number")
        for tick in ticks
    )


def _time_axis(scale: _Scale, bottom: float) -> str:
    step = next((step for step in (5, 10, 20, 30, 60) if scale.span / step <= 12), 120)
    parts = []
    for at in range(0, int(scale.span) + 1, step):
        x = scale.x(at)
        parts.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{bottom:.1f}" y2="{bottom + 5:.1f}"/>'
        )
        parts.append(_text(x, bottom + 19, f"{at} s", "time"))
    return "".join(parts)


def _marks(marks: Sequence[Mark], scale: _Scale, bottom: float) -> str:
    parts = []
    taken = -100.0
    level = 0
    for number, mark in enumerate(marks, 1):
        x = scale.x(mark.at)
        # Two rows of numbers, so that close ones do not cover each other.
        level = (level + 1) % 2 if x - taken < 18 else 0
        taken = x
        y = 9.0 + level * 14
        note = escape(f"{mark.at:.1f} s: {mark.text}")
        parts.append(
            f'<g class="mark"><title>{note}</title><line x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{y + 6:.1f}" y2="{bottom:.1f}"/>{_text(x, y + 4, str(number), "flag")}</g>'
        )
    return "".join(parts)
