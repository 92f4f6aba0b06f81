"""The commands for running jobs against a real schedd and a real worker."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_process import LiveSchedd, thin
from tests.support.waiting import wait_until

#: proc(5): stopped, or (a shell that was just starting a program) waiting for one that is.
STOPPED = ("T", "D")
TIMEOUT = 60.0
#: Says who it is, counts, and ends when it is told to by a file.
SCRIPT = """\
echo $$ > {pid}
n=0
while [ ! -e {end} ]; do n=$((n+1)); echo line $n; sleep 0.05; done
echo bye
"""
DESCRIPTION = """\
executable = /bin/sh
transfer_executable = false
arguments = "-c '. {script}'"
output = {out}
log = {log}
queue
"""


class Job:
    """A job that runs until it is told to end."""

    def __init__(self, live: LiveSchedd) -> None:
        home = live.home
        self.pid, self.end, self.out, self.log = (
            home / name for name in ("pid", "end", "out", "log")
        )
        script = home / "script"
        script.write_text(SCRIPT.format(pid=self.pid, end=self.end))
        text = DESCRIPTION.format(script=script, out=self.out, log=self.log)
        self.id = f"{live.submit(text)}.0"

    def process(self) -> int:
        """Return the process id, once it runs."""
        return int(wait_until(lambda: self.pid.exists() and self.pid.read_text(), "it runs"))

    def state(self) -> str:
        """Return the kernel's letter for it: T is stopped."""
        stat = Path(f"/proc/{self.process()}/stat").read_text()
        return stat.rpartition(")")[2].split()[0]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveSchedd]:
    made = LiveSchedd(tmp_path)
    made.options = ["--lease", "30", "--policy-interval", "0.2"]
    made.start()
    yield made
    made.close()


def test_a_running_job_is_looked_into_stopped_continued_and_run_elsewhere(
    live: LiveSchedd,
) -> None:
    job = Job(live)
    live.worker("--max-jobs", "0")
    first = job.process()
    live.wait_for(**{f"j{job.id.replace('.', '_')}": 2})

    def tail() -> str:
        done = live.run("condor_tail", "-maxbytes", "1000000", job.id)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    wait_until(lambda: tail().startswith("line 1\n"), "its first line", TIMEOUT, tail)
    missing = live.run("condor_tail", "-no-stdout", job.id, "nope")
    assert missing.returncode == 1
    assert missing.stderr.startswith("Failed to peek at file from starter: ")

    assert live.run("condor_suspend", job.id).stdout == f"Job {job.id} suspended\n"
    wait_until(lambda: job.state() in STOPPED, "it is stopped", TIMEOUT, job.state)
    assert live.states() == {job.id: 7}
    assert live.run("condor_continue", job.id).stdout == f"Job {job.id} continued\n"
    wait_until(lambda: job.state() not in STOPPED, "it runs on", TIMEOUT, job.state)
    assert live.states() == {job.id: 2}

    # a stopped job can be vacated, too: it has to hear of it
    live.run("condor_suspend", job.id)
    wait_until(lambda: job.state() in STOPPED, "it is stopped", TIMEOUT, job.state)
    job.pid.unlink()
    assert live.run("condor_vacate_job", job.id).stdout == f"Job {job.id} vacated\n"
    assert job.process() != first

    assert live.run("condor_qedit", job.id, "Colour", '"red"').returncode == 0
    job.end.touch()
    waited = live.run("condor_wait", "-wait", "60", str(job.log))
    assert (waited.stdout, waited.returncode) == ("All jobs done.\n", 0), waited
    live.wait_for(**{f"j{job.id.replace('.', '_')}": 4})
    assert job.out.read_text().endswith("bye\n")
    shown = live.run("condor_history", job.id, "-af", "Colour", "TotalSuspensions", "NumJobStarts")
    assert shown.stdout == "red 2 2\n"


