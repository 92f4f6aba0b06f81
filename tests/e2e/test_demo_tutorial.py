"""All commands of the tutorial, in their order, in one bash."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def commands() -> str:
    """Return the ``sh`` blocks; ``console`` ones are only to be read (cloning, the demo)."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 10
    return "\n".join(blocks)


@pytest.fixture
def home():
    """Make a short path, for the socket; kill what still runs with this HOME at the end."""
    path = Path(tempfile.mkdtemp(prefix="tutorial-"))
    yield path
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(path).encode() in told:
            os.kill(int(process.name), signal.SIGKILL)
    shutil.rmtree(path)


@pytest.mark.timeout(620)
def test_every_command_of_the_tutorial_does_what_it_says(home):
    programs = Path(sys.executable).parent

    with open(home / "said", "w+") as out:  # a pipe would stay open with what runs on
        done = subprocess.run(
            ["/bin/bash", "-e", "-o", "pipefail", "-c", commands()],
            env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home)},
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=600,
            check=False,
        )

    said = (home / "said").read_text()
    assert done.returncode == 0, said
    assert said.count("no thyme-schedd answers at") == 2, said
    assert said.count("exit code 1") == 2, said
    for line in (
        "3 job(s) submitted to cluster 1.",
        "hello from job 1.2",
        "8 of 8 agents submitted, 8 completed, 0 failed",
        "2 of 2 agents submitted, 1 completed, 1 failed (1 exit 7)",
        "Job 12.2 held",
        "Job 12.2 released",
        "Job 12.2 marked for removal",
        "12.2 3 via condor_rm (by user ",
        "13.2 4 0",
    ):
        assert line in said, said
