"""Comparison of every agent with the plan. Pure functions of what was collected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from demo_ce.dialects import DIALECTS
from demo_ce.eventlog import (
    ABORTED,
    EVICTED,
    EXECUTING,
    HELD,
    RELEASED,
    SUBMITTED,
    TERMINATED,
    Event,
    describe_end,
)
from demo_ce.records import AgentRecord

from .plan import Agent, Story
from .view import COMPLETED, REMOVED

#: Events that tell nothing about a job's course (006 and the transfer and ad events).
_COURSE = {SUBMITTED, EXECUTING, EVICTED, TERMINATED, ABORTED, HELD, RELEASED}


@dataclass(frozen=True)
class JobEnd:
    """How a job ended, by condor_history."""

    status: int
    outcome: str = ""  #: ``exit N`` or ``signal N``; "" when neither is known
    remove_reason: str = ""


@dataclass(frozen=True)
class AgentResult:
    """All that is known of one agent after the demo."""

    record: AgentRecord
    ended: JobEnd | None  #: None: condor_history does not know it
    stdout: str = ""
    stderr: str = ""
    events: tuple[Event, ...] = ()  #: of the user log, by our reader
    library: tuple[int, ...] = ()  #: event numbers of the same log, by HTCondor's own reader
    starts: int = 0  #: how often the agent itself says it started
    dones: int = 0  #: how often it says it did its work
    fails: int = 0

    @property
    def end(self) -> str:
        """How it ended by condor_history, as the tables print it."""
        if self.ended is None:
            return "unknown"
        if self.ended.status == REMOVED:
            return "removed"
        return self.ended.outcome or f"JobStatus {self.ended.status}"


@dataclass(frozen=True)
class Totals:
    """How many agents were submitted, completed, removed, lost and run twice."""

    submitted: int
    completed: int
    removed: int
    lost: int
    doubled: int

    def line(self, seconds: float) -> str:
        """Return the totals in one sentence; ``seconds`` is how long the run took."""
        return (
            f"demo: {self.submitted} submitted, {self.completed} completed, "
            f"{self.removed} removed, {self.lost} lost, {self.doubled} doubled in {seconds:.0f} s"
        )


@dataclass(frozen=True)
class Verdict:
    """The result of the check."""

    totals: Totals
    differences: tuple[str, ...]
    #: differences of each agent by number; agents as they should be have none
    by_agent: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def check_agents(
    plan: Sequence[Agent],
    seen: Sequence[AgentResult],
    strangers: Sequence[str],
    site: Sequence[str],
) -> Verdict:
    """Compare the agents with the plan.

    Args:
        plan: the agents as they should be.
        seen: the agents as they were.
        strangers: ids of jobs that no agent of the CE submitted.
        site: what is wrong with the site itself, in words.
    """
    found = {one.record.number: one for one in seen}
    by_agent: dict[int, tuple[str, ...]] = {}
    lost = doubled = completed = removed = 0
    for agent in plan:
        one = found.get(agent.number)
        if one is None:
            by_agent[agent.number] = ("was not submitted",)
            continue
        gone = one.ended is not None and one.ended.status == REMOVED
        done = one.ended is not None and one.ended.status == COMPLETED
        completed += done
        removed += gone
        # By what the jobs themselves wrote, not by what the site believes.
        lost += not gone and one.dones + one.fails == 0
        doubled += one.dones + one.fails > 1
        differences = tuple(_agent(agent, one))
        if differences:
            by_agent[agent.number] = differences
    jobs = [one.record.job for one in seen]
    general = [f"job {job} belongs to no agent" for job in strangers]
    general += [f"job id {job} was given twice" for job in sorted(set(jobs)) if jobs.count(job) > 1]
    general += site
    named = [
        f"agent {number}{f' ({found[number].record.job})' if number in found else ''}: {text}"
        for number, texts in by_agent.items()
        for text in texts
    ]
    totals = Totals(len(seen), completed, removed, lost, doubled)
    return Verdict(totals, (*named, *general), by_agent)


def _agent(agent: Agent, seen: AgentResult) -> list[str]:
    found = _end(agent, seen) + _runs(agent, seen) + _course(agent, seen)
    if not agent.removed:
        found += _output(agent, seen)
    return found


def _end(agent: Agent, seen: AgentResult) -> list[str]:
    if seen.ended is None:
        return ["condor_history does not know it"]
    status, wanted = seen.ended.status, REMOVED if agent.removed else COMPLETED
    if status != wanted:
        return [f"JobStatus {status} instead of {wanted}"]
    if agent.removed:
        if not seen.ended.remove_reason.startswith("via condor_rm (by user "):
            return [f"RemoveReason {seen.ended.remove_reason!r}"]
        return []
    if seen.ended.outcome != agent.meant:
        return [f"{seen.ended.outcome or 'no exit code'} instead of {agent.meant}"]
    return []


def _runs(agent: Agent, seen: AgentResult) -> list[str]:
    """Check how often it ran, by its own ledger lines; each eviction explains one more start."""
    found = []
    evictions = sum(1 for event in seen.events if event.number == EVICTED)
    if agent.story is Story.REMOVED_RUNNING:
        evictions -= 1  # that of the run which was removed
    wanted_dones = 0 if agent.removed else 1
    starts = 0 if agent.story is Story.REMOVED_IDLE else 1 + evictions
    if seen.dones != wanted_dones:
        found.append(f"did its work {seen.dones} times instead of {wanted_dones}")
    if seen.fails:
        found.append(f"its own check of its work failed {seen.fails} times")
    if seen.starts != starts:
        found.append(f"started {seen.starts} times instead of {starts}")
    return found


def _course(agent: Agent, seen: AgentResult) -> list[str]:
    """Check the user log: both readers agree, all events are this job's, in the right order."""
    found = []
    numbers = tuple(event.number for event in seen.events)
    if numbers != seen.library:
        found.append(f"user log: HTCondor's reader sees {seen.library}, ours {numbers}")
    strange = {f"{event.cluster}.{event.proc}" for event in seen.events} - {seen.record.job}
    if strange:
        found.append(f"user log: events of {', '.join(sorted(strange))}")
    course = [number for number in numbers if number in _COURSE]
    wanted = _wanted(agent)
    if _without_lost_runs(course) != wanted:
        found.append(f"user log: events {_words(course)} instead of {_words(wanted)}")
    if agent.story is Story.PILOT_KILLED and course.count(EXECUTING) < 2:
        found.append("user log: it never started a second time")
    last = seen.events[-1] if seen.events else None
    if last is not None and last.number == TERMINATED and describe_end(last) != agent.meant:
        found.append(f"user log: {describe_end(last) or 'no result'} instead of {agent.meant}")
    return found


