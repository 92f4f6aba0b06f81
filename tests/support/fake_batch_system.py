"""The demo CE with a fake batch system."""

from pathlib import Path

from demo_ce.agent import Behaviour
from demo_ce.commands import CondorCommands
from demo_ce.counting import CommandResult, Query
from demo_ce.decide import Limits
from demo_ce.dialects import DIALECTS
from demo_ce.loop import ComputingElement, RunOptions
from demo_ce.site import Site

NOW = 1_511_366_400.0


class FakeBatchSystem(CondorCommands):
    """Takes and counts jobs; a test ends them by writing their user logs."""

    def __init__(self) -> None:
        self.broken = False
        self.submitted: list[tuple[str, str]] = []
        self.running = 0
        self.idle = 0

    def ask(self, query: Query) -> CommandResult:
        if self.broken:
            return CommandResult([], 1)
        if "totalRunningJobs" in query.command:
            return CommandResult([f"{self.running} {self.idle}\n"], 0)
        if "totalIdleJobs" in query.command:
            return CommandResult([f"{self.idle}\n"], 0)
        totals = f"{self.idle} idle, {self.running} running, 0 held, 0 suspended\n"
        return CommandResult([totals], 0)

    def run(self, command: str, stdin: str = "", merge_stderr: bool = False) -> CommandResult:
        if self.broken:
            return CommandResult(["Submitting job(s)"], 1)
        text = stdin or Path(command.split()[-1]).read_text()
        self.submitted.append((command, text))
        self.idle += 1
        return CommandResult(
            ["Submitting job(s).\n", f"1 job(s) submitted to cluster {len(self.submitted)}.\n"], 0
        )


class DemoCeTest:
    def __init__(self, directory: Path, agents: int = 3, queued: int = 2, dialects=("alien",)):
        for name in ("tmp", "log/2017-11-22"):
            (directory / name).mkdir(parents=True)
        self.batch = FakeBatchSystem()
        self.said: list[str] = []
        self.stopping = False
        self.ce = ComputingElement(
            RunOptions(
                agents=agents,
                limits=Limits(queued, 100),
                dialects=[DIALECTS[name] for name in dialects],
                default=Behaviour(1),
                behaviours={2: Behaviour(1, code=7)},
            ),
            Site("vobox:8084", str(directory / "log"), "2017-11-22", 4242),
            "games",
            self.batch,
            directory,
            "PROXY\n",
            self.said.append,
            lambda: self.stopping,
        )
        self.directory = directory

    def end(self, number: int, code: int) -> None:
        record = self.ce.records[number - 1]
        Path(record.log).write_text(build_user_log(number, 0, 1, f"exit {code}"))
        Path(record.output).write_text(
            f"compressed and verified 1 blocks\nagent {number}: done {record.token}\n"
        )
        Path(record.error).write_text(f"agent {number}: error stream of {record.token}\n")


def build_user_log(cluster: int, *course: int | str) -> str:
    """Build a user log from event numbers, and the outcome of a termination."""
    text = ""
    for number in course:
        head = f"({cluster:03d}.000.000) 2026-01-02 03:04:05"
        if isinstance(number, int):
            text += f"{number:03d} {head} Something happened.\n...\n"
            continue
        kind, value = number.split()
        line = f"(1) Normal termination (return value {value})"
        if kind == "signal":
            line = f"(0) Abnormal termination (signal {value})"
        text += f"005 {head} Job terminated.\n\t{line}\n\t\tUsr 0 00:00:00\n...\n"
    return text
