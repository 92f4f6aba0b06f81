"""A run of benches that is told to end leaves nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.schedd_process import ROOT
from tests.support.waiting import wait_until

#: The real runner and the real crowd, of ten jobs, and a bench that never ends.
RUN = """
import sys, time
from tests.bench import BENCHES, crowd, __main__ as bench

crowd.JOBS, crowd.RUNNING = 10, 4

def waits():
    site = crowd.crowd()
    print(site.process.pid, site.directory, flush=True)
    time.sleep(600)

BENCHES["waits"] = waits
sys.argv = ["bench", "--only", "waits"]
sys.exit(bench.main())
"""


def is_there(pid: int) -> bool:
    """Whether that process runs (an ended one that nobody has waited for does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_ends_what_it_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    run = subprocess.Popen([sys.executable, "-c", RUN], cwd=tmp_path, env=env,
                           stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert run.stdout is not None
        said = run.stdout.readline()
        assert said, "the bench did not begin: its stderr says why"
        pid, directory = said.split()
        assert is_there(int(pid)) and Path(directory).is_dir()

        run.send_signal(number)

        assert run.wait(60) == 128 + number
        wait_until(lambda: not is_there(int(pid)), "the schedd has ended", 30)
        assert list(tmp_path.iterdir()) == []
    finally:
        run.kill()
        run.communicate()
