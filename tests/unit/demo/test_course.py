"""The demo's view of its site, and which fault comes when."""

import pytest

from demo.faults import Act, Faults
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


@pytest.fixture
def faults() -> Faults:
    return Faults(PLAN, PILOTS)


def test_nothing_is_done_to_an_empty_site(faults):
    assert faults.find_due(View()) == []


def test_an_idle_agent_is_held_and_removed_only_behind_busy_pilots(faults):
    held, removed = agent_with(Story.HELD), agent_with(Story.REMOVED_IDLE)
    states = {f"a{held}": IDLE, f"a{removed}": IDLE}

    assert faults.find_due(at(1.0, **states)) == []
    assert faults.find_due(busy(1.0, **states)) == [(held, Act.HOLD), (removed, Act.REMOVE)]
    assert faults.find_due(busy(1.0, **states)) == []
    # held since the beginning
    assert faults.find_due(at(1.9, **{f"a{held}": HELD})) == []
    assert faults.find_due(at(2.1, **{f"a{held}": HELD})) == [(held, Act.RELEASE)]


@pytest.mark.parametrize(
    ("story", "act"),
    [(Story.REMOVED_RUNNING, Act.REMOVE), (Story.PILOT_KILLED, Act.KILL_PILOT)],
)
def test_a_running_agent_is_hit_once_it_has_really_started(faults, story, act):
    number = agent_with(story)
    states = {f"a{number}": RUNNING}

    assert faults.find_due(at(9.0, **states)) == []
    assert faults.find_due(at(0.1, started=[number], **states)) == []
    assert faults.find_due(at(9.0, started=[number], **states)) == [(number, act)]
    assert faults.find_due(at(9.0, started=[number], **states)) == []


def site(seconds: float, ended: int, running: int, all_in: bool = True) -> View:
    states = [LEFT] * ended + [RUNNING] * running
    # the agents with a part of their own are past it
    states += [HELD] * ((AGENTS if all_in else AGENTS - 1) - len(states))
    return at(seconds, **{f"a{n}": state for n, state in enumerate(states, 1)})


def test_plancton_dies_when_a_quarter_has_ended_and_the_schedd_after_it():
    (*_, programs) = Faults(PLAN, PILOTS)._pending.values()
    course = [
        (site(60.0, 5, 4), None),
        (site(60.0, 6, 1), None),
        (site(60.0, 6, 2), Act.KILL_PLANCTON),
        (site(60.3, 12, 2), None),
        (site(61.7, 12, 2), None),
        (site(61.9, 12, 2), Act.START_PLANCTON),
        (site(62.0, 12, 2), None),
        (site(62.3, 12, 2, all_in=False), None),
        (site(62.6, 11, 2), None),
        (site(62.9, 12, 2), Act.KILL_SCHEDD),
        (site(63.2, 12, 2), None),
        (site(64.3, 12, 2), Act.START_SCHEDD),
    ]

    assert [programs.send(view) for view, _ in course] == [act for _, act in course]
    with pytest.raises(StopIteration):
        programs.send(View())


def test_what_was_never_done_is_named(faults):
    removed = agent_with(Story.REMOVED_RUNNING)
    assert faults.list_unfinished() == [
        "plancton and schedd",
        *(f"agent {agent.number}" for agent in PLAN if agent.story is not Story.PLAIN),
    ]
    for _ in range(2):
        faults.find_due(at(9.0, started=[removed], **{f"a{removed}": RUNNING}))

    assert f"agent {removed}" not in faults.list_unfinished()
