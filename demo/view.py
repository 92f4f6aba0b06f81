"""State of the site at one moment, computed from samples by pure functions.

Times are seconds since the demo began.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from demo_ce.records import AgentRecord

#: JobStatus of HTCondor; LEFT is ours: submitted and no longer in the queue.
LEFT, IDLE, RUNNING, REMOVED, COMPLETED, HELD, OUTPUT = 0, 1, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Sample:
    """What was read at one moment; ``queue`` is job id → JobStatus, None without an answer."""

    at: float
    queue: Mapping[str, int] | None
    #: name of each live pilot → number of the agent it runs (0: none, or not known yet)
    pilots: Mapping[str, int] = field(default_factory=dict)
    #: CPUs in use, as a number of CPUs; None until two looks make a difference
    owner_cpus: float | None = None
    pilots_cpus: float | None = None


@dataclass(frozen=True)
class Run:
    """A line of the agents' ledger: ``start``, ``done`` or ``failed``, in process ``pid``."""

    what: str
    token: str
    pid: int


@dataclass(frozen=True)
class View:
    """The state of each agent by number; ``state`` has the submitted ones only."""

    at: float = 0.0
    state: Mapping[int, int] = field(default_factory=dict)
    #: since when an agent is in its state
    since: Mapping[int, float] = field(default_factory=dict)
    #: agents that wrote their first line into the ledger
    started: frozenset[int] = frozenset()

    def count(self, status: int) -> int:
        """Return how many jobs have this JobStatus."""
        return Counter(self.state.values())[status]

    def is_in(self, number: int, status: int, seconds: float = 0.0) -> bool:
        """Tell whether the agent has been in this state for at least ``seconds``.

        ``number``: of the agent; ``status``: JobStatus.
        """
        return self.state.get(number) == status and self.at - self.since[number] >= seconds


def update_view(
    before: View, sample: Sample, records: Sequence[AgentRecord], runs: Iterable[Run]
) -> View:
    """Compute the view after a sample; without an answer of the schedd, states stay.

    Args:
        before: the view after the previous sample.
        sample: what was read now.
        records: the agents that the CE has submitted.
        runs: the lines of the agents' ledger.
    """
    state: dict[int, int] = {}
    since: dict[int, float] = {}
    for record in records:
        number = record.number
        if sample.queue is not None:
            state[number] = sample.queue.get(record.job, LEFT)
        elif number in before.state:
            state[number] = before.state[number]
        else:
            continue
        changed = before.state.get(number) != state[number]
        since[number] = sample.at if changed else before.since[number]
    numbers = {record.token: record.number for record in records}
    started = frozenset(
        numbers[run.token] for run in runs if run.what == "start" and run.token in numbers
    )
    return View(sample.at, state, since, started)


def parse_ledger(text: str) -> list[Run]:
    """Parse the complete lines of the agents' ledger; raises ValueError for any other line."""
    runs = []
    for line in text.split("\n")[:-1]:
        what, token, pid = line.split(" ")
        if what not in ("start", "done", "failed"):
            raise ValueError(f"{line!r} is no line of an agent")
        runs.append(Run(what, token, int(pid)))
    return runs


def parse_queue(text: str) -> dict[str, int]:
    """Parse the answer of ``condor_q -af:j JobStatus``; raises ValueError for anything else."""
    pairs = (line.split() for line in text.splitlines())
    return {job: int(status) for job, status in pairs}
