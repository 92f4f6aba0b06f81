"""The demo's view of its site, and which fault comes when."""

from dataclasses import replace

import pytest

from demo.faults import Act, Progress, find_due_steps, list_missing_steps, plan_faults
from demo.plan import AGENTS, PILOTS, PLAN, Story, ce_arguments
from demo.view import (
    HELD,
    IDLE,
    LEFT,
    RUNNING,
    Run,
    Sample,
    View,
    parse_ledger,
    parse_queue,
    update_view,
)
from demo_ce.agent import Behaviour
from demo_ce.dialects import DIALECTS
from demo_ce.options import build_parser, parse_agents
from demo_ce.records import AgentRecord


def record(number: int) -> AgentRecord:
    return AgentRecord(
        number, f"t{number}", "alien", f"{number}.0", "s", "o", "e", "l", Behaviour()
    )


def agent_with(story: Story) -> int:
    (number,) = (agent.number for agent in PLAN if agent.story is story)
    return number


# -- the plan --------------------------------------------------------------------


def test_the_plan_holds_what_the_demo_promises():
    assert [agent.number for agent in PLAN] == list(range(1, AGENTS + 1))
    assert sum(agent.behaviour.code == 7 for agent in PLAN) == 1
    assert sum(agent.behaviour.signal > 0 for agent in PLAN) == 1
    for story in Story:
        if story is not Story.PLAIN:
            agent_with(story)


def test_the_agent_whose_pilot_dies_speaks_the_one_dialect_without_a_long_lease():
    turn = list(DIALECTS)[(agent_with(Story.PILOT_KILLED) - 1) % len(DIALECTS)]

    assert turn == "condor-pm"


def test_the_ce_gets_the_plan_as_it_is():
    options = build_parser().parse_args(ce_arguments())

    behaviours = parse_agents(options.agent, options.agents, Behaviour(options.seconds))

    assert options.agents == AGENTS
    for agent in PLAN:
        meant = behaviours.get(agent.number, Behaviour(options.seconds))
        assert meant == agent.behaviour


# -- the view --------------------------------------------------------------------


def test_a_submitted_agent_that_is_not_in_the_queue_has_left_it():
    view = update_view(View(), Sample(1.0, {"1.0": IDLE}), [record(1), record(2)], [])

    assert view.state == {1: IDLE, 2: LEFT}


def test_a_state_has_an_age():
    first = update_view(View(), Sample(1.0, {"1.0": IDLE}), [record(1)], [])
    second = update_view(first, Sample(2.0, {"1.0": IDLE}), [record(1)], [])
    third = update_view(second, Sample(3.0, {"1.0": RUNNING}), [record(1)], [])

    assert second.is_in(1, IDLE, 1.0)
    assert not second.is_in(1, IDLE, 1.1)
    assert third.is_in(1, RUNNING)
    assert not third.is_in(1, RUNNING, 0.1)


def test_a_schedd_that_does_not_answer_changes_no_state_and_adds_none():
    before = update_view(View(), Sample(1.0, {"1.0": RUNNING}), [record(1)], [])

    after = update_view(before, Sample(2.0, None), [record(1), record(2)], [])

    assert after.state == {1: RUNNING}
    assert after.is_in(1, RUNNING, 1.0)


def test_an_agent_has_started_when_it_says_so_itself():
    runs = [Run("start", "t2", 10), Run("start", "nobody", 11)]

    view = update_view(
        View(), Sample(1.0, {"1.0": RUNNING, "2.0": RUNNING}), [record(1), record(2)], runs
    )

    assert view.started == {2}


def test_the_ledger_is_read_up_to_its_last_whole_line():
    assert parse_ledger("start a 1\ndone a 1\nsta") == [Run("start", "a", 1), Run("done", "a", 1)]


@pytest.mark.parametrize("line", ["slept a 1", "start a", "start a x"])
def test_a_foreign_line_in_the_ledger_is_refused(line):
    with pytest.raises(ValueError):
        parse_ledger(line + "\n")


def test_the_queue_is_read_from_condor_q():
    assert parse_queue("1.0 2\n12.0 5\n") == {"1.0": 2, "12.0": 5}
    assert parse_queue("") == {}


