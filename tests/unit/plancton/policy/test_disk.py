"""A pilot that fills the owner's disk is ended, and only that one."""

import pytest

from plancton.config.model import Config
from plancton.model import Decision, DiskUse, NodeState, Pilot, PilotState, StopPilot
from plancton.policy.capacity import format_gb
from plancton.policy.decide import decide
from tests.support.fake_node import FACTS, GB, IDLE
from tests.support.node_states import text

CONFIG = Config(max_docks=4, max_dock_disk=10 * GB, stop_grace=7)


def decided(*disk: int | None, failures: int = 0, config: Config = CONFIG) -> Decision:
    """Decide for pilots that wrote so many bytes; those of which it is unknown failed so often."""
    pilots = tuple(
        Pilot(f"p{n}", f"p{n}", PilotState.RUNNING, age=500.0,
              disk=DiskUse(used, failures if used is None else 0))
        for n, used in enumerate(disk)
    )  # fmt: skip
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
        "1 pilot wrote more than max_dock_disk (10.0 GB): asked to end. Of 1 pilot it is not known."
    )


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0.0"), (50_000_000, "0.05"), (2_750_000_000, "2.75"), (2 * GB, "2.0"),
     (23_712_345_678, "23.7"), (128_430_000_000, "128.4"), (8192, "0.0")],
)  # fmt: skip
def test_a_size_is_shown_so_that_others_can_be_computed_from_it(size: int, shown: str) -> None:
    assert format_gb(size) == f"{shown} GB"


def test_one_that_wrote_less_is_left_alone() -> None:
    decision = decided(1 * GB)
    assert stopped(decision) == []
    assert text(decision, "disk") == (
        "No pilot is known to have written more than max_dock_disk (10.0 GB)."
    )


@pytest.mark.parametrize(
    ("config", "used"),
    [({"max_dock_disk": 0}, 10**15), ({"max_dock_disk": 0}, None), ({"engine": "process"}, None)],
)
def test_without_a_limit_nobody_is_stopped(config: dict[str, object], used: int | None) -> None:
    decision = decided(used, failures=3, config=CONFIG.model_copy(update=config))
    assert stopped(decision) == []
    assert "disk" not in {reason.rule for reason in decision.reasons}


def test_use_that_is_not_known_yet_stops_nobody_and_is_told() -> None:
    decision = decided(1 * GB, None, failures=2)
    assert stopped(decision) == []
    assert text(decision, "disk") == (
        "No pilot is known to have written more than max_dock_disk (10.0 GB). "
        "Of 1 pilot it is not known."
    )


def test_a_pilot_of_which_it_cannot_be_known_is_asked_to_end() -> None:
    decision = decided(1 * GB, None, failures=3)
    why = "how much it has written for max_dock_disk could not be measured several times"
    assert stopped(decision) == [("p1", 7.0, why)]
    assert text(decision, "disk") == (
        "No pilot is known to have written more than max_dock_disk (10.0 GB). "
        "Of 1 pilot it is not known. 1 pilot with so many files, or such long paths, that this "
        "could not be measured 3 times in a row: asked to end."
    )


def test_by_default_a_pilot_may_fill_100_gb() -> None:
    decision = decided(100 * GB, 100 * GB + 1, config=Config(max_docks=4))
    assert [pilot for pilot, _grace, _why in stopped(decision)] == ["p1"]
