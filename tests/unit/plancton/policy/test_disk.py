"""A pilot that fills the owner's disk is ended, and only that one."""

from __future__ import annotations

import pytest

from plancton.config.model import Config
from plancton.model import Decision, NodeState, Pilot, PilotState, StopPilot
from plancton.policy.decide import decide
from tests.support.fake_node import FACTS, GB, IDLE
from tests.support.node_states import text

CONFIG = Config(max_docks=4, max_dock_disk=10 * GB, stop_grace=7)


def decided(*disk: int | None, config: Config = CONFIG) -> Decision:
    pilots = tuple(
        Pilot(f"p{n}", f"p{n}", PilotState.RUNNING, age=500.0, disk_bytes=used)
        for n, used in enumerate(disk)
    )
    return decide(NodeState(facts=FACTS, load=IDLE, pilots=pilots), config, 1000.0)


def stopped(decision: Decision) -> list[tuple[str, float, str]]:
    return [
        (one.pilot.id, one.grace, one.reason)
        for one in decision.actions
        if isinstance(one, StopPilot)
    ]


def test_a_pilot_that_wrote_more_than_it_may_is_asked_to_end() -> None:
    decision = decided(1 * GB, 10 * GB, 10 * GB + 1, None)
    why = "it has written more than max_dock_disk"
    assert stopped(decision) == [("p2", 7.0, why)]
    assert text(decision, "disk") == (
        "1 pilot wrote more than max_dock_disk (10.0 GB): asked to end."
    )


def test_one_that_wrote_less_is_left_alone() -> None:
    decision = decided(1 * GB)
    assert stopped(decision) == []
    assert text(decision, "disk") == "No pilot has written more than max_dock_disk (10.0 GB)."


@pytest.mark.parametrize("config", [CONFIG, CONFIG.model_copy(update={"max_dock_disk": 0})])
def test_unknown_or_unlimited_use_stops_nobody(config: Config) -> None:
    decision = decided(None if config.max_dock_disk else 10**15, config=config)
    assert stopped(decision) == []
    assert "disk" not in {reason.rule for reason in decision.reasons}


def test_by_default_a_pilot_may_fill_100_gb() -> None:
    decision = decided(100 * GB, 100 * GB + 1, config=Config(max_docks=4))
    assert [pilot for pilot, _grace, _why in stopped(decision)] == ["p1"]
