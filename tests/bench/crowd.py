"""A schedd with 100,000 job agents in its queue, for the benches that ask it."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from tests.support.schedd_process import LiveSchedd
from thyme.broker import connect
from vobox.files.as_user import user_name

from .job_agents import JobAgents

JOBS = 100_000
#: So many of them run, the others wait.
RUNNING = 40_000
_BATCH = 2000


class Crowd(LiveSchedd):
    """The running schedd; the condor commands ask it through its socket."""

    def ask(self, *words: str, python: Sequence[str] = ()) -> str:
        """Return the stdout of a command that has to succeed."""
        done = subprocess.run(
            [*(python or [Path(sys.executable).parent / words[0]]), *words[1:]],
            env=self.caller(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), (words, done.returncode, done.stderr)
        return done.stdout

    def seconds(self, *words: str) -> tuple[float, str]:
        """How long a command takes from its start to its end, and its stdout."""
        start = time.perf_counter()
        said = self.ask(*words)
        return time.perf_counter() - start, said

    def caller(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "THYME_SCHEDD_SOCKET": str(self.socket)}

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes of the schedd; ``VmHWM``: the most that it ever had."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(what + ":"))
        return int(line.split()[1]) * 1024


@lru_cache(maxsize=1)
def crowd() -> Crowd:
    """Start the site once for all benchmarks that only query it; end it with the run."""
    return new_crowd()


def new_crowd() -> Crowd:
    """One that nobody has asked anything yet; ended with the run, if not before."""
    directory = Path(tempfile.mkdtemp(prefix="crowd-"))
    made = Crowd(directory)
    made.options = ["--lease", "7200", "--policy-interval", "60"]
    atexit.register(end, made)
    broker = connect(made.url)
    agents = JobAgents(user_name(os.getuid()), made.name, time.time() - JOBS)
    life = agents.life(JOBS, JOBS - RUNNING, JOBS)
    while bodies := list(islice(life, _BATCH)):
        broker.record(bodies)
    broker.close()
    made.patience = 300.0
    made.start()
    in_queue = made.ask("condor_q", "-totals")
    assert f"Total for query: {JOBS} jobs; 0 completed, 0 removed, {JOBS - RUNNING} idle, " in (
        in_queue
    ), in_queue
    return made


def end(made: Crowd) -> None:
    """Its process and its directory go."""
    if made.process is not None:
        made.process.kill()
        made.process.wait()
        made.process = None
    shutil.rmtree(made.directory, ignore_errors=True)
