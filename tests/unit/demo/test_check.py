"""Whatever may be wrong with a job is found and named; a right one passes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from demo.check import AgentResult, JobEnd, Totals, Verdict, check_agents
from demo.errors import Broken
from demo.observe import parse_history
from demo.plan import PLAN, Agent, Story
from demo_ce.dialects import DIALECTS
from demo_ce.eventlog import Event
from demo_ce.records import AgentRecord

COURSES = {
    Story.PLAIN: (0, 1, 5),
    Story.HELD: (0, 12, 13, 1, 5),
    Story.REMOVED_IDLE: (0, 9),
    Story.REMOVED_RUNNING: (0, 1, 4, 9),
    Story.PILOT_KILLED: (0, 1, 4, 1, 5),
}
STARTS = {Story.REMOVED_IDLE: 0, Story.PILOT_KILLED: 2}


def event(number: int, agent: Agent) -> Event:
    body: tuple[str, ...] = ()
    if number == 5 and agent.behaviour.signal:
        body = (f"\t(0) Abnormal termination (signal {agent.behaviour.signal})",)
    elif number == 5:
        body = (f"\t(1) Normal termination (return value {agent.behaviour.code})",)
    return Event(number, agent.number, 0, "2026-01-02 03:04:05", "", body)


def right(agent: Agent) -> AgentResult:
    """Return what there is of this agent when all went well."""
    number, token = agent.number, f"token{agent.number}"
    dialect = list(DIALECTS)[(number - 1) % len(DIALECTS)]
    job = f"{number}.0" if dialect.startswith("condor-pm") else "not told"
    proxy = "600" if DIALECTS[dialect].sends_proxy else "no"
    stdout = (
        f"agent {number}: token {token}\n"
        f"agent {number}: id 4242.1, job {job}\n"
        f"agent {number}: host here, user 0\n"
        f"agent {number}: proxy embedded 600, with the job {proxy}\n"
        f"agent {number}: compressed and verified 3 blocks of 262144 bytes, last cafe\n"
        f"agent {number}: done {token}\n"
    )
    course = COURSES[agent.story]
    ended = JobEnd(4, agent.meant)
    if agent.removed:
        ended = JobEnd(3, "", "via condor_rm (by user games)")
    return AgentResult(
        record=AgentRecord(
            number, token, dialect, f"{number}.0", "s", "o", "e", "l", agent.behaviour
        ),
        ended=ended,
        stdout="" if agent.removed else stdout,
        stderr="" if agent.removed else f"agent {number}: error stream of {token}\n",
        events=tuple(event(n, agent) for n in course),
        library=course,
        starts=STARTS.get(agent.story, 1),
        dones=0 if agent.removed else 1,
    )


ALL_RIGHT = [right(agent) for agent in PLAN]


def judge(number: int, change: Callable[[AgentResult], AgentResult]) -> Verdict:
    """Return the verdict when one agent is not as it should be."""
    seen = [change(one) if one.record.number == number else one for one in ALL_RIGHT]
    return check_agents(PLAN, seen, [], [])


def numbered(story: Story) -> int:
    return next(agent.number for agent in PLAN if agent.story is story)


PLAIN, KILLED, HELD = 1, numbered(Story.PILOT_KILLED), numbered(Story.HELD)
IDLE, RUNNING = numbered(Story.REMOVED_IDLE), numbered(Story.REMOVED_RUNNING)


def test_a_demo_without_fault_has_no_difference():
    found = check_agents(PLAN, ALL_RIGHT, [], [])

    assert found.differences == ()
    assert found.totals == Totals(24, 22, 2, 0, 0)
    assert found.totals.line(41.4) == (
        "demo: 24 submitted, 22 completed, 2 removed, 0 lost, 0 doubled in 41 s"
    )


def renumbered(*course: int) -> Callable[[AgentResult], AgentResult]:
    def change(one: AgentResult) -> AgentResult:
        agent = next(agent for agent in PLAN if agent.number == one.record.number)
        return replace(one, events=tuple(event(n, agent) for n in course), library=course)

    return change


def with_output(old: str, new: str) -> Callable[[AgentResult], AgentResult]:
    def change(one: AgentResult) -> AgentResult:
        assert old in one.stdout
        return replace(one, stdout=one.stdout.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("number", "change", "says"),
    [
        (PLAIN, lambda one: replace(one, ended=None), "condor_history does not know it"),
        (PLAIN, lambda one: replace(one, ended=JobEnd(3)), "JobStatus 3 instead of 4"),
        (IDLE, lambda one: replace(one, ended=JobEnd(4, "exit 0")), "JobStatus 4 instead of 3"),
        (PLAIN, lambda one: replace(one, ended=JobEnd(4, "exit 1")), "exit 1 instead of exit 0"),
        (5, lambda one: replace(one, ended=JobEnd(4, "exit 0")), "exit 0 instead of exit 7"),
        (
            10,
            lambda one: replace(one, ended=JobEnd(4, "exit 139")),
            "exit 139 instead of signal 11",
        ),
        (PLAIN, lambda one: replace(one, ended=JobEnd(4)), "no exit code instead of exit 0"),
        (RUNNING, lambda one: replace(one, ended=JobEnd(3)), "RemoveReason ''"),
        (PLAIN, lambda one: replace(one, dones=0), "did its work 0 times instead of 1"),
        (PLAIN, lambda one: replace(one, dones=2), "did its work 2 times instead of 1"),
        (RUNNING, lambda one: replace(one, dones=1), "did its work 1 times instead of 0"),
        (PLAIN, lambda one: replace(one, fails=1), "own check of its work failed"),
        (PLAIN, lambda one: replace(one, starts=2), "started 2 times instead of 1"),
        (KILLED, lambda one: replace(one, starts=1), "started 1 times instead of 2"),
        (PLAIN, lambda one: replace(one, library=(0, 1)), "HTCondor's reader sees (0, 1)"),
        (PLAIN, renumbered(0, 1, 1, 5), "events 000 001 001 005 instead of 000 001 005"),
        (PLAIN, renumbered(0, 1, 5, 5), "events 000 001 005 005 instead"),
        (PLAIN, renumbered(), "events none instead"),
        (HELD, renumbered(0, 1, 5), "events 000 001 005 instead of 000 012 013 001 005"),
        (KILLED, renumbered(0, 1, 5), "it never started a second time"),
        (
            PLAIN,
            lambda one: replace(one, events=(*one.events[:-1], replace(one.events[-1], body=()))),
            "user log: no result instead of exit 0",
        ),
        (
            PLAIN,
            lambda one: replace(one, events=tuple(replace(e, cluster=99) for e in one.events)),
            "user log: events of 99.0",
        ),
        (PLAIN, with_output("token1", "token2"), "'agent 1: token token1' stands there 0 times"),
        (PLAIN, with_output("agent 1: done token1\n", ""), "'agent 1: done token1'"),
        (PLAIN, with_output("verified", "believed"), "'agent 1: compressed and verified '"),
        (
            PLAIN,
            with_output("job 600", "job 644"),
            "'agent 1: proxy embedded 600, with the job 600'",
        ),
        (KILLED, with_output(", job 9.0", ", job 8.0"), "', job 9.0' stands there 0 times"),
        (PLAIN, lambda one: replace(one, stdout=one.stdout * 2), "stands there 2 times"),
        (PLAIN, with_output("agent 1: host", "noise\nagent 1: host"), "7 lines instead of 6"),
        (PLAIN, lambda one: replace(one, stderr="oops\n"), "error file: 'oops\\n'"),
    ],
)
def test_every_kind_of_difference_is_found(number, change, says):
    found = judge(number, change)

    assert any(says in difference for difference in found.differences), found.differences
    assert all(text.startswith(f"agent {number} ({number}.0): ") for text in found.differences)
    assert list(found.by_agent) == [number]


def test_a_run_that_was_evicted_may_start_again():
    def evicted(one: AgentResult) -> AgentResult:
        return replace(renumbered(0, 1, 4, 1, 5)(one), starts=2)

    assert judge(PLAIN, evicted).differences == ()


def test_an_agent_that_was_never_submitted_is_a_difference():
    found = check_agents(PLAN, ALL_RIGHT[1:], [], [])

    assert found.differences == ("agent 1: was not submitted",)
    assert found.totals.submitted == 23


def test_a_job_that_left_no_trace_of_its_work_is_lost():
    assert judge(PLAIN, lambda one: replace(one, dones=0)).totals.lost == 1
    assert judge(PLAIN, lambda one: replace(one, ended=None, dones=0)).totals.lost == 1


def test_a_job_that_worked_twice_is_doubled():
    assert judge(KILLED, lambda one: replace(one, dones=2)).totals.doubled == 1


def test_a_job_of_nobody_is_a_difference():
    assert check_agents(PLAN, ALL_RIGHT, ["99.0"], []).differences == (
        "job 99.0 belongs to no agent",
    )


def test_a_job_id_given_twice_is_a_difference():
    twin = replace(ALL_RIGHT[1], record=replace(ALL_RIGHT[1].record, job="1.0"))

    found = check_agents(PLAN, [ALL_RIGHT[0], twin, *ALL_RIGHT[2:]], [], [])

    assert "job id 1.0 was given twice" in found.differences


def test_what_is_wrong_with_the_site_is_a_difference():
    found = check_agents(PLAN, ALL_RIGHT, [], ["still running: process 7: thyme-worker"])

    assert found.differences == ("still running: process 7: thyme-worker",)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("1.0 4 false 0 undefined undefined", ("1.0", JobEnd(4, "exit 0"))),
        ("2.0 4 true undefined 11 undefined", ("2.0", JobEnd(4, "signal 11"))),
        (
            "3.0 3 false undefined undefined via condor_rm (by user games)",
            ("3.0", JobEnd(3, "", "via condor_rm (by user games)")),
        ),
    ],
)
def test_a_line_of_the_history_is_read(line, wanted):
    assert parse_history(line) == wanted


@pytest.mark.parametrize("line", ["", "1.0", "1.0 C false 0 undefined undefined"])
def test_another_line_is_refused(line):
    with pytest.raises(Broken, match="condor_history printed"):
        parse_history(line)
