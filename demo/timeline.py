"""The record of a run for the report: samples of the site, and marks for what was done."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .view import HELD, IDLE, LEFT, OUTPUT, REMOVED, RUNNING, Sample, View


@dataclass(frozen=True)
class Point:
    """One sample: agents by state, live pilots with their agents, CPUs in use."""

    at: float
    idle: int
    running: int
    held: int
    ended: int
    answered: bool  #: False: the schedd did not answer; the states are the last known ones
    pilots: Mapping[str, int]
    owner_cpus: float | None
    pilots_cpus: float | None


@dataclass(frozen=True)
class Mark:
    """One thing that was done to the site, and when."""

    at: float
    text: str


@dataclass
class Timeline:
    """The samples and marks of a run, and when each agent reached which state."""

    points: list[Point] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    #: number of each agent → when it was first seen submitted, running, and gone
    submitted: dict[int, float] = field(default_factory=dict)
    started: dict[int, float] = field(default_factory=dict)
    left: dict[int, float] = field(default_factory=dict)

    def add(self, sample: Sample, view: View) -> None:
        """Add one sample: the times of the jobs' changes, and a point of the numbers of jobs."""
        for number, state in view.state.items():
            self.submitted.setdefault(number, sample.at)
            if state == RUNNING:
                self.started.setdefault(number, sample.at)
            elif state == LEFT:
                self.left.setdefault(number, sample.at)
        self.points.append(
            Point(
                at=sample.at,
                idle=view.count(IDLE),
                # being removed, or its output on the way: it still has its worker or its work
                running=view.count(RUNNING) + view.count(REMOVED) + view.count(OUTPUT),
                held=view.count(HELD),
                ended=view.count(LEFT),
                answered=sample.queue is not None,
                pilots=sample.pilots,
                owner_cpus=sample.owner_cpus,
                pilots_cpus=sample.pilots_cpus,
            )
        )
