"""The CE's loop: count agents, decide, submit, read the user logs."""

from __future__ import annotations

import re
import shlex
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .agent import Behaviour, build_script
from .commands import CondorCommands
from .counting import CommandResult, count_agents
from .decide import Limits, count_to_submit
from .dialects import Dialect
from .eventlog import parse_events
from .records import (
    ENDED,
    IDLE,
    ON_HOLD,
    REMOVED,
    RUNNING,
    AgentRecord,
    AgentStatus,
    find_fault,
    read_status,
    to_json,
)
from .site import Site, Submission
from .summary import AgentResult

_ACCEPTED = re.compile(r"1 job\(s\) submitted to cluster (\d+)\.", re.ASCII)


@dataclass(frozen=True)
class RunOptions:
    """The options of a run; the ``dialects`` are used in turn, agent by agent."""

    agents: int
    limits: Limits
    dialects: Sequence[Dialect]
    default: Behaviour
    behaviours: Mapping[int, Behaviour] = field(default_factory=dict)
    submit_args: str = ""
    ledger: str = ""

    def behaviour(self, number: int) -> Behaviour:
        """Return how the agent of this number behaves."""
        return self.behaviours.get(number, self.default)


class ComputingElement:
    """Submits the agents and follows them to their ends.

    ``directory`` is the CE's own, ``say`` prints its log lines; ``stopping`` is called between two
    submissions, so that none is interrupted.
    """

    def __init__(
        self,
        orders: RunOptions,
        site: Site,
        user: str,
        batch: CondorCommands,
        directory: Path,
        proxy: str,
        say: Callable[[str], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._options = orders
        self._site = site
        self._user = user
        self._system = batch
        self._directory = directory
        self._proxy = proxy
        self._say = say
        self._is_stopping = stopping
        self._runs = 0
        self._reported = ""
        self.records: list[AgentRecord] = []
        self._statuses: dict[int, AgentStatus] = {}

    def run_once(self, now: float) -> bool:
        """Run the loop once at ``now`` (seconds since the epoch); True if anything changed."""
        moved = self._read_logs()
        missing = self._options.agents - len(self.records)
        if missing:
            dialect = self._options.dialects[self._runs % len(self._options.dialects)]
            self._runs += 1
            seen = count_agents(dialect.build_queries(self._user, self._site), self._system.ask)
            if seen.queued is None or seen.active is None:
                self._report_once(f"the site does not say how many agents it has ({dialect.name})")
            for _ in range(
                count_to_submit(self._options.limits, seen, len(self.records), self._options.agents)
            ):
                if self._is_stopping() or not self._submit(now):
                    break
                moved = True
        return moved

    @property
    def finished(self) -> bool:
        """Whether every agent was submitted and has ended."""
        return len(self.records) == self._options.agents and all(
            self._statuses[record.number].state in (ENDED, REMOVED) for record in self.records
        )

    def describe_waiting(self) -> str:
        """Say what keeps this CE waiting, and which command shows why."""
        states = Counter(status.state for status in self._statuses.values())
        idle = next((one for one in self.records if self._statuses[one.number].state == IDLE), None)
        text = ", ".join(
            f"{states[name]} {name}" for name in (IDLE, RUNNING, ON_HOLD) if states[name]
        )
        why = f" (`condor_q -better-analyze {idle.job}` says why)" if idle else ""
        return f"no change: {text or 'no agent in the queue'}{why}"

    def list_results(self) -> list[AgentResult]:
        """List every submitted agent with how it ended."""
        return [
            AgentResult(
                record,
                self._statuses[record.number],
                find_fault(
                    record,
                    self._statuses[record.number],
                    _read_file(record.output),
                    _read_file(record.error),
                ),
            )
            for record in self.records
        ]

    def _submit(self, now: float) -> bool:
        number = len(self.records) + 1
        dialect = self._options.dialects[(number - 1) % len(self._options.dialects)]
        # A new one for every try: a submission that failed may have been queued nevertheless.
        token = uuid.uuid4().hex
        agent = Submission(number, str(self._directory / "tmp" / f"agent.startup.{number}"))
        behaviour = self._options.behaviour(number)
        text = build_script(number, token, behaviour, self._proxy, self._options.ledger)
        Path(agent.script).write_text(text)
        Path(agent.script).chmod(0o755)
        answer = self._run_submit(dialect, dialect.build_description(agent, self._site), now)
        accepted = _ACCEPTED.search("".join(answer.lines))
        if answer.code != 0 or accepted is None:
            self._report_once(
                f"condor_submit did not take agent {number} ({_describe_failure(answer)})"
            )
            return False
        self._reported = ""
        files = dialect.build_paths(agent, self._site)
        record = AgentRecord(
            number=number,
            token=token,
            dialect=dialect.name,
            job=f"{accepted[1]}.0",
            script=agent.script,
            output=files.output,
            error=files.error,
            log=files.log,
            behaviour=behaviour,
        )
        self.records.append(record)
        self._statuses[number] = AgentStatus()
        with open(self._directory / "agents.jsonl", "a") as file:
            file.write(to_json(record) + "\n")
        self._say(f"agent {number} is job {record.job} ({dialect.name})")
        return True

    def _run_submit(self, dialect: Dialect, text: str, now: float) -> CommandResult:
        command = f"condor_submit {self._options.submit_args}".rstrip()
        if dialect.on_stdin:
            return self._system.run(command, stdin=text)
        path = self._directory / "tmp" / dialect.name_submit_file(now)
        path.write_text(text)
        return self._system.run(f"{command} {shlex.quote(str(path))}")

    def _read_logs(self) -> bool:
        moved = False
        for record in self.records:
            before = self._statuses[record.number]
            if before.state in (ENDED, REMOVED):
                continue
            try:
                after = read_status(parse_events(_read_file(record.log)))
            except ValueError as error:
                self._report_once(f"the user log {record.log} of job {record.job}: {error}")
                continue
            if after != before:
                self._statuses[record.number] = after
                self._say(f"agent {record.number} ({record.job}): {after.outcome or after.state}")
                moved = True
        return moved

    def _report_once(self, text: str) -> None:
        """Print a problem once, not in every run of the loop."""
        if text != self._reported:
            self._reported = text
            self._say(text)


def _describe_failure(answer: CommandResult) -> str:
    if answer.code is None:
        return "no answer in time"
    if answer.code == 0:
        return f"it said {''.join(answer.lines).strip()!r}"
    return f"exit code {answer.code}"


def _read_file(path: str) -> str:
    """Read a file; "" while it does not exist."""
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""
