"""The plan of the demo: 24 agents, how each must end, and the settings of the site."""

from dataclasses import dataclass
from enum import Enum

from demo_ce.agent import Behaviour


class Story(Enum):
    """What is done to an agent while it waits or works."""

    PLAIN = "runs"
    HELD = "held, then released"
    REMOVED_IDLE = "removed while idle"
    REMOVED_RUNNING = "removed while running"
    PILOT_KILLED = "its pilot is killed"


#: What an agent does unless it has a part of its own.
USUAL = Behaviour(seconds=2)


@dataclass(frozen=True)
class Agent:
    """One agent of the plan; ``number`` counts from 1 in the order of submission."""

    number: int
    story: Story = Story.PLAIN
    behaviour: Behaviour = USUAL

    @property
    def removed(self) -> bool:
        """Whether condor_rm removes it."""
        return self.story in (Story.REMOVED_IDLE, Story.REMOVED_RUNNING)

    @property
    def meant(self) -> str:
        """How it must end, as the tables print it."""
        return "removed" if self.removed else self.behaviour.expected_end()


AGENTS = 24

#: The CE's six dialects take turns, so numbers 3, 9, 15, ... are condor-pm's. Agent 9 has to be
#: one of them: the other texts ask for a lease of two hours, and a job whose pilot died
#: waits as long as it asked for.
_SPECIAL = {
    3: Agent(3, Story.REMOVED_RUNNING, Behaviour(seconds=300)),
    5: Agent(5, behaviour=Behaviour(USUAL.seconds, code=7)),
    9: Agent(9, Story.PILOT_KILLED, Behaviour(seconds=5)),
    10: Agent(10, behaviour=Behaviour(USUAL.seconds, signal=11)),
    11: Agent(11, Story.HELD),
    12: Agent(12, Story.REMOVED_IDLE),
}

PLAN: tuple[Agent, ...] = tuple(_SPECIAL.get(n, Agent(n)) for n in range(1, AGENTS + 1))

#: Pilots at once, also on one core: they run at the lowest priority and share it.
PILOTS = 4
#: Agents waiting at once; the site's queue stays filled while faults happen.
MAX_QUEUED = 12
#: Seconds without a heartbeat after which a running job counts as lost, and between heartbeats.
#: The lease has to bridge a busy single core, where a heartbeat may be seconds late.
LEASE = 8.0
HEARTBEAT = 0.5
#: Seconds after which an idle pilot ends; at the end of the demo this is waited for.
PILOT_TIMEOUT = 2.0
#: Seconds between two samples, between the CE's turns, between Plancton's looks.
SAMPLE = 0.3
CE_INTERVAL = 0.5
MAIN_SLEEP = 0.5
#: Seconds without any change of any agent after which the demo, and its CE, give up. A busy
#: machine is slow, but something changes on it.
PATIENCE = 120.0


def ce_arguments(plan: tuple[Agent, ...] = PLAN) -> list[str]:
    """Make the options with which the demo CE submits this plan."""
    arguments = [
        f"--agents={len(plan)}",
        f"--max-queued={MAX_QUEUED}",
        f"--seconds={USUAL.seconds}",
        f"--interval={CE_INTERVAL}",
        "--dialect=mixed",
        f"--patience={PATIENCE:.0f}",
    ]
    for agent in plan:
        if agent.behaviour != USUAL:
            does = agent.behaviour
            end = f"signal:{does.signal}" if does.signal else f"exit:{does.code}"
            arguments.append(f"--agent={agent.number}=seconds:{does.seconds},{end}")
    return arguments
