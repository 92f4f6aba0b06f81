"""A job that is brought to its end: in its own way if it may, and nothing of it goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.run_job import Run, script
from tests.support.waiting import wait_until
from thyme.protocol.job import Task
from thyme.worker import processes

# what a test starts ends with it, as with the worker: see conftest.py
pytestmark = pytest.mark.own_process


TRACED = str(Path(__file__).parents[2] / "support/traced_job.py")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_whatever_a_job_leaves_running_is_killed_with_it(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        script(
            "sleep 600 & echo $!\n"
            "setsid sh -c 'echo $$; exec sleep 600' &\n"
            "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$; while :; do sleep 1; done' &)\n"
            "while [ $(wc -l < _condor_stdout) -lt 3 ]; do sleep 0.02; done"
        ),
    )

    left = [int(line) for line in run.stdout.split()]
    assert len(left) == 3
    assert [pid for pid in left if alive(pid)] == []


@pytest.mark.parametrize("start", ["sh ./chain", "setsid sh ./chain"])
def test_processes_that_live_for_a_moment_and_start_the_next_do_not_get_away(
    tmp_path: Path, start: str
) -> None:
    run = Run(
        tmp_path,
        script(
            f"echo '{start} & exit' > chain\n"
            "for i in 1 2 3 4 5 6 7 8; do sh ./chain & done; sleep 1"
        ),
    )

    assert run.outcome.is_gone
    assert processes.list_descendants() == []


def test_what_cannot_be_killed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(processes, "_KILL_TIMEOUT", 0.5)
    kill = os.kill
    with monkeypatch.context() as patched:
        # as a process that hangs in the kernel
        patched.setattr(os, "kill", lambda *_: None)
        run = Run(tmp_path, script("sleep 600 & echo $!"))

    left = int(run.stdout)
    assert not run.outcome.is_gone
    assert f"processes left behind that cannot be killed: {left} (1 in all)" in caplog.text
    kill(left, signal.SIGKILL)


def test_asked_to_end_it_gets_its_own_signal_and_time_to_tidy_up(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        script("trap 'echo tidy > result; exit 5' USR1; echo up; while :; do sleep 0.05; done",
               kill_signal=int(signal.SIGUSR1)),
        wait=False,
    )  # fmt: skip
    wait_until(lambda: run.out, "the job to be up")

    run.job.request_end()
    run.end()

    assert run.outcome.exit_code == 5
    assert [(f.name, f.data) for f in run.files] == [("result", b"tidy\n")]


@pytest.mark.parametrize("way", ["kill", "grace"])
def test_a_job_that_is_traced_by_its_own_child_can_be_killed(tmp_path: Path, way: str) -> None:
    """Neither condor_rm nor its limits nor its pilot's end ended it."""
    run = Run(tmp_path, Task(sys.executable, (TRACED,), kill_grace=0.2), wait=False)
    wait_until(lambda: run.out, "the tracer")
    assert run.out == b"0\n"

    def over() -> bool:
        run.job.kill_after_grace()
        return run.job.poll() is not None

    run.job.kill() if way == "kill" else run.job.request_end()
    wait_until(over, "the job to end")
    run.end()

    assert run.outcome.signal in (signal.SIGKILL, signal.SIGTERM)


def test_a_signal_to_a_job_that_is_gone_is_no_error(tmp_path: Path) -> None:
    run = Run(tmp_path, Task("/bin/true"))

    run.job.request_end()
    run.job.kill()

    assert run.outcome.exit_code == 0


def test_a_worker_killed_with_9_takes_its_job_with_it(tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys, time; from pathlib import Path\n"
            "from thyme.worker.sandbox import Sandbox\n"
            "from thyme.worker.executor import Execution\n"
            "from thyme.protocol.job import Task\n"
            "Execution(Task('/bin/sleep', ('600',)), Sandbox(Path(sys.argv[1])), 's@n',\n"
            "          time.monotonic)\ntime.sleep(600)", str(tmp_path),
        ]
    )  # fmt: skip
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    (job,) = wait_until(lambda: children.read_text().split(), "the job")
    wait_until(lambda: b"sleep" in Path(f"/proc/{job}/cmdline").read_bytes(), "its exec")

    worker.kill()
    worker.wait()

    wait_until(lambda: not alive(int(job)), "the job to die")
