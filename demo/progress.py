"""Progress of the demo: a live panel on a terminal, plain lines elsewhere."""

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .plan import AGENTS
from .timeline import Mark, Point

#: Seconds between two plain lines when nothing is done to the site.
_QUIET = 5.0
#: Cells of the bar of all agents.
_WIDTH = 48


def describe(point: Point) -> str:
    """Describe the site in one line."""
    pilots = " ".join(
        f"[{number}]" if number else "[-]" for number in sorted(point.pilots.values())
    )
    mute = "" if point.answered else ", no answer from the schedd"
    return (
        f"{point.ended:2} of {AGENTS} ended, {point.running} running, {point.idle} idle, "
        f"{point.held} held{mute}; {len(point.pilots)} pilots {pilots}".rstrip()
    )


class Plain:
    """Plain lines: one for every mark, and one every few seconds."""

    def __init__(self) -> None:
        self._last = -_QUIET

    def show(self, point: Point) -> None:
        """Print the numbers of jobs, now and then."""
        if point.at - self._last >= _QUIET:
            self._last = point.at
            print(f"{point.at:5.1f} s  {describe(point)}", flush=True)

    def mark(self, mark: Mark) -> None:
        """Print an event of the run."""
        print(f"{mark.at:5.1f} s  * {mark.text}", flush=True)

    def close(self) -> None:
        """Do nothing: all is printed."""


class Lively:
    """A panel that is redrawn in place, below the marks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._live.start()

    def show(self, point: Point) -> None:
        """Redraw the panel with the numbers of jobs."""
        self._live.update(_panel(point))

    def mark(self, mark: Mark) -> None:
        """Print an event above the panel."""
        self._console.print(Text(f"{mark.at:5.1f} s  {mark.text}"))

    def close(self) -> None:
        """Leave the last panel on the terminal."""
        self._live.stop()


#: Where the demo shows how far it is.
Progress = Plain | Lively


def make_progress(console: Console) -> Progress:
    """Return a panel for a terminal, else plain lines."""
    return Lively(console) if console.is_terminal else Plain()


def _panel(point: Point) -> Panel:
    bar = Text()
    for count, style in (
        (point.ended, "on green"),
        (point.running, "on blue"),
        (point.held, "on magenta"),
        (point.idle, "on bright_black"),
    ):
        bar.append(" " * round(count * _WIDTH / AGENTS), style)
    legend = Text.assemble(
        ("  ", "on green"),
        f" {point.ended} ended  ",
        ("  ", "on blue"),
        f" {point.running} running  ",
        ("  ", "on magenta"),
        f" {point.held} held  ",
        ("  ", "on bright_black"),
        f" {point.idle} idle",
    )
    pilots = Table.grid(padding=(0, 2))
    for name, number in sorted(point.pilots.items()):
        pilots.add_row(name, f"agent {number}" if number else "looks for work")
    parts: list[Text | Table] = [bar, legend, pilots]
    if not point.answered:
        parts.append(Text("the schedd does not answer", "yellow"))
    return Panel(Group(*parts), title=f"Plancton demo, {point.at:.0f} s", title_align="left")
