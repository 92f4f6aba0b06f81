"""Collects all that is known of every agent after the demo, for the check."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import htcondor2

from demo_ce.eventlog import Event, parse_events
from demo_ce.records import AgentRecord

from .check import AgentResult, JobEnd
from .errors import Broken
from .site import Site
from .view import Run

_ATTRIBUTES = ("JobStatus", "ExitBySignal", "ExitCode", "ExitSignal", "RemoveReason")


def read_history(site: Site) -> dict[str, JobEnd]:
    """Read how every finished job ended from condor_history; raises Broken."""
    text = site.run_checked("condor_history", "-af:j", *_ATTRIBUTES)
    ended: dict[str, JobEnd] = {}
    for line in text.splitlines():
        job, end = parse_history(line)
        if job in ended:
            raise Broken(f"condor_history names job {job} twice")
        ended[job] = end
    return ended


def parse_history(line: str) -> tuple[str, JobEnd]:
    """Parse a line: job id, status, by signal?, exit code, signal, reason; raises Broken."""
    try:
        job, status, by_signal, code, signal, reason = line.split(" ", 5)
        outcome = ""
        if by_signal == "true" and signal != "undefined":
            outcome = f"signal {int(signal)}"
        elif by_signal == "false" and code != "undefined":
            outcome = f"exit {int(code)}"
        return job, JobEnd(int(status), outcome, "" if reason == "undefined" else reason)
    except ValueError as error:
        raise Broken(f"condor_history printed {line!r}") from error


def collect_results(
    records: Sequence[AgentRecord], ended: dict[str, JobEnd], runs: Sequence[Run]
) -> tuple[list[AgentResult], list[str]]:
    """Collect the results of each agent.

    Args:
        records: the CE's record of each agent.
        ended: how each job ended, by job id.
        runs: the lines of the agents' ledger.

    Returns:
        The results, and one line for everything that could not be read.
    """
    counted = Counter((run.token, run.what) for run in runs)
    problems: list[str] = []
    found = []
    for record in records:
        found.append(
            AgentResult(
                record=record,
                ended=ended.get(record.job),
                stdout=_text(record.output),
                stderr=_text(record.error),
                events=_events(record, problems),
                library=_library(record, problems),
                starts=counted[record.token, "start"],
                dones=counted[record.token, "done"],
                fails=counted[record.token, "failed"],
            )
        )
    tokens = {record.token for record in records}
    problems += [
        f"the ledger has a run of nobody: {run}" for run in runs if run.token not in tokens
    ]
    return found, problems


def _text(path: str) -> str:
    with suppress(FileNotFoundError):
        return Path(path).read_text(errors="replace")
    return ""


def _events(record: AgentRecord, problems: list[str]) -> tuple[Event, ...]:
    try:
        return tuple(parse_events(_text(record.log)))
    except ValueError as error:
        problems.append(f"the user log {record.log}: {error}")
        return ()


def _library(record: AgentRecord, problems: list[str]) -> tuple[int, ...]:
    try:
        with htcondor2.JobEventLog(record.log) as log:
            # 0: what is there now, without waiting for more
            return tuple(int(event.type) for event in log.events(stop_after=0))
    except Exception as error:  # the library raises its own and the built-in ones
        problems.append(f"HTCondor's reader on {record.log}: {error}")
        return ()