def _wanted(agent: Agent) -> list[int]:
    if agent.removed:
        return [SUBMITTED, ABORTED]  # of one that ran, the only run was evicted
    if agent.story is Story.HELD:
        return [SUBMITTED, HELD, RELEASED, EXECUTING, TERMINATED]
    return [SUBMITTED, EXECUTING, TERMINATED]


def _without_lost_runs(course: Sequence[int]) -> list[int]:
    """Leave out the events of the runs that were evicted or lost."""
    kept: list[int] = []
    for number in course:
        if number == EVICTED and kept and kept[-1] == EXECUTING:
            kept.pop()
        else:
            kept.append(number)
    return kept


def _words(course: Sequence[int]) -> str:
    return " ".join(f"{number:03d}" for number in course) or "none"


def _output(agent: Agent, seen: AgentResult) -> list[str]:
    number, token = agent.number, seen.record.token
    found = []
    wanted = [
        f"agent {number}: token {token}",
        f"agent {number}: done {token}",
        f"agent {number}: compressed and verified ",
    ]
    if DIALECTS[seen.record.dialect].sends_proxy:
        wanted.append(f"agent {number}: proxy embedded 600, with the job 600")
    else:
        wanted.append(f"agent {number}: proxy embedded 600, with the job no")
    if seen.record.dialect.startswith("condor-pm"):
        wanted.append(f", job {seen.record.job}")
    lines = seen.stdout.splitlines()
    for text in wanted:
        hits = sum(1 for line in lines if text in line)
        if hits != 1:
            found.append(f"output: {text!r} stands there {hits} times instead of once")
    if len(lines) != 6:
        found.append(f"output: {len(lines)} lines instead of 6")
    if seen.stderr != f"agent {number}: error stream of {token}\n":
        found.append(f"error file: {seen.stderr[:200]!r}")
    return found
