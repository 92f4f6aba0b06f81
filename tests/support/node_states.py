"""States of a node as values, and what a decision about them contains."""

from dataclasses import replace

from plancton.config.model import Config
from plancton.model import Decision, HostLoad, NodeState, Pilot, PilotState, StartPilots, StopPilot
from tests.support.fake_node import FACTS, IDLE

NOW = 5000.0


def config(**values: object) -> Config:
    return Config.model_validate({"max_docks": 4, **values})


def pilots(
    *ages: float, state: PilotState = PilotState.RUNNING, memory: int | None = None
) -> tuple[Pilot, ...]:
    return tuple(
        Pilot(f"p{n}", f"plancton-worker-{n:06}", state, age=age, memory_bytes=memory)
        for n, age in enumerate(ages)
    )


def ended(code: int | None, *, age: float = 100.0, asked: bool = False, id: str = "x") -> Pilot:
    return Pilot(
        id=id, name=id, state=PilotState.EXITED, age=age, exit_code=code, asked_to_stop=asked
    )


def node(*seen: Pilot, load: HostLoad = IDLE, **values: object) -> NodeState:
    return replace(NodeState(facts=FACTS, load=load, pilots=seen), **values)  # type: ignore[arg-type]


def starts(decision: Decision) -> int:
    return sum(a.count for a in decision.actions if isinstance(a, StartPilots))


def stopped(decision: Decision) -> list[str]:
    return [a.pilot.id for a in decision.actions if isinstance(a, StopPilot)]


def text(decision: Decision, rule: str) -> str:
    (reason,) = (reason for reason in decision.reasons if reason.rule == rule)
    return reason.text
