"""What one condor_submit costs a CE that runs it by the hundred."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.schedd_process import LiveSchedd

from .result import Result

TIMES = 50
#: Seconds.
GOAL = 0.025
TEXT = """\
executable = agent.sh
arguments = $(Cluster)
output = out
error = err
log = log
environment = "A=1"
queue 1
"""


def condor_submit() -> Result:
    """Wall-clock seconds of the installed command for one job, against a bare Python's."""
    command = Path(sys.executable).with_name("condor_submit")
    ours, bare = [], []
    with tempfile.TemporaryDirectory(prefix="thyme-bench-") as directory:
        schedd = LiveSchedd(Path(directory))
        (schedd.home / "agent.sh").write_text("#!/bin/sh\necho hello\n")
        (schedd.home / "agent.sub").write_text(TEXT)
        env = {"THYME_SCHEDD_SOCKET": str(schedd.socket), "PATH": os.environ["PATH"]}
        try:
            schedd.start()
            for number in range(TIMES + 3):
                said, seconds = timed([str(command), "agent.sub"], schedd.home, env)
                assert b"1 job(s) submitted to cluster" in said, said
                _said, reference = timed([sys.executable, "-c", "pass"], schedd.home, env)
                if number >= 3:  # everything is in the schedd's memory
                    ours.append(seconds)
                    bare.append(reference)
        finally:
            schedd.close()
    value, reference = statistics.median(ours), statistics.median(bare)
    return Result(
        what=f"condor_submit of one job, median of {TIMES}",
        value=value * 1000,
        unit="ms",
        reference=f"{reference * 1000:.3g} ms for a Python that starts and exits",
        ratio=value / reference,
        goal=f"<= {GOAL * 1000:g} ms",
        met=value <= GOAL,
    )


def timed(argv: Sequence[str], cwd: Path, env: dict[str, str]) -> tuple[bytes, float]:
    begin = time.monotonic()
    done = subprocess.run(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    return done.stdout, time.monotonic() - begin
