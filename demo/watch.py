"""Sampling of the site: one ``condor_q`` and one scan of /proc make a sample."""

import json
import time
from collections.abc import Iterable
from contextlib import suppress

from demo_ce.records import AgentRecord, from_json

from . import processes
from .layout import Layout
from .site import Site
from .view import Run, Sample, parse_ledger, parse_queue


class Watcher:
    """Takes the samples; ``began`` is the monotonic time that they count from."""

    def __init__(self, site: Site, layout: Layout, began: float) -> None:
        self._site = site
        self._layout = layout
        self._began = began

    def read_records(self) -> list[AgentRecord]:
        """Read the records of the agents that the CE has submitted so far."""
        text = ""
        with suppress(FileNotFoundError):
            text = (self._layout.ce / "agents.jsonl").read_text()
        # The last line may be half written.
        return [from_json(line) for line in text.split("\n")[:-1]]

    def read_runs(self) -> list[Run]:
        """Return the runs that the agents have written down."""
        return parse_ledger(self._layout.ledger.read_text())

    def take_sample(self, records: Iterable[AgentRecord], runs: Iterable[Run]) -> Sample:
        """Return what is in the queue and what runs, at this time.

        ``records`` are the agents that the CE has submitted; ``runs`` tell which process is whose.
        """
        found = processes.group_by_pilot(processes.find_processes(self._layout.root))
        numbers = {record.token: record.number for record in records}
        agent_of = {
            run.pid: numbers[run.token]
            for run in runs
            if run.what == "start" and run.token in numbers
        }
        return Sample(
            at=time.monotonic() - self._began,
            queue=self._queue(),
            pilots={
                top.pilot: next((agent_of[p.pid] for p in group if p.pid in agent_of), 0)
                for top, group in found.values()
            },
        )

    def count_pilots(self) -> int:
        """Count the live pilots by Plancton's own status document.

        Not by processes: on a busy machine a pilot that has ended may still be seen exiting beside
        the one that replaces it.
        """
        try:
            status = json.loads((self._layout.plancton("run") / "status.json").read_text())
        except FileNotFoundError:  # Plancton has not looked yet
            return 0
        return sum(pilot["state"] != "exited" for pilot in status["pilots"] or [])

    def find_pilot(self, record: AgentRecord) -> list[processes.Process]:
        """Find the processes of the pilot that runs this agent now, its main process first."""
        pids = {
            run.pid for run in self.read_runs() if run.what == "start" and run.token == record.token
        }
        for _, group in processes.group_by_pilot(
            processes.find_processes(self._layout.root)
        ).values():
            if any(process.pid in pids for process in group):
                return group
        return []

    def _queue(self) -> dict[str, int] | None:
        answer = self._site.run_command("condor_q", "-af:j", "JobStatus")
        return parse_queue(answer.stdout) if answer.returncode == 0 else None
