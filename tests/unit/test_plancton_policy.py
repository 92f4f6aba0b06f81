"""decide: what starts, what stops, and why, on values alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton.config import Config
from plancton.model import (
    Decision,
    History,
    HostFacts,
    HostLoad,
    Mode,
    NodeState,
    Pilot,
    PilotState,
    RemovePilot,
    StartPilots,
    StopPilot,
    Trigger,
)
from plancton.policy import FORCE_GRACE, SOON, decide
from tests.plancton_fakes import FACTS, GB, IDLE

NOW = 5000.0


def config(**values: object) -> Config:
    return Config.model_validate({"max_docks": 4, **values})


def pilots(*ages: float, state: PilotState = PilotState.RUNNING) -> tuple[Pilot, ...]:
    return tuple(
        Pilot(id=f"p{n}", name=f"plancton-worker-{n:06}", state=state, age=age)
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


# Filling


def test_an_idle_node_is_filled_at_once() -> None:
    decision = decide(node(), config(), NOW)
    assert decision.actions == (StartPilots(4),)
    assert decision.summary == "Starting 4 pilots."


def test_a_full_node_starts_nothing_and_says_which_rule_says_so() -> None:
    decision = decide(node(*pilots(1, 2, 3, 4)), config(), NOW)
    assert decision.actions == ()
    assert decision.summary == "Starting none. max_docks allows 4 pilots."


def test_a_pilot_that_ends_is_removed_and_replaced_in_one_decision() -> None:
    gone = ended(0)
    decision = decide(node(*pilots(1, 2, 3), gone, trigger=Trigger.EVENT), config(), NOW)
    assert decision.actions == (RemovePilot(gone), StartPilots(1))


def test_draining_pilots_still_take_their_place() -> None:
    ending = pilots(50, 60, state=PilotState.STOPPING)
    decision = decide(node(*pilots(1), *ending), config(), NOW)
    assert starts(decision) == 1


def test_a_pilot_that_does_not_run_yet_takes_its_place() -> None:
    coming = pilots(0, 0, 0, state=PilotState.STARTING)
    assert starts(decide(node(*coming), config(), NOW)) == 1


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("ncpus - 2", 6), ("ram_bytes // max_dock_mem", 8), ("ncpus - 20", 0), (0, 0), ("ncpus/3", 2)],
)
def test_max_docks_may_be_an_expression(expression: object, expected: int) -> None:
    decision = decide(node(), config(max_docks=expression), NOW)
    assert starts(decision) == expected


# The owner's CPU


def test_the_owner_s_cpus_are_not_given_to_pilots() -> None:
    load = replace(IDLE, busy_cpus=5.0, pilots_cpus=0.0)
    assert starts(decide(node(load=load), config(max_docks=100), NOW)) == 3


def test_the_pilots_own_load_is_not_the_owner_s() -> None:
    load = replace(IDLE, busy_cpus=6.0, pilots_cpus=6.0)
    seen = pilots(*range(6))
    assert starts(decide(node(*seen, load=load), config(max_docks=8), NOW)) == 2


def test_background_noise_of_the_owner_costs_no_pilot() -> None:
    load = replace(IDLE, busy_cpus=0.4)
    assert starts(decide(node(load=load), config(max_docks=100), NOW)) == 8


def test_a_fraction_of_a_cpu_per_pilot_gives_more_pilots() -> None:
    assert starts(decide(node(), config(max_docks=100, cpus_per_dock=0.5), NOW)) == 16


def test_a_reserve_is_left_free() -> None:
    assert starts(decide(node(), config(max_docks=100, cpu_reserve=3), NOW)) == 5


def test_a_negative_reserve_fills_a_busy_node() -> None:
    load = replace(IDLE, busy_cpus=8.0)
    assert starts(decide(node(load=load), config(cpu_reserve=-100), NOW)) == 4


# Eviction for CPU


def busy(owner: float, seen: int) -> HostLoad:
    return replace(IDLE, busy_cpus=owner, pilots_cpus=0.0, pilots_mem=seen)


def over(since: float) -> History:
    return History(owner_cpus=8.0, owner_at=NOW, over_since=since)


def test_over_capacity_nothing_is_evicted_before_grace_kill_is_over() -> None:
    state = node(*pilots(1, 2, 3), load=busy(8, 3), history=over(NOW - 119))
    decision = decide(state, config(), NOW)
    assert decision.actions == ()
    assert decision.look_again == pytest.approx(1.0)
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
    assert decision.look_again == pytest.approx(1.0)
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


def test_memory_and_not_cpu_limits_a_node_with_large_pilots() -> None:
    """OCCAM: 10 GB a job and no swap, so 48 cores ran 13 jobs."""
    facts = HostFacts("light", 48, 144 * GB, 0)
    load = HostLoad(busy_cpus=0, pilots_cpus=0, mem_available=140 * GB, pilots_mem=0)
    decision = decide(
        node(facts=facts, load=load), config(max_docks="ncpus", max_dock_mem=10 * GB), NOW
    )
    assert starts(decision) == 13


def test_a_running_pilot_is_counted_with_all_it_may_use() -> None:
    load = replace(IDLE, mem_available=9 * GB, pilots_mem=2 * GB)
    decision = decide(node(*pilots(1, 2), load=load), config(max_docks=100), NOW)
    assert starts(decision) == 3


def test_pilots_that_use_more_than_their_share_leave_less_for_others() -> None:
    load = replace(IDLE, mem_available=4 * GB, pilots_mem=20 * GB)
    decision = decide(node(*pilots(1), load=load), config(max_docks=100), NOW)
    assert starts(decision) == 1


def test_when_memory_is_short_the_youngest_go_at_once_until_enough_comes_back() -> None:
    load = replace(IDLE, mem_available=0, pilots_mem=4 * GB)
    seen = tuple(replace(pilot, memory_bytes=600_000_000) for pilot in pilots(40, 10, 30, 20))
    decision = decide(node(*seen, load=load), config(), NOW)
    assert stopped(decision) == ["p1", "p3"]
    assert decision.look_again == SOON


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


def test_a_kernel_without_psi_is_no_reason_to_do_nothing() -> None:
    assert starts(decide(node(load=replace(IDLE, memory_stall=None)), config(), NOW)) == 4


# Unknown


def test_an_engine_that_does_not_answer_is_not_an_empty_node() -> None:
    """2017 fault 3: an error while counting was read as zero running."""
    state = node(engine_problem="connection refused", pilots=None)
    decision = decide(state, config(), NOW)
    assert decision.actions == ()
    assert "does not answer" in decision.summary and "connection refused" in decision.summary


@pytest.mark.parametrize("missing", ["busy_cpus", "pilots_cpus", "mem_available", "pilots_mem"])
def test_an_unknown_reading_starts_and_evicts_nothing_and_says_so(missing: str) -> None:
    load = replace(IDLE, **{missing: None})
    history = History(owner_cpus=8.0, owner_at=NOW - 1, over_since=NOW - 1000)
    decision = decide(node(*pilots(1, 2), load=load, history=history), config(), NOW)
    assert decision.actions == ()
    assert "not known" in decision.summary
    assert decision.history.over_since is None
    assert decision.look_again == SOON


def test_old_age_ends_a_pilot_though_the_load_is_unknown() -> None:
    decision = decide(node(*pilots(43201), load=HostLoad()), config(), NOW)
    assert stopped(decision) == ["p0"]


# max_ttl


def test_a_pilot_past_max_ttl_is_asked_to_end_and_no_pause_follows() -> None:
    decision = decide(node(*pilots(101, 99)), config(max_ttl=100, stop_grace=7), NOW)
    (stop,) = (action for action in decision.actions if isinstance(action, StopPilot))
    assert (stop.pilot.id, stop.grace) == ("p0", 7)
    assert decision.history.last_eviction is None
    assert decision.look_again == pytest.approx(1.0)


# Modes


def test_a_draining_node_starts_nothing_and_stops_nothing() -> None:
    decision = decide(node(*pilots(1, 2), mode=Mode.DRAIN), config(), NOW)
    assert decision.actions == ()
    assert decision.summary.startswith("Starting none. The node drains")


def test_force_stop_ends_every_pilot_soon_those_that_end_already_too() -> None:
    slow = pilots(3, state=PilotState.STOPPING)
    seen = (replace(slow[0], id="slow"), *pilots(1, 2))
    decision = decide(node(*seen, mode=Mode.FORCE_STOP), config(stop_grace=3600), NOW)
    assert sorted(stopped(decision)) == ["p0", "p1", "slow"]
    assert {a.grace for a in decision.actions if isinstance(a, StopPilot)} == {FORCE_GRACE}


# docks_per_loop


def test_docks_per_loop_caps_a_timer_pass() -> None:
    assert starts(decide(node(), config(docks_per_loop=3), NOW)) == 3


def test_docks_per_loop_never_delays_a_replacement() -> None:
    gone = [ended(0, id=f"x{n}") for n in range(3)]
    state = node(*pilots(1), *gone, trigger=Trigger.EVENT)
    assert starts(decide(state, config(docks_per_loop=1), NOW)) == 3


def test_between_timer_passes_docks_per_loop_lets_nothing_else_start() -> None:
    state = node(trigger=Trigger.EVENT)
    assert starts(decide(state, config(docks_per_loop=1), NOW)) == 0


# Properties

_ages = st.lists(st.floats(0, 50_000), max_size=12)
_loads = st.builds(
    HostLoad,
    busy_cpus=st.none() | st.floats(0, 64),
    pilots_cpus=st.none() | st.floats(0, 64),
    mem_available=st.none() | st.integers(0, 64 * GB),
    pilots_mem=st.none() | st.integers(0, 64 * GB),
    memory_stall=st.none() | st.floats(0, 100),
)
_states = st.builds(
    lambda ages, states, load, mode, trigger, over, evicted: NodeState(
        facts=FACTS,
        load=load,
        pilots=tuple(
            Pilot(f"p{n}", f"p{n}", state, age=age, exit_code=3)
            for n, (age, state) in enumerate(zip(ages, states, strict=False))
        ),
        mode=mode,
        trigger=trigger,
        history=History(owner_cpus=4.0, owner_at=NOW - 1, over_since=over, last_eviction=evicted),
    ),
    _ages,
    st.lists(st.sampled_from(PilotState), max_size=12),
    _loads,
    st.sampled_from(Mode),
    st.sampled_from(Trigger),
    st.none() | st.floats(0, NOW),
    st.none() | st.floats(0, NOW),
)


@settings(max_examples=300, deadline=None)
@given(_states, st.integers(0, 12), st.none() | st.integers(1, 5))
def test_whatever_is_seen_the_rules_hold(state: NodeState, most: int, pace: int | None) -> None:
    values = config(max_docks=most, docks_per_loop=pace)
    decision = decide(state, values, NOW)
    assert decision == decide(state, values, NOW), "same input, other answer"
    seen = state.pilots or ()
    using = [pilot for pilot in seen if pilot.state is not PilotState.EXITED]
    begun = starts(decision)
    assert begun == 0 or len(using) + begun <= most, "more than max_docks"
    assert not (begun and stopped(decision)), "stops and starts at once"
    assert begun == 0 or state.mode is Mode.ACTIVE, "starts while draining"
    assert begun == 0 or decision.capacity.start is not None, "starts on unknown readings"
    assert len(stopped(decision)) == len(set(stopped(decision))), "stops one twice"
    removed = [a.pilot for a in decision.actions if isinstance(a, RemovePilot)]
    assert removed == [pilot for pilot in seen if pilot.state is PilotState.EXITED]
    assert all(reason.text.endswith(".") for reason in decision.reasons)
    if not begun and not stopped(decision):
        assert any(reason.room == 0 for reason in decision.reasons), "nothing starts, no reason"
