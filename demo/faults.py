"""The faults that are injected, and when; ``run.py`` carries them out.

A fault is a generator that gets each view of the site and yields what is to be done now. It goes by
the state of the site, not by the clock, so that the same things happen on a slow machine and on a
fast one.
"""

from collections.abc import Callable, Generator, Sequence
from enum import Enum

from .plan import Agent, Story
from .view import HELD, IDLE, LEFT, RUNNING, View


class Act(Enum):
    """What is done; the text is its name in the timeline."""

    HOLD = "condor_hold"
    RELEASE = "condor_release"
    REMOVE = "condor_rm"
    KILL_PILOT = "kill -9 a pilot"
    KILL_PLANCTON = "kill -9 plancton"
    START_PLANCTON = "plancton again"
    KILL_SCHEDD = "kill -9 schedd, wipe its disk"
    START_SCHEDD = "schedd again"


#: Gets a view, yields what is to be done now; None: nothing.
Fault = Generator[Act | None, View, None]


class Faults:
    """All faults: one for each agent with a story, and one for the programs (agent 0)."""

    def __init__(self, plan: Sequence[Agent], pilots: int) -> None:
        """``pilots``: how many there are at once."""
        self._pending = {
            agent.number: _happen_to(agent, pilots)
            for agent in plan
            if agent.story is not Story.PLAIN
        }
        self._pending[0] = _kill_programs(len(plan))
        for fault in self._pending.values():
            next(fault)  # up to where it waits for a view

    def find_due(self, view: View) -> list[tuple[int, Act]]:
        """Return the agents, and what is to be done to each now."""
        found = []
        for agent, fault in list(self._pending.items()):
            try:
                act = fault.send(view)
            except StopIteration:
                del self._pending[agent]
                continue
            if act is not None:
                found.append((agent, act))
        return found

    def list_unfinished(self) -> list[str]:
        """Return to what not all has been done that was planned."""
        return [f"agent {one}" if one else "plancton and schedd" for one in sorted(self._pending)]


def _until(is_due: Callable[[View], bool]) -> Generator[None, View, None]:
    while not is_due((yield None)):
        pass


def _happen_to(agent: Agent, pilots: int) -> Fault:
    number = agent.number

    def runs(view: View) -> bool:
        return view.is_in(number, RUNNING, 0.5) and number in view.started

    def waits_behind_others(view: View) -> bool:
        # Nobody may start it between this look and the command: every pilot is busy and
        # others come first.
        ahead = sum(1 for other, state in view.state.items() if state == IDLE and other < number)
        return view.is_in(number, IDLE) and (ahead >= pilots or view.count(RUNNING) >= pilots)

    if agent.story is Story.HELD:
        yield from _until(waits_behind_others)
        yield Act.HOLD
        yield from _until(lambda view: view.is_in(number, HELD, 2.0))
        yield Act.RELEASE
    elif agent.story is Story.REMOVED_IDLE:
        yield from _until(waits_behind_others)
        yield Act.REMOVE
    else:
        yield from _until(runs)
        yield Act.REMOVE if agent.story is Story.REMOVED_RUNNING else Act.KILL_PILOT


def _kill_programs(agents: int) -> Fault:
    """Kill Plancton and then the schedd; ``agents``: how many there are in all."""
    yield from _until(lambda view: view.count(LEFT) >= agents // 4 and view.count(RUNNING) >= 2)
    killed = (yield Act.KILL_PLANCTON).at
    yield from _until(lambda view: view.at - killed >= 1.5)
    yield Act.START_PLANCTON
    # A submission that the schedd's death cut short could have gone in without the CE knowing:
    # the CE has to be through.
    yield from _until(
        lambda view: (
            len(view.state) == agents
            and view.count(LEFT) >= agents // 2
            and view.count(RUNNING) >= 2
        )
    )
    died = (yield Act.KILL_SCHEDD).at
    yield from _until(lambda view: view.at - died >= 1.0)
    yield Act.START_SCHEDD
