"""The demo, really run: once to its end, and interrupted in every way."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from demo.processes import find_processes
from tests.support.waiting import wait_until

PROJECT = Path(__file__).parents[2]
#: Seconds; it takes half a minute on an idle machine.
LONGEST = 280.0


@pytest.fixture
def place():
    """Make a directory for one demo, short enough for a socket; kill what still runs there."""
    root = Path(tempfile.mkdtemp(prefix="demo-test-"))
    yield root
    for process in find_processes(root):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    shutil.rmtree(root)


@pytest.fixture
def start(place):
    """Return what starts ``python -m demo`` there, with its output in a file; end it at last."""
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
            process.wait(timeout=120)
    place.with_suffix(".out").unlink(missing_ok=True)


def output(place: Path) -> str:
    return place.with_suffix(".out").read_text()


def wait_for(place: Path, word: str, count: int) -> None:
    """Wait until the agents' ledger has ``count`` lines that begin with ``word``."""
    ledger = place / "ledger"
    wait_until(
        lambda: ledger.exists() and ledger.read_text().count(word) >= count,
        f"{count} agents in the ledger ({word})",
        timeout=120,
        state=lambda: output(place),
    )


@pytest.mark.timeout(LONGEST + 10)
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
    assert find_processes(place) == []
    page = (place / "report.html").read_text()
    assert last in page
    assert "<svg" in page


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM], ids=lambda n: n.name
)
def test_an_interrupted_demo_leaves_nothing_behind(start, place, number):
    demo = start()
    # in the middle: agents have started, and pilots, jobs and daemons are alive
    wait_for(place, "done", 2)
    assert len(find_processes(place)) >= 4

    demo.send_signal(number)

    assert demo.wait(timeout=120) == 128 + number, output(place)
    assert output(place).splitlines()[-1].startswith("demo: interrupted")
    assert find_processes(place) == []
    assert not list(place.glob("**/*.sock"))


def test_a_demo_started_with_nohup_outlives_its_terminal(place):
    with open(place.with_suffix(".out"), "w") as out:
        demo = subprocess.Popen(
            ["nohup", sys.executable, "-m", "demo", "--dir", str(place)],
            cwd=PROJECT, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_for(place, "start", 1)
        demo.send_signal(signal.SIGHUP)
        wait_for(place, "start", 4)
        assert demo.poll() is None
    finally:
        demo.terminate()
        assert demo.wait(timeout=120) == 128 + signal.SIGTERM
        place.with_suffix(".out").unlink()


def test_closing_the_terminal_leaves_nothing_running(place):
    ours, its = os.openpty()
    demo = subprocess.Popen(
        [sys.executable, "-m", "demo", "--dir", str(place)],
        cwd=PROJECT, stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(its)
    os.set_blocking(ours, False)

    def started() -> bool:
        with suppress(BlockingIOError):
            os.read(ours, 65536)  # or it would wait for its reader
        ledger = place / "ledger"
        return ledger.exists() and "start" in ledger.read_text()

    wait_until(started, "an agent to start", timeout=120)
    assert find_processes(place)

    os.close(ours)

    assert demo.wait(timeout=120) == 128 + signal.SIGHUP
    assert find_processes(place) == []


def test_a_killed_demo_leaves_nothing_running(start, place):
    demo = start()
    wait_for(place, "start", 1)
    assert find_processes(place)

    demo.kill()
    demo.wait()

    wait_until(
        lambda: find_processes(place) == [],
        "its programs to end",
        state=lambda: find_processes(place),
    )


def test_the_demo_ends_with_the_make_that_started_it(place):
    with open(place.with_suffix(".out"), "w") as out:
        make = subprocess.Popen(
            ["make", "demo", f"VENV={sys.prefix}", f"DEMO_ARGS=--dir {place}"],
            cwd=PROJECT, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    wait_for(place, "start", 1)

    make.kill()
    make.wait()

    wait_until(
        lambda: find_processes(place) == [],
        "its programs to end",
        state=lambda: find_processes(place),
    )
    wait_until(
        lambda: "demo: interrupted" in output(place), "the demo to end", state=lambda: output(place)
    )
    place.with_suffix(".out").unlink()


def test_a_second_demo_in_the_same_directory_steps_back(start, place):
    first = start()
    wait_until(lambda: (place / "lock").exists() and (place / "lock").read_text(), "the lock")

    second = subprocess.run(
        [sys.executable, "-m", "demo", "--dir", str(place)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert second.returncode == 3
    assert second.stderr == (
        f"demo: another demo runs in {place} (process {first.pid}); "
        "wait for it, or name another directory with --dir\n"
    )
    assert first.poll() is None


def test_a_demo_waits_until_a_killed_one_is_cleared_away(start, place):
    first = start()
    wait_for(place, "start", 1)
    first.kill()
    first.wait()
    left = {process.pid for process in find_processes(place)}

    second = start()
    lock = place / "lock"
    wait_until(
        lambda: lock.read_text() == f"{second.pid}\n",
        "the second demo to have the directory",
        timeout=120,
        state=lambda: output(place),
    )

    assert not left & {process.pid for process in find_processes(place)}
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=120) == 130


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
        timeout=120,
        check=False,
    )

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