# -- the faults ------------------------------------------------------------------


def at(seconds: float, started=(), **states: int) -> View:
    """Return a view in which every agent has been in its state since the beginning."""
    numbers = {int(name[1:]): state for name, state in states.items()}
    return View(seconds, numbers, dict.fromkeys(numbers, 0.0), frozenset(started))


def busy(seconds: float, **states: int) -> View:
    return at(seconds, **{f"a{n}": RUNNING for n in range(1, 1 + PILOTS)}, **states)


FAULTS = plan_faults(PLAN, PILOTS)


def acts(view: View, progress: Progress | None = None) -> list[tuple[str, Act]]:
    return [
        (fault.name, step.act)
        for fault, step in find_due_steps(FAULTS, progress or Progress(), view)
    ]


def test_nothing_is_done_to_an_empty_site():
    assert acts(View()) == []


def test_an_idle_agent_is_held_and_removed_only_behind_busy_pilots():
    held, removed = agent_with(Story.HELD), agent_with(Story.REMOVED_IDLE)
    states = {f"a{held}": IDLE, f"a{removed}": IDLE}

    assert acts(at(1.0, **states)) == []
    assert acts(busy(1.0, **states)) == [
        (f"agent {held}", Act.HOLD),
        (f"agent {removed}", Act.REMOVE),
    ]


def test_a_held_agent_is_released_after_two_seconds():
    number = agent_with(Story.HELD)
    progress = Progress().advanced(f"agent {number}", 1.0)

    assert acts(at(1.9, **{f"a{number}": HELD}), progress) == []
    assert acts(at(2.1, **{f"a{number}": HELD}), progress) == [(f"agent {number}", Act.RELEASE)]


@pytest.mark.parametrize(
    ("story", "act"),
    [(Story.REMOVED_RUNNING, Act.REMOVE), (Story.PILOT_KILLED, Act.KILL_PILOT)],
)
def test_a_running_agent_is_hit_once_it_has_really_started(story, act):
    number = agent_with(story)
    states = {f"a{number}": RUNNING}

    assert acts(at(9.0, **states)) == []
    assert acts(at(0.1, started=[number], **states)) == []
    assert acts(at(9.0, started=[number], **states)) == [(f"agent {number}", act)]


def site(ended: int, running: int, all_in: bool = True) -> View:
    states = [LEFT] * ended + [RUNNING] * running
    # the agents with a part of their own are past it
    states += [HELD] * ((AGENTS if all_in else AGENTS - 1) - len(states))
    return at(60.0, **{f"a{n}": state for n, state in enumerate(states, 1)})


def done_with_agents() -> Progress:
    progress = Progress()
    for fault in FAULTS:
        if fault.name.startswith("agent"):
            for _ in fault.steps:
                progress = progress.advanced(fault.name, 0.0)
    return progress


def test_plancton_dies_when_a_quarter_has_ended_and_comes_back():
    progress = done_with_agents()

    assert acts(site(5, 4), progress) == []
    assert acts(site(6, 1), progress) == []
    assert acts(site(6, 2), progress) == [("plancton", Act.KILL_PLANCTON)]
    progress = progress.advanced("plancton", 59.0)
    assert acts(site(6, 2), progress) == []
    progress = progress.advanced("agent 0", 60.0)
    assert acts(replace(site(6, 2), at=60.5), progress) == [("plancton", Act.START_PLANCTON)]


def test_the_schedd_dies_after_plancton_and_when_the_ce_is_through():
    progress = done_with_agents().advanced("plancton", 1.0)
    assert acts(site(12, 2), progress) == [("plancton", Act.START_PLANCTON)]

    progress = progress.advanced("plancton", 2.0)
    assert acts(site(12, 2, all_in=False), progress) == []
    assert acts(site(11, 2), progress) == []
    assert acts(site(12, 2), progress) == [("schedd", Act.KILL_SCHEDD)]


def test_what_was_never_done_is_named():
    progress = done_with_agents().advanced("plancton", 1.0)

    assert list_missing_steps(FAULTS, progress) == [
        "plancton: plancton again",
        "schedd: kill -9 schedd, wipe its disk",
        "schedd: schedd again",
    ]
