"""A picture of a site's kills over time: one row for each victim, the jobs below."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: The picture's user units: its width, the margin with the names, a row, the part with the jobs.
WIDTH, LEFT, ROW, JOBS = 1000, 190, 18, 160
#: The jobs' states from the bottom up, and their colours.
STATES = {"ended": "#8fbf8f", "running": "#4a7fb5", "waiting": "#d9c27a"}


@dataclass(frozen=True)
class Event:
    """What was killed (nothing: ""), after how many seconds, and how many jobs were where then."""

    at: float
    victim: str
    ended: int
    running: int
    waiting: int


def draw(title: str, events: Sequence[Event]) -> str:
    """Return an SVG document of the events, which are in the order of their times."""
    victims = sorted({event.victim for event in events} - {""})
    top = ROW * (len(victims) + 2)
    bottom = top + JOBS
    most = max(event.ended + event.running + event.waiting for event in events) or 1
    last = events[-1].at or 1.0
    scale = (WIDTH - LEFT - 10) / last

    parts = [_text(0, ROW - 4, title)]
    for row, victim in enumerate(victims, 2):
        parts.append(_text(0, row * ROW - 4, victim))
        for event in (one for one in events if one.victim == victim):
            x = LEFT + event.at * scale
            parts.append(f'<path d="M{x:.1f} {(row - 1) * ROW + 3}v{ROW - 6}" stroke="#b03030"/>')
    lower = [0] * len(events)
    for row, (state, colour) in enumerate(STATES.items()):
        upper = [low + getattr(one, state) for low, one in zip(lower, events, strict=True)]
        edge = [*zip(events, upper, strict=True), *reversed([*zip(events, lower, strict=True)])]
        points = " ".join(
            f"{LEFT + event.at * scale:.1f},{bottom - count / most * JOBS:.1f}"
            for event, count in edge
        )
        parts.append(f'<polygon points="{points}" fill="{colour}"/>')
        parts.append(f'<text y="{bottom - row * ROW}" fill="{colour}">jobs {state}</text>')
        lower = upper
    parts.append(_text(LEFT - 40, top + 10, str(most)))
    parts.append(_text(LEFT, bottom + ROW, "0 s"))
    parts.append(_text(WIDTH - 60, bottom + ROW, f"{last:.0f} s"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + ROW + 6}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>\n'
    )


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(text)}</text>'
