"""Sampling of the site: one ``condor_q`` and one scan of /proc make a sample."""

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from demo_ce.records import AgentRecord, from_json

from . import processes
from .layout import Layout
from .site import Site
from .view import Run, Sample, parse_ledger, parse_queue

_TICK = os.sysconf("SC_CLK_TCK")


class Watcher:
    """Takes the samples; ``began`` is the monotonic time that they count from."""

    def __init__(self, site: Site, layout: Layout, began: float) -> None:
        self._site = site
        self._layout = layout
        self._began = began
        self._cpu: tuple[float, int, dict[int, int]] | None = None

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
        ticks = {top.pid: sum(process.ticks for process in group) for top, group in found.values()}
        owner, pilots = self._shares(ticks)
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
            owner_cpus=owner,
            pilots_cpus=pilots,
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

    def _shares(self, ticks: dict[int, int]) -> tuple[float | None, float | None]:
        """Compute the CPUs used since the last sample by others, and by the pilots."""
        now, busy = time.monotonic(), busy_ticks(Path("/proc/stat").read_text())
        before = self._cpu
        if before is not None:
            # A pilot's count includes its waited-for children, so it only grows while it
            # lives. A child that ends during the pass over /proc is missed by this pass
            # alone: without the larger of both, the next one would count it again.
            ticks = {pid: max(count, before[2].get(pid, 0)) for pid, count in ticks.items()}
        self._cpu = (now, busy, ticks)
        if before is None or now <= before[0]:
            return None, None
        used = sum(count - before[2].get(pid, 0) for pid, count in ticks.items())
        passed = (now - before[0]) * _TICK
        return max(0.0, (busy - before[1] - used) / passed), used / passed


def busy_ticks(text: str) -> int:
    """Read the busy ticks of all CPUs from /proc/stat: all but idle and I/O wait."""
    fields = [int(field) for field in text.split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4]