def test_a_following_tail_ends_with_the_job(live: LiveSchedd) -> None:
    job = Job(live)
    live.worker("--max-jobs", "0")
    job.process()
    live.wait_for(**{f"j{job.id.replace('.', '_')}": 2})
    said = live.directory / "tail"
    with said.open("wb") as out:
        tail = subprocess.Popen(
            [*thin("condor_tail"), "-f", "-maxbytes", "1000000", job.id],
            stdout=out, stderr=subprocess.STDOUT,
            env={"THYME_SCHEDD_SOCKET": str(live.socket)},
        )  # fmt: skip
    try:
        wait_until(lambda: b"line 1\n" in said.read_bytes(), "it shows what is there", TIMEOUT)
        before = said.stat().st_size
        wait_until(lambda: said.stat().st_size > before, "it shows what comes", TIMEOUT)
        job.end.touch()
        assert tail.wait(TIMEOUT) == 0
    finally:
        tail.kill()
        tail.wait()
    text = said.read_text()
    assert text.startswith("line 1\n") and "Traceback" not in text


def test_condor_wait_ends_at_once_by_a_signal(live: LiveSchedd) -> None:
    job = Job(live)
    waiting = subprocess.Popen(
        [*thin("condor_wait"), "-status", str(job.log)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={},
    )  # fmt: skip
    assert waiting.stdout is not None
    assert waiting.stdout.readline().endswith(b" submitted\n")
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=TIMEOUT)
    assert (out, err, waiting.returncode) == (b"", b"", 130)
    assert os.path.exists(job.log)  # noqa: PTH110


def check_history_file(live: LiveSchedd, history: Path) -> None:
    """Check that a job's file is there when it has ended, and again after a restart."""
    cluster = live.submit("executable=/bin/sh\narguments=\"-c 'exit 3'\"\nqueue")
    live.work()
    path = history / f"history.{cluster}.0"
    wait_until(path.exists, "the history file is there", TIMEOUT, live.said)
    text = path.read_text()
    assert "JobStatus = 4\n" in text
    assert "ExitCode = 3\n" in text
    path.unlink()
    live.kill()
    live.start()
    wait_until(path.exists, "the history file is there again", TIMEOUT, live.said)
    assert path.read_text() == text


def test_arcs_history_file_is_there_when_the_job_has_ended_and_after_a_restart(
    live: LiveSchedd,
) -> None:
    history = live.directory / "history"
    history.mkdir()
    live.end()
    live.options += ["--history-dir", str(history)]
    live.start()
    told = live.run("condor_config_val", "PER_JOB_HISTORY_DIR")
    assert told.stdout == f"{history}\n"
    check_history_file(live, history)


def test_history_files_are_beside_the_socket_by_default(live: LiveSchedd) -> None:
    told = live.run("condor_config_val", "PER_JOB_HISTORY_DIR", "HISTORY")
    history = Path(told.stdout.splitlines()[0])
    assert told.stdout == f"{history}\n{history}/history\n"
    assert history == Path(f"{live.socket}.history")
    mode = 0o755 if os.geteuid() == 0 else 0o700
    assert stat.S_IMODE(history.stat().st_mode) == mode
    check_history_file(live, history)


def test_a_schedd_that_cannot_make_its_history_directory_serves_without(live: LiveSchedd) -> None:
    live.end()
    history = Path(f"{live.socket}.history")
    history.rmdir()
    history.write_text("in the way")
    live.start()
    told = live.run("condor_config_val", "PER_JOB_HISTORY_DIR")
    assert (told.stderr, told.returncode) == ("Not defined: PER_JOB_HISTORY_DIR\n", 1)
    line = f"thyme-schedd: no history files: directory {history}: File exists"
    assert [each for each in live.said().splitlines() if each.endswith(line)]
    assert live.run("condor_q").returncode == 0


def test_a_history_directory_that_is_none_is_said_at_the_start(live: LiveSchedd) -> None:
    live.end()
    done = subprocess.run(
        live.command("--history-dir", "/nonexistent"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 5
    assert done.stderr == (
        "thyme-schedd: --history-dir /nonexistent: no directory that we can write to; make it\n"
    )
