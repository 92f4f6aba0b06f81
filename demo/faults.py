"""The faults that are injected, and when. Pure; ``run.py`` carries the steps out.

A fault is a list of steps. A step becomes due by the state of the site, not by the
clock, so that the same things happen on a slow machine and on a fast one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .plan import Agent, Story
from .view import HELD, IDLE, LEFT, RUNNING, View


class Act(Enum):
    """What a step does; the text is its name in the timeline."""

    HOLD = "condor_hold"
    RELEASE = "condor_release"
    REMOVE = "condor_rm"
    KILL_PILOT = "kill -9 a pilot"
    KILL_PLANCTON = "kill -9 plancton"
    START_PLANCTON = "plancton again"
    KILL_SCHEDD = "kill -9 schedd, wipe its disk"
    START_SCHEDD = "schedd again"


@dataclass(frozen=True)
class Step:
    """One step; ``due`` gets the view and the seconds since the fault's previous step."""

    act: Act
    due: Callable[[View, float], bool]
    agent: int = 0


@dataclass(frozen=True)
class Fault:
    """A sequence of steps that are taken one after the other."""

    name: str
    steps: tuple[Step, ...]
    #: names of the faults that have to be over before this one begins
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How many steps of each fault are done, and the time of the last one."""

    done: Mapping[str, int] = field(default_factory=dict)
    at: Mapping[str, float] = field(default_factory=dict)

    def advanced(self, fault: str, at: float) -> Progress:
        """Return the progress after one more of this fault, at this time in seconds."""
        done = {**self.done, fault: self.done.get(fault, 0) + 1}
        return Progress(done, {**self.at, fault: at})


def plan_faults(plan: Sequence[Agent], pilots: int) -> tuple[Fault, ...]:
    """Plan the faults: one for each agent with a story, one for Plancton, one for the schedd."""
    made = [_of_agent(agent, pilots) for agent in plan if agent.story is not Story.PLAIN]
    everybody = len(plan)
    made.append(
        Fault(
            "plancton",
            (
                Step(
                    Act.KILL_PLANCTON,
                    lambda view, _: view.count(LEFT) >= everybody // 4 and view.count(RUNNING) >= 2,
                ),
                Step(Act.START_PLANCTON, lambda view, passed: passed >= 1.5),
            ),
        )
    )
    made.append(
        Fault(
            "schedd",
            (
                Step(
                    Act.KILL_SCHEDD,
                    # A submission that the schedd's death cut short could have gone in
                    # without the CE knowing: the CE has to be through.
                    lambda view, _: (
                        len(view.state) == everybody
                        and view.count(LEFT) >= everybody // 2
                        and view.count(RUNNING) >= 2
                    ),
                ),
                Step(Act.START_SCHEDD, lambda view, passed: passed >= 1.0),
            ),
            after=("plancton",),
        )
    )
    return tuple(made)


def _of_agent(agent: Agent, pilots: int) -> Fault:
    number = agent.number

    def runs(view: View, _: float) -> bool:
        return view.is_in(number, RUNNING, 0.5) and number in view.started

    def waits_behind_others(view: View, _: float) -> bool:
        # Nobody may start it between this look and the command: every pilot is busy and
        # others come first.
        ahead = sum(1 for other, state in view.state.items() if state == IDLE and other < number)
        return view.is_in(number, IDLE) and (ahead >= pilots or view.count(RUNNING) >= pilots)

    steps: tuple[Step, ...]
    if agent.story is Story.HELD:
        steps = (
            Step(Act.HOLD, waits_behind_others, number),
            Step(Act.RELEASE, lambda view, _: view.is_in(number, HELD, 2.0), number),
        )
    elif agent.story is Story.REMOVED_IDLE:
        steps = (Step(Act.REMOVE, waits_behind_others, number),)
    elif agent.story is Story.REMOVED_RUNNING:
        steps = (Step(Act.REMOVE, runs, number),)
    else:
        steps = (Step(Act.KILL_PILOT, runs, number),)
    return Fault(f"agent {number}", steps)


def find_due_steps(
    all_faults: Sequence[Fault], progress: Progress, view: View
) -> list[tuple[Fault, Step]]:
    """Find the steps to take now, at most one of each fault.

    ``progress``: what was done already; ``view``: what the site shows now.
    """
    found = []
    for fault in all_faults:
        done = progress.done.get(fault.name, 0)
        if done == len(fault.steps) or not _over(fault.after, all_faults, progress):
            continue
        passed = view.at - progress.at.get(fault.name, 0.0)
        if fault.steps[done].due(view, passed):
            found.append((fault, fault.steps[done]))
    return found


def list_missing_steps(all_faults: Sequence[Fault], progress: Progress) -> list[str]:
    """List the steps that were never taken, in words."""
    return [
        f"{fault.name}: {step.act.value}"
        for fault in all_faults
        for step in fault.steps[progress.done.get(fault.name, 0) :]
    ]


def _over(names: Sequence[str], all_faults: Sequence[Fault], progress: Progress) -> bool:
    return all(
        progress.done.get(fault.name, 0) == len(fault.steps)
        for fault in all_faults
        if fault.name in names
    )
