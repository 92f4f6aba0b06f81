"""What acting on 10,000 jobs at once costs, and how long a condor_submit waits meanwhile."""

import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from tests.support.schedd_process import LiveSchedd

from .condor_submit import timed
from .result import Result, compare_with_htcondor

JOBS = 10_000
ROUNDS = 3
#: Seconds that HTCondor 25.14 took for the same on two cores.
HTCONDOR = {
    "condor_rm": 0.55, "condor_hold": 0.65, "condor_release": 0.39, "condor_qedit": 0.135,
    "condor_q": 1.396,
}  # fmt: skip
GOAL = 1.5
#: Seconds that another's condor_submit may take meanwhile.
SUBMIT_GOAL = 0.3
_TEXT = "executable = /bin/true\ntransfer_executable = false\nlog = log\nqueue {}\n"


class Site:
    """A schedd with an embedded broker and no worker."""

    def __init__(self, directory: Path) -> None:
        self.schedd = LiveSchedd(directory)
        self._env = {"THYME_SCHEDD_SOCKET": str(self.schedd.socket), "PATH": os.environ["PATH"]}
        for name, jobs in (("many.sub", JOBS), ("one.sub", 1)):
            (self.schedd.home / name).write_text(_TEXT.format(jobs))
        self.schedd.start()

    def run(self, command: str, *argv: str) -> tuple[float, str]:
        """Return the seconds that a command takes, and what it prints."""
        program = str(Path(sys.executable).with_name(command))
        said, seconds = timed([program, *argv], self.schedd.home, self._env)
        return seconds, said.decode()

    def submit(self) -> str:
        """Submit the many jobs; returns their cluster."""
        _seconds, said = self.run("condor_submit", "-terse", "many.sub")
        return said.split(".", 1)[0]

    @contextmanager
    def submitting(self) -> Iterator[list[float]]:
        """Submit one job after the other meanwhile; yields the seconds of each."""
        taken: list[float] = []
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                taken.append(self.run("condor_submit", "one.sub")[0])

        with ThreadPoolExecutor(1) as pool:
            submits = pool.submit(go_on)
            try:
                yield taken
            finally:
                over.set()
            submits.result()  # raises what went wrong there


@cache
def measure() -> dict[str, tuple[float, float | None]]:
    """Return for each command its median seconds, and the longest submit meanwhile if measured."""
    taken: dict[str, list[float]] = {command: [] for command in HTCONDOR}
    waits: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="thyme-bench-") as directory:
        site = Site(Path(directory))
        try:
            for _ in range(ROUNDS):
                cluster = site.submit()
                for command, argv, text in (
                    ("condor_q", ("-json", cluster), '"ProcId": 9999'),
                    ("condor_qedit", (cluster, "Tag", "7"), "10000 matching jobs"),
                    ("condor_hold", (cluster,), "have been held"),
                    ("condor_release", (cluster,), "have been released"),
                    ("condor_rm", (cluster,), "marked for removal"),
                ):
                    seconds, said = site.run(command, *argv)
                    assert text in said, said[:1000]
                    taken[command].append(seconds)
            for command in ("condor_hold", "condor_release", "condor_rm"):
                cluster = site.submit()
                if command == "condor_release":
                    site.run("condor_hold", cluster)
                with site.submitting() as seconds_of_each:
                    site.run(command, cluster)
                waits[command] = max(seconds_of_each)
        finally:
            site.schedd.close()
    return {
        command: (statistics.median(taken[command]), waits.get(command)) for command in HTCONDOR
    }


def _bench(command: str, limit: float) -> Callable[[], Result]:
    def bench() -> Result:
        value, wait = measure()[command]
        what = f"{command} of {JOBS:,} jobs"
        result = compare_with_htcondor(what, value, HTCONDOR[command], limit)
        if wait is None:
            return result
        return replace(
            result,
            what=f"{what}; a condor_submit meanwhile: {wait:.2g} s at most",
            goal=f"{result.goal}, a condor_submit meanwhile <= {SUBMIT_GOAL:g} s",
            met=result.met and wait <= SUBMIT_GOAL,
        )

    return bench


condor_rm = _bench("condor_rm", GOAL)
condor_hold = _bench("condor_hold", GOAL)
condor_release = _bench("condor_release", GOAL)
condor_qedit = _bench("condor_qedit", GOAL)
condor_q_json = _bench("condor_q", 1.0)
