"""The CE's loop: ask, decide, submit, look what came back."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .agent import Behaviour, script
from .counting import Answer, Query, counts
from .decide import Limits, to_submit
from .dialects import Dialect
from .eventlog import events
from .records import ENDED, REMOVED, AgentRecord, Fate, complaint, fate, to_json
from .site import Site, Submission
from .summary import Line

_ACCEPTED = re.compile(r"1 job\(s\) submitted to cluster (\d+)\.", re.ASCII)


class Batch(Protocol):
    """The batch system's command line; ``Commands`` is the real one."""

    def ask(self, query: Query) -> Answer: ...

    def run(self, command: str, stdin: str = "", merge_stderr: bool = False) -> Answer: ...


@dataclass(frozen=True)
class Orders:
    """What the admin asked for; ``dialects`` take turns, agent by agent."""

    agents: int
    limits: Limits
    dialects: Sequence[Dialect]
    default: Behaviour
    behaviours: Mapping[int, Behaviour] = field(default_factory=dict)
    submit_args: str = ""
    ledger: str = ""

    def behaviour(self, number: int) -> Behaviour:
        return self.behaviours.get(number, self.default)


class Ce:
    """Submits the agents and follows them.

    ``directory`` is the CE's own, ``say`` takes its log lines; ``stopping``
    is asked between two submissions, so that none is cut in the middle.
    """

    def __init__(
        self,
        orders: Orders,
        site: Site,
        user: str,
        batch: Batch,
        directory: Path,
        proxy: str,
        say: Callable[[str], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._orders = orders
        self._site = site
        self._user = user
        self._batch = batch
        self._directory = directory
        self._proxy = proxy
        self._say = say
        self._stopping = stopping
        self._rounds = 0
        self._mute = ""
        self.records: list[AgentRecord] = []
        self._fates: dict[int, Fate] = {}

    def round(self, now: float) -> bool:
        """One turn of the loop at the wall clock time ``now``; True when something moved."""
        moved = self._look()
        missing = self._orders.agents - len(self.records)
        if missing:
            dialect = self._orders.dialects[self._rounds % len(self._orders.dialects)]
            self._rounds += 1
            seen = counts(dialect.queries(self._user, self._site), self._batch.ask)
            if seen.queued is None or seen.active is None:
                self._trouble(f"the site does not say how many agents it has ({dialect.NAME})")
            for _ in range(
                to_submit(self._orders.limits, seen, len(self.records), self._orders.agents)
            ):
                if self._stopping() or not self._submit(now):
                    break
                moved = True
        return moved

    @property
    def finished(self) -> bool:
        """Every agent is in and has come to an end."""
        return len(self.records) == self._orders.agents and all(
            self._fates[record.number].state in (ENDED, REMOVED) for record in self.records
        )

    def lines(self) -> list[Line]:
        """Every submitted agent with what came of it."""
        return [
            Line(
                record,
                self._fates[record.number],
                complaint(
                    record,
                    self._fates[record.number],
                    _read(record.output),
                    _read(record.error),
                ),
            )
            for record in self.records
        ]

    def _submit(self, now: float) -> bool:
        number = len(self.records) + 1
        dialect = self._orders.dialects[(number - 1) % len(self._orders.dialects)]
        # New for every try: a submission that failed may have gone in all the same.
        token = uuid.uuid4().hex
        agent = Submission(number, str(self._directory / "tmp" / f"agent.startup.{number}"))
        behaviour = self._orders.behaviour(number)
        text = script(number, token, behaviour, self._proxy, self._orders.ledger)
        Path(agent.script).write_text(text)
        Path(agent.script).chmod(0o755)
        answer = self._hand_in(dialect, dialect.describe(agent, self._site), now)
        accepted = _ACCEPTED.search("".join(answer.lines))
        if answer.code != 0 or accepted is None:
            self._trouble(f"condor_submit did not take agent {number} ({_why(answer)})")
            return False
        self._mute = ""
        files = dialect.paths(agent, self._site)
        record = AgentRecord(
            number=number,
            token=token,
            dialect=dialect.NAME,
            job=f"{accepted[1]}.0",
            script=agent.script,
            output=files.output,
            error=files.error,
            log=files.log,
            behaviour=behaviour,
        )
        self.records.append(record)
        self._fates[number] = Fate()
        with open(self._directory / "agents.jsonl", "a") as file:
            file.write(to_json(record) + "\n")
        self._say(f"agent {number} is job {record.job} ({dialect.NAME})")
        return True

    def _hand_in(self, dialect: Dialect, text: str, now: float) -> Answer:
        command = f"condor_submit {self._orders.submit_args}".rstrip()
        if dialect.ON_STDIN:
            return self._batch.run(command, stdin=text)
        path = self._directory / "tmp" / dialect.submit_file(self._site, now)
        path.write_text(text)
        return self._batch.run(f"{command} {shlex.quote(str(path))}")

    def _look(self) -> bool:
        moved = False
        for record in self.records:
            before = self._fates[record.number]
            if before.state in (ENDED, REMOVED):
                continue
            try:
                after = fate(events(_read(record.log)))
            except ValueError as error:
                self._trouble(f"the user log {record.log} of job {record.job}: {error}")
                continue
            if after != before:
                self._fates[record.number] = after
                self._say(f"agent {record.number} ({record.job}): {after.outcome or after.state}")
                moved = True
        return moved

    def _trouble(self, text: str) -> None:
        """Say it once, not in every round."""
        if text != self._mute:
            self._mute = text
            self._say(text)


def _why(answer: Answer) -> str:
    if answer.code is None:
        return "no answer in time"
    if answer.code == 0:
        return f"it said {''.join(answer.lines).strip()!r}"
    return f"exit code {answer.code}"


def _read(path: str) -> str:
    """The file's text; "" while it is not there."""
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""
