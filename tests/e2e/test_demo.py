"""``python -m demo``, really: the whole site, twice interrupted and once to its end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from demo.processes import scan
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]
#: Seconds; the demo itself gives up at 150 s.
LONGEST = 240.0


@pytest.fixture
def place():
    """A directory for one demo, short enough for a socket's path; whatever ran there is killed."""
    root = Path(tempfile.mkdtemp(prefix="demo-test-"))
    yield root
    for process in scan(root):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    shutil.rmtree(root)


@pytest.fixture
def start(place):
    """Starts ``python -m demo`` there with its output in a file; ends it if the test did not."""
    started = []

    def run(**environment: str) -> subprocess.Popen[str]:
        with open(place.with_suffix(".out"), "w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "demo", "--dir", str(place)],
                cwd=PROJECT,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], **environment},
                text=True,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
    place.with_suffix(".out").unlink(missing_ok=True)


def output(place: Path) -> str:
    return place.with_suffix(".out").read_text()


@pytest.mark.timeout(LONGEST + 30)
def test_the_demo_accounts_for_every_job_and_leaves_nothing_running(start, place):
    # neither HOME nor USER: a service's environment
    demo = start()

    code = demo.wait(timeout=LONGEST)

    told = output(place)
    assert code == 0, told
    last = told.splitlines()[-1]
    assert re.fullmatch(
        r"demo: 24 submitted, 22 completed, 2 removed, 0 lost, 0 doubled in \d+ s", last
    ), told
    assert "differs" not in told
    assert scan(place) == []
    page = (place / "report.html").read_text()
    assert last in page
    assert "<svg" in page


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_demo_leaves_nothing_behind(start, place, number, code):
    demo = start()
    # in the middle: agents have started, and pilots, jobs and daemons are alive
    wait_until(
        lambda: (place / "ledger").exists() and (place / "ledger").read_text().count("done") >= 2,
        "two agents have done their work",
        timeout=60,
        state=lambda: output(place),
    )
    assert len(scan(place)) >= 4

    demo.send_signal(number)

    assert demo.wait(timeout=60) == code
    assert output(place).splitlines()[-1].startswith("demo: interrupted")
    assert scan(place) == []
    assert not list(place.glob("**/*.sock"))


def test_a_second_demo_in_the_same_directory_steps_back(start, place):
    first = start()
    wait_until(lambda: (place / "lock").exists() and (place / "lock").read_text(), "the lock")

    second = subprocess.run(
        [sys.executable, "-m", "demo", "--dir", str(place)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 3
    assert second.stderr == (
        f"demo: another demo runs in {place} (process {first.pid}); "
        "wait for it, or name another directory with --dir\n"
    )
    assert first.poll() is None


def test_a_demo_clears_away_what_a_killed_one_left(start, place):
    first = start()
    wait_until(
        lambda: (place / "ledger").exists() and "start" in (place / "ledger").read_text(),
        "an agent has started",
        timeout=60,
        state=lambda: output(place),
    )
    first.kill()
    first.wait()
    left = {process.pid for process in scan(place)}
    assert left

    second = start()
    wait_until(
        lambda: not left & {process.pid for process in scan(place)},
        "what the first demo left is ended",
        state=lambda: output(place),
    )

    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=60) == 130


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dir", "/proc/x"], "demo: cannot use /proc/x"),
        (["--dir", str(PROJECT)], "holds files that no demo made"),
        (["--speed", "9"], "unrecognized arguments: --speed 9"),
    ],
)
def test_bad_use_is_exit_code_2(arguments, says):
    done = subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
