"""Replay recorded loads through the real policy: idle, full, changing, and windows."""

from __future__ import annotations

import pytest

from plancton.config.model import Config
from plancton.model import HostFacts
from plancton.policy.simulation import ReplayResult, add_up, replay
from tests.support.fake_node import GB

FACTS = HostFacts("n", ncpus=10, ram_bytes=640 * GB, swap_bytes=0)
CONFIG = Config(max_docks="ncpus", grace_kill=120.0, grace_spawn=60.0)
STEP = 300.0
HOUR = 12


def test_an_idle_node_is_full_all_the_time() -> None:
    found = replay([0.0] * HOUR, STEP, CONFIG, FACTS)
    assert found.duration == 3600
    assert found.pilot_time == pytest.approx(10 * 3600)
    assert found.pilot_cpu == pytest.approx(found.idle_cpu)
    assert (found.started, found.evicted, found.collisions) == (10, 0, 0)


def test_a_node_that_its_owner_fills_gets_no_pilot() -> None:
    found = replay([100.0] * HOUR, STEP, CONFIG, FACTS)
    assert (found.started, found.pilot_time, found.idle_cpu) == (0, 0.0, 0.0)


def test_an_owner_who_comes_back_meets_pilots_until_grace_kill_is_over() -> None:
    found = replay([0.0] * HOUR + [100.0] * HOUR, STEP, CONFIG, FACTS)
    assert (found.collisions, found.evicted) == (1, 10)
    assert 120 <= found.collision_time <= 120 + 2 * 30 + 5
    impatient = CONFIG.model_copy(update={"grace_kill": 0.0})
    sooner = replay([0.0] * HOUR + [100.0] * HOUR, STEP, impatient, FACTS)
    assert sooner.collision_time < found.collision_time


def test_where_cpu_idle_protects_the_owner_pilots_outlast_his_load_until_squeeze_limit() -> None:
    there_and_back = [0.0] * HOUR + [100.0] * 6 + [0.0] * HOUR
    found = replay(there_and_back, STEP, CONFIG, FACTS, protected=True)
    assert (found.started, found.evicted) == (10, 0), "half an hour without CPU, and on they go"
    assert found.pilot_cpu == pytest.approx(found.idle_cpu)
    longer = replay([0.0] * HOUR + [100.0] * 2 * HOUR, STEP, CONFIG, FACTS, protected=True)
    assert longer.evicted == 10
    # Ten pilots lived for an hour with CPU and for squeeze_limit, an hour, without.
    assert longer.pilot_time == pytest.approx(10 * 7200, rel=0.02)


def test_pilots_get_no_more_cpu_than_the_owner_leaves() -> None:
    found = replay([0.0, 50.0, 0.0, 90.0] * 6, STEP, CONFIG, FACTS)
    assert found.pilot_cpu <= found.idle_cpu + 1e-6


def test_an_owner_with_half_the_node_leaves_half_of_it() -> None:
    found = replay([50.0] * HOUR, STEP, CONFIG, FACTS)
    assert found.pilot_time == pytest.approx(5 * 3600, rel=0.02)


def test_old_age_is_no_eviction() -> None:
    short = CONFIG.model_copy(update={"max_ttl": 600.0})
    found = replay([0.0] * HOUR, STEP, short, FACTS)
    assert found.evicted == 0
    assert found.started > 10


def test_windows_are_kept() -> None:
    """The recording begins on a Monday at 00:00."""
    nights = CONFIG.model_copy(update={"windows": ("mon 00:30-24:00",), "timezone": "UTC"})
    found = replay([0.0] * HOUR, STEP, nights, FACTS)
    assert found.pilot_time == pytest.approx(10 * 1800)


def test_nodes_add_up() -> None:
    one = replay([0.0] * HOUR, STEP, CONFIG, FACTS)
    assert add_up([one, one]).pilot_time == 2 * one.pilot_time
    assert add_up([one, one]).nodes == 2
    assert add_up([]) == ReplayResult()
