"""Rules about images, the owner's growth in memory, and the load that starts themselves cause."""

from dataclasses import replace
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.model import (
    Decision,
    History,
    HostLoad,
    ImageStatus,
    NodeState,
    Pilot,
    PilotState,
    Prepared,
    Protection,
    StartPilots,
    StopPilot,
)
from plancton.node.sensors import ProcSensors
from plancton.policy import backoff, capacity
from plancton.policy.decide import decide as policy_decide
from plancton.policy.rules import SHORT_GRACE
from tests.support.fake_node import FACTS, GB, IDLE
from tests.support.node_states import pilots, stopped, text

CONFIG = Config(docker_image="w:2", max_docks=8, mem_reserve=4 * GB, max_dock_mem=2 * GB)


def decide(prepared: Prepared = Prepared(), **values: object) -> Decision:  # noqa: B008 (a value)
    state = NodeState(facts=FACTS, load=IDLE, pilots=(), prepared=prepared)
    return policy_decide(replace(state, **values), CONFIG, 1000.0)  # type: ignore[arg-type]


FOUR = pilots(100, 101, 102, 103, memory=2 * GB)


# The image


def test_without_an_image_nothing_starts_and_the_pull_is_reported() -> None:
    image = ImageStatus("w:2", pulling="1 of 3 layers, 5.0 of 20.0 MB")
    decision = decide(Prepared(image=image))
    assert decision.actions == ()
    assert decision.summary == (
        "Starting none. Image w:2 is not there: it is being pulled (1 of 3 layers, 5.0 of 20.0 MB)."
    )


def test_an_image_that_cannot_be_pulled_is_reported_with_the_reason() -> None:
    image = ImageStatus("w:2", problem="unauthorized")
    assert text(decide(Prepared(image=image)), "image") == (
        "Image w:2 is not there: the last pull failed: unauthorized."
    )


def test_a_failed_pull_of_a_new_image_goes_on_with_the_old_one() -> None:
    image = ImageStatus("w:2", "w:1", "sha256:1", problem="unauthorized")
    decision = decide(Prepared(image=image))
    assert decision.actions == (StartPilots(8),)
    assert text(decision, "image") == (
        "New pilots are made from w:1 (sha256:1), as w:2 is not there: "
        "the last pull failed: unauthorized."
    )


def test_an_engine_without_images_has_no_rule_for_them() -> None:
    assert {one.rule for one in decide().reasons}.isdisjoint({"image", "protection"})


@pytest.mark.parametrize(
    ("protection", "expected"),
    [
        (Protection("/g", "idle", 3 * GB), "pilots get the CPU only when nobody else wants it"),
        (Protection("/g", "", None, ("x: Read-only file system",)), "by eviction alone; x: Read"),
        (
            Protection("/a/g", "idle", 3 * GB, inside="/a"),
            "(cpu.idle), but only inside /a: against all outside it they have its share, 3.0 GB",
        ),
        (
            Protection("/g", "idle", None, (), ("something else set cpu.idle to 0",)),
            "nobody else wants it (cpu.idle); something else set cpu.idle to 0. What",
        ),
    ],
)
def test_how_the_owner_is_protected_is_reported_and_forbids_nothing(
    protection: Protection, expected: str
) -> None:
    decision = decide(Prepared(protection=protection))
    told = text(decision, "protection")
    assert expected in told
    assert decision.actions == (StartPilots(8),)
    rest = "hyper-threads, caches and memory bandwidth is not measured; max_docks bounds it."
    assert told.endswith(rest) is protection.cpu_is_idle


# Memory


def short(available: int, pilots: int) -> HostLoad:
    return replace(IDLE, mem_available=available, pilots_mem=pilots)


def test_only_as_many_go_as_the_owner_misses() -> None:
    assert stopped(decide(pilots=FOUR, load=short(3 * GB, 8 * GB))) == ["p0"]


def test_an_owner_who_goes_on_taking_is_foreseen() -> None:
    # 2 GB a second for as long as an eviction takes.
    history = History(room=13 * GB, room_at=999.0)
    decision = decide(pilots=FOUR, load=short(3 * GB, 8 * GB), history=history)
    assert stopped(decision) == ["p0", "p1"]


def test_pilots_that_grow_are_no_appetite_of_the_owner() -> None:
    history = capacity.track_memory_growth(History(), short(9 * GB, 0), 10.0)
    history = capacity.track_memory_growth(history, short(3 * GB, 6 * GB), 11.0)
    assert history.room_loss == 0.0


def test_appetite_is_not_measured_over_a_moment() -> None:
    history = capacity.track_memory_growth(History(), short(9 * GB, 0), 10.0)
    assert capacity.track_memory_growth(history, short(8 * GB, 0), 10.01) == history
    assert capacity.track_memory_growth(history, HostLoad(), 20.0).room is None


def test_pilots_get_little_time_to_end_while_the_owner_waits_for_memory() -> None:
    (one,) = decide(pilots=FOUR, load=short(3 * GB, 8 * GB)).actions
    assert isinstance(one, StopPilot)
    assert one.grace == SHORT_GRACE < CONFIG.stop_grace


def test_free_pages_on_the_cpus_own_lists_are_free(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:    1000 kB\n")
    (tmp_path / "zoneinfo").write_text(
        "Node 0, zone   Normal\n  pagesets\n    cpu: 0\n              count:    10\n"
        "              high:     90\n    cpu: 1\n              count:    5\n"
    )
    assert ProcSensors(tmp_path).read_available_memory() == 1000 * 1024 + 15 * 4096
    (tmp_path / "zoneinfo").unlink()
    assert ProcSensors(tmp_path).read_available_memory() == 1000 * 1024
    (tmp_path / "meminfo").unlink()
    assert ProcSensors(tmp_path).read_available_memory() is None


# Pilots that could not be started


def test_a_pilot_whose_command_never_ran_is_a_failure_whatever_its_life_was() -> None:
    ended = Pilot("p", "p", PilotState.EXITED, age=0.0, never_ran=True)
    assert backoff.classify_end(ended, Config(quick_death=0.0)) is backoff.PilotOutcome.FAILURE
    asked = replace(ended, asked_to_stop=True)
    assert backoff.classify_end(asked, Config()) is backoff.PilotOutcome.SAYS_NOTHING


# Our own noise


def owner(cpus: float) -> HostLoad:
    return HostLoad(busy_cpus=cpus, pilots_cpus=0.0)


def test_the_engines_work_on_pilots_is_not_taken_for_the_owners() -> None:
    history = capacity.track_churn(History(owner_cpus=0.1, owner_at=0.0), True, 0.0)
    history = capacity.smooth_owner(history, owner(6.0), 5.0)
    assert history.owner_cpus == 0.1
    assert capacity.smooth_owner(history, owner(0.0), 10.0).owner_cpus != 0.1, "a fall counts"


def test_an_owner_is_believed_when_the_pilots_have_come_and_gone_for_long() -> None:
    history = capacity.track_churn(History(owner_cpus=0.1, owner_at=0.0), True, 0.0)
    later = capacity.CHURN_PATIENCE + 1.0
    history = capacity.track_churn(history, True, later)
    found = capacity.smooth_owner(history, owner(6.0), later).owner_cpus
    assert found is not None and found > 5.0


def test_a_pass_without_churn_ends_the_patience() -> None:
    history = capacity.track_churn(History(), True, 0.0)
    assert capacity.track_churn(history, False, 1.0).churn_since is None


def test_a_decision_that_changes_pilots_is_remembered_as_noise_to_come() -> None:
    assert decide().history.acted
    assert not decide(pilots=pilots(*range(100, 108))).history.acted
