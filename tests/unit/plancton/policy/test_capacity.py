"""The owner's smoothed load, and the limits that follow from it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plancton.config.model import Config
from plancton.model import Capacity, History, HostLoad
from plancton.policy import capacity
from plancton.policy.capacity import Limit
from tests.support.fake_node import FACTS, IDLE


def owner(cpus: float) -> HostLoad:
    return replace(IDLE, busy_cpus=cpus)


def follow(history: History, cpus: float, seconds: float, now: float = 0.0) -> History:
    return capacity.smooth_owner(history, owner(cpus), now + seconds)


def test_the_first_reading_is_taken_as_it_is() -> None:
    assert capacity.smooth_owner(History(), owner(3.0), 100.0).owner_cpus == 3.0


def test_a_rise_is_followed_within_seconds_and_a_fall_within_minutes() -> None:
    low, high = History(owner_cpus=0.0, owner_at=0.0), History(owner_cpus=8.0, owner_at=0.0)
    assert follow(low, 8.0, 10.0).owner_cpus == pytest.approx(8.0, abs=1.2)
    assert follow(high, 0.0, 10.0).owner_cpus == pytest.approx(8.0, abs=1.5)
    assert follow(high, 0.0, 300.0).owner_cpus == pytest.approx(0.0, abs=0.1)


@given(st.floats(0, 8), st.floats(0, 8), st.integers(1, 20))
def test_how_often_the_load_is_read_makes_no_difference(
    before: float, current: float, looks: int
) -> None:
    once = follow(History(owner_cpus=before, owner_at=0.0), current, 30.0)
    often = History(owner_cpus=before, owner_at=0.0)
    for n in range(looks):
        often = capacity.smooth_owner(often, owner(current), 30.0 * (n + 1) / looks)
    assert often.owner_cpus == pytest.approx(once.owner_cpus, abs=1e-6)


def test_an_unknown_load_changes_nothing() -> None:
    history = History(owner_cpus=4.0, owner_at=7.0)
    assert capacity.smooth_owner(history, HostLoad(), 50.0) == history


def test_a_load_at_the_edge_does_not_evict_what_it_let_start() -> None:
    config = Config(max_docks=100)
    for cpus in (2.4, 2.5, 2.6, 2.7):
        part = capacity.limit_by_cpu(config, FACTS, owner(cpus), History(owner_cpus=cpus))
        assert part.start is not None and part.keep is not None
        assert part.start <= part.keep
    at_edge = capacity.limit_by_cpu(config, FACTS, owner(2.5), History(owner_cpus=2.5))
    a_bit_more = capacity.limit_by_cpu(config, FACTS, owner(2.7), History(owner_cpus=2.7))
    assert at_edge.start == a_bit_more.keep == 6


def test_an_owner_who_uses_everything_leaves_no_pilot() -> None:
    part = capacity.limit_by_cpu(Config(), FACTS, owner(8.0), History(owner_cpus=8.0))
    assert (part.start, part.keep) == (0, 0)


def test_a_missing_part_makes_the_whole_unknown() -> None:
    known, other = Limit(3, 4, "CPU", ""), Limit(5, 2, "Memory", "")
    unknown = Limit(None, None, "CPU", "The CPU load is not known.")
    assert capacity.combine_limits([known, unknown]) == Capacity(None, None)
    assert capacity.combine_limits([known, other]) == Capacity(3, 2)
