"""What starts and why, on values alone."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton.model import (
    History,
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
from plancton.policy.decide import decide
from plancton.policy.rules import FORCE_GRACE, SOON
from tests.support.fake_node import FACTS, GB, IDLE
from tests.support.node_states import NOW, config, ended, node, pilots, starts, stopped


def test_an_idle_node_is_filled_at_once() -> None:
    decision = decide(node(), config(), NOW)
    assert decision.actions == (StartPilots(4),)
    assert decision.summary == "Starting 4 pilots."


def test_a_full_node_starts_nothing_and_says_which_rule_says_so() -> None:
    decision = decide(node(*pilots(1, 2, 3, 4)), config(), NOW)
    assert decision.actions == ()
    assert decision.summary == "Starting none. max_docks allows 4 pilots, and 4 are in use."


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
    assert decision.recheck_after == SOON


def test_old_age_ends_a_pilot_though_the_load_is_unknown() -> None:
    decision = decide(node(*pilots(43201), load=HostLoad()), config(), NOW)
    assert stopped(decision) == ["p0"]


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
