"""Which pilots are asked to end, when, and what does not start after that."""

from dataclasses import replace

import pytest

from plancton.model import History, HostFacts, HostLoad, PilotState, StopPilot
from plancton.policy.decide import decide
from plancton.policy.rules import SOON
from tests.support.fake_node import GB, IDLE
from tests.support.node_states import NOW, config, ended, node, pilots, starts, stopped, text


def busy(owner: float, seen: int) -> HostLoad:
    return replace(IDLE, busy_cpus=owner, pilots_cpus=0.0, pilots_mem=seen)


def over(since: float) -> History:
    return History(owner_cpus=8.0, owner_at=NOW, over_since=since)


def test_over_capacity_nothing_is_evicted_before_grace_kill_is_over() -> None:
    state = node(*pilots(1, 2, 3), load=busy(8, 3), history=over(NOW - 119))
    decision = decide(state, config(), NOW)
    assert decision.actions == ()
    assert decision.recheck_after == pytest.approx(1.0)
    assert "for 119.0 s" in text(decision, "grace_kill")


def test_over_capacity_for_grace_kill_all_that_is_too_much_goes_at_once_youngest_first() -> None:
    load = replace(IDLE, busy_cpus=6.0)
    history = History(owner_cpus=6.0, owner_at=NOW, over_since=NOW - 120)
    state = node(*pilots(100, 1, 50, 2), load=load, history=history)
    decision = decide(state, config(), NOW)
    assert stopped(decision) == ["p1", "p3"]
    assert starts(decision) == 0


def test_the_kill_rule_fires_on_large_nodes_too() -> None:
    """2017 fault 1: on 20 CPUs or more it never could, and it freed one pilot a loop."""
    facts = HostFacts("big", 64, 512 * GB, 0)
    load = HostLoad(busy_cpus=64, pilots_cpus=0.5, mem_available=400 * GB, pilots_mem=0)
    history = History(owner_cpus=63.5, owner_at=NOW, over_since=NOW - 120)
    state = node(*pilots(*range(62)), load=load, history=history, facts=facts)
    decision = decide(state, config(max_docks="ncpus - 2"), NOW)
    assert len(stopped(decision)) == 62 - 1


def test_a_short_burst_of_the_owner_resets_the_time_over_capacity() -> None:
    first = decide(node(*pilots(1, 2, 3), load=busy(8, 3), history=over(NOW - 100)), config(), NOW)
    calm = replace(first.history, owner_cpus=0.0)
    second = decide(node(*pilots(1, 2, 3), history=calm), config(), NOW + 1)
    assert second.history.over_since is None


def test_pilots_that_end_already_are_not_evicted_again() -> None:
    ending = pilots(10, 20, 30, state=PilotState.STOPPING)
    state = node(*ending, load=busy(8, 3), history=over(NOW - 500))
    assert decide(state, config(), NOW).actions == ()


# grace_spawn


def test_after_an_eviction_nothing_starts_for_grace_spawn() -> None:
    history = History(last_eviction=NOW - 59)
    decision = decide(node(history=history), config(), NOW)
    assert decision.actions == ()
    assert decision.recheck_after == pytest.approx(1.0)
    assert starts(decide(node(history=history), config(), NOW + 1)) == 4


@pytest.mark.parametrize("code", [0, 1, 3, 4, 137, None])
def test_a_pilot_that_ends_by_itself_starts_no_pause(code: int | None) -> None:
    """2017 fault 2: every reaped container did, so a node of short pilots stayed empty."""
    decision = decide(node(ended(code)), config(), NOW)
    assert decision.history.last_eviction is None


def test_an_evicted_pilot_starts_the_pause_once_and_not_again_when_it_is_removed() -> None:
    evicting = decide(node(*pilots(5), load=busy(8, 1), history=over(NOW - 200)), config(), NOW)
    assert evicting.history.last_eviction == NOW
    gone = ended(143, asked=True)
    later = decide(node(gone, load=busy(8, 1), history=evicting.history), config(), NOW + 30)
    assert later.history.last_eviction == NOW


# Memory


def test_when_memory_is_short_the_youngest_go_at_once_until_enough_comes_back() -> None:
    load = replace(IDLE, mem_available=0, pilots_mem=4 * GB)
    seen = tuple(replace(pilot, memory_bytes=600_000_000) for pilot in pilots(40, 10, 30, 20))
    decision = decide(node(*seen, load=load), config(), NOW)
    assert stopped(decision) == ["p1", "p3"]
    assert decision.recheck_after == SOON


def test_memory_that_comes_back_already_is_not_asked_for_twice() -> None:
    load = replace(IDLE, mem_available=500_000_000, pilots_mem=4 * GB)
    ending = replace(pilots(5, state=PilotState.STOPPING)[0], id="going", memory_bytes=GB)
    decision = decide(node(*pilots(10, 20), ending, load=load), config(), NOW)
    assert stopped(decision) == []


def test_tasks_that_wait_for_memory_cost_one_pilot_at_a_time() -> None:
    load = replace(IDLE, memory_stall=30.0)
    assert stopped(decide(node(*pilots(9, 3, 6), load=load), config(), NOW)) == ["p1"]
    ending = replace(pilots(1, state=PilotState.STOPPING)[0], id="going")
    assert stopped(decide(node(*pilots(9, 6), ending, load=load), config(), NOW)) == []


def test_a_pilot_past_max_ttl_is_asked_to_end_and_no_pause_follows() -> None:
    decision = decide(node(*pilots(101, 99)), config(max_ttl=100, stop_grace=7), NOW)
    (stop,) = (action for action in decision.actions if isinstance(action, StopPilot))
    assert (stop.pilot.id, stop.grace) == ("p0", 7)
    assert decision.history.last_eviction is None
    assert decision.recheck_after == pytest.approx(1.0)


def test_those_go_first_with_which_the_least_work_is_lost() -> None:
    """An old pilot that waited for its owner has less to lose than a young one that computed."""
    ages, used = (9000, 300, 7000, 2000), (100.0, 290.0, None, 1900.0)
    seen = [
        replace(pilot, cpu_seconds=cpu, memory_bytes=2 * GB)
        for pilot, cpu in zip(pilots(*ages), used, strict=True)
    ]
    for missing, gone in ((1, ["p0"]), (3, ["p0", "p1"]), (5, ["p0", "p1", "p3"])):
        load = replace(IDLE, mem_available=(5 - missing) * GB, pilots_mem=8 * GB)
        decision = decide(node(*seen, load=load), config(mem_reserve=5 * GB), NOW)
        assert stopped(decision) == gone
