"""One run of the demo: start the site, inject the faults, stop it, check every job."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from demo_ce.records import AgentRecord

from . import observe, processes
from .check import AgentResult, Verdict, check_agents
from .errors import Broken
from .faults import Act, Faults
from .layout import Layout
from .plan import PATIENCE, PILOTS, PLAN, SAMPLE
from .progress import Progress
from .site import CE, PLANCTON, SCHEDD, Site
from .timeline import Mark, Timeline
from .view import View, update_view
from .watch import Watcher


@dataclass(frozen=True)
class Result:
    """All that the report and the exit code are made from."""

    verdict: Verdict
    seen: Sequence[AgentResult]
    timeline: Timeline
    seconds: float


class Demo:
    """One run of the demo; ``began`` is the monotonic time that its times count from."""

    def __init__(self, layout: Layout, site: Site, progress: Progress, began: float) -> None:
        self._layout = layout
        self._site = site
        self._progress = progress
        self._began = began
        self._watcher = Watcher(site, layout, began)
        self._faults = Faults(PLAN, PILOTS)
        self._view = View()
        self._records: list[AgentRecord] = []
        self._trouble: list[str] = []
        self._dead_on_purpose: set[str] = set()
        #: when an agent's state last changed, and the most pilots that Plancton has counted
        self._changed = 0.0
        self._most_pilots = 0
        self.timeline = Timeline()

    def play(self) -> Result:
        """Run the demo to its end; raises Broken when a program does not start or obey."""
        self._mark("schedd, CE and plancton start")
        self._site.start_schedd()
        self._site.start_ce()
        self._site.start_plancton()
        while not (self._site.ended(CE) and not self._dead_on_purpose):
            began = time.monotonic()
            if self._now() - self._changed > PATIENCE:
                self._trouble.append(f"nothing had changed for {PATIENCE:.0f} s")
                break
            self._turn()
            time.sleep(max(0.0, SAMPLE - (time.monotonic() - began)))
        self._mark("drain")
        return self._finish()

    def _turn(self) -> None:
        self._records = self._watcher.read_records()
        runs = self._watcher.read_runs()
        sample = self._watcher.take_sample(self._records, runs)
        before, self._view = self._view, update_view(self._view, sample, self._records, runs)
        if self._view.state != before.state:
            self._changed = self._now()
        self.timeline.add(sample, self._view)
        self._progress.show(self.timeline.points[-1])
        self._most_pilots = max(self._most_pilots, self._watcher.count_pilots())
        self._expect_alive()
        for agent, act in self._faults.find_due(self._view):
            self._carry_out(act, agent)

    def _expect_alive(self) -> None:
        for name in (SCHEDD, PLANCTON):
            if name not in self._dead_on_purpose and self._site.ended(name):
                code = self._site.code(name)
                raise Broken(f"{name} ended with {code}; see {self._layout.log(name)}")

    def _carry_out(self, act: Act, agent: int) -> None:
        record = next((one for one in self._records if one.number == agent), None)
        job = record.job if record else ""
        self._mark(f"{act.value} {job} (agent {agent})" if record else act.value)
        if act in (Act.HOLD, Act.RELEASE, Act.REMOVE):
            self._site.run_checked(act.value, job)
        elif act is Act.KILL_PILOT and record is not None:
            self._kill_pilot(record)
        elif act is Act.KILL_PLANCTON:
            self._dead_on_purpose.add(PLANCTON)
            self._site.kill(PLANCTON)
        elif act is Act.START_PLANCTON:
            self._site.start_plancton()
            self._dead_on_purpose.remove(PLANCTON)
        elif act is Act.KILL_SCHEDD:
            self._dead_on_purpose.add(SCHEDD)
            self._site.kill(SCHEDD)
            self._site.wipe_spool()
        elif act is Act.START_SCHEDD:
            self._site.start_schedd()
            self._dead_on_purpose.remove(SCHEDD)

    def _kill_pilot(self, record: AgentRecord) -> None:
        group = self._watcher.find_pilot(record)
        if not group:
            raise Broken(f"agent {record.number} runs ({record.job}), but no pilot has it")
        # As the end of a container does, at one moment: nothing acts on the death of another.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in group:
                processes.send_signal(process, number)

    def _finish(self) -> Result:
        """Drain the node, check every job, stop the schedd, check that nothing is left."""
        site, trouble = self._site, self._trouble
        trouble += [f"not all was done to {text}" for text in self._faults.list_unfinished()]
        if site.code(CE) != 0:
            trouble.append(f"the CE ended with {site.code(CE)}; see {self._layout.log(CE)}")
        site.planctonctl("drain-stop")
        if (code := site.wait(PLANCTON)) != 0:
            trouble.append(f"plancton ended with {code}; see {self._layout.log(PLANCTON)}")
        queue = site.run_checked("condor_q", "-af:j", "JobStatus")
        trouble += [f"still in the queue: job {line}" for line in queue.splitlines()]
        ended = observe.read_history(site)
        if (code := site.stop(SCHEDD)) != 0:
            trouble.append(f"thyme-schedd ended with {code}; see {self._layout.log(SCHEDD)}")
        trouble += [
            f"still running: process {process.pid}: {process.command}"
            for process in processes.find_processes(self._layout.root)
        ]
        if self._most_pilots > PILOTS:
            trouble.append(f"{self._most_pilots} pilots at once instead of {PILOTS}")
        self._records = self._watcher.read_records()
        seen, unreadable = observe.collect_results(self._records, ended, self._watcher.read_runs())
        strangers = sorted(set(ended) - {record.job for record in self._records})
        found = check_agents(PLAN, seen, strangers, [*trouble, *unreadable])
        self._mark("end")
        return Result(found, seen, self.timeline, self._now())

    def _mark(self, text: str) -> None:
        mark = Mark(self._now(), text)
        self.timeline.marks.append(mark)
        self._progress.mark(mark)

    def _now(self) -> float:
        return time.monotonic() - self._began
