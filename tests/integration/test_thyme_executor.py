"""Real jobs in real scratch directories: what they see, how they end, what is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.broker_fakes import FakeBroker
from tests.thyme_fakes import submission
from tests.virtual_time import VirtualTime
from tests.waiting import wait_until
from thyme import processes
from thyme.codec import encode
from thyme.errors import BadMessage, NodeUnfit
from thyme.executor import Execution
from thyme.faults import CannotStart
from thyme.job import SandboxFile, Task
from thyme.message import Evicted, Finished, Message, Usage
from thyme.orders import Orders
from thyme.sandbox import STDERR, STDOUT, Sandbox
from thyme.worker import Settings, Worker

SLOT = "slot1_7@node"


# what a test starts ends with it, as with the worker: see conftest.py
pytestmark = pytest.mark.own_process


def script(text: str, **task: object) -> Task:
    files = (SandboxFile("condor_exec.exe", f"#!/bin/sh\n{text}\n".encode(), 0o755),)
    return Task("condor_exec.exe", **{"files": files, **task})  # type: ignore[arg-type]


class Run:
    """A task in a scratch directory, run to its end (or started only: ``wait=False``)."""

    def __init__(self, workdir: Path, task: Task, wait: bool = True) -> None:
        self.task = task
        self.sandbox = Sandbox(workdir)
        try:
            self.sandbox.unpack(task)
            self.job = Execution(task, self.sandbox, SLOT, time.monotonic)
        except (CannotStart, NodeUnfit):
            self.sandbox.remove()
            raise
        if wait:
            self.end()

    def end(self) -> None:
        def over() -> bool:
            self.job.measure()
            return self.job.outcome() is not None

        wait_until(over, "the job to end", state=lambda: self.out)
        self.outcome = self.job.clean_up()
        files, self.hold = self.sandbox.outputs(self.task)
        # their bytes stay on the disk until they are asked for
        self.files = [SandboxFile(file.name, file.data, file.mode) for file in files]
        self.stdout, self.stderr = self.out, self.sandbox.stream(STDERR, 10**6)
        self.sandbox.remove()

    @property
    def out(self) -> bytes:
        return self.sandbox.stream(STDOUT, 10**6)


def hold_of(workdir: Path, task: Task) -> tuple[int, int, str]:
    with pytest.raises(CannotStart) as refused:
        Run(workdir, task)
    assert list(workdir.iterdir()) == []
    return refused.value.hold.code, refused.value.hold.subcode, refused.value.hold.text


# --- what a job sees -------------------------------------------------------------------------


def test_the_environment_is_the_jobs_own_and_htcondors_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THYME_URL", "amqps://worker:password@broker")
    task = Task(
        "/usr/bin/env",
        arguments=("-0",),
        environment={
            "A": "x y\nz",
            "X509_USER_PROXY": "proxy",
            "TMP": "/own",
            "_CONDOR_SLOT": "no",
        },
        scratch_env=("X509_USER_PROXY", "ABSENT"),
    )

    run = Run(tmp_path, task)

    seen = dict(line.split("=", 1) for line in run.stdout.decode().split("\0") if line)
    scratch = str(run.sandbox.path)
    assert seen == {
        "A": "x y\nz",
        "X509_USER_PROXY": f"{scratch}/proxy",
        "BATCH_SYSTEM": "HTCondor",
        "HOME": scratch,
        "TMPDIR": scratch,
        "TMP": "/own",
        "TEMP": scratch,
        "_CONDOR_SCRATCH_DIR": scratch,
        "_CONDOR_JOB_IWD": scratch,
        "_CONDOR_SLOT": "slot1_7",
    }


def test_a_job_runs_in_its_scratch_directory_with_its_arguments_word_by_word(
    tmp_path: Path,
) -> None:
    arguments = ("two words", "", "it's", '"', "$HOME", "*", "a\nb", "-x")

    run = Run(tmp_path, script('pwd; for a; do printf "<%s>" "$a"; done', arguments=arguments))

    expected = "".join(f"<{a}>" for a in arguments)
    assert run.stdout.decode() == f"{run.sandbox.path}\n{expected}"
    assert run.outcome.exit_code == 0


def test_a_job_with_a_directory_runs_there(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "iwd").mkdir()

    run = Run(tmp_path / "work", script("pwd; echo $_CONDOR_JOB_IWD", directory=f"{tmp_path}/iwd"))

    assert run.stdout.decode() == f"{tmp_path}/iwd\n" * 2


def test_stdin_is_the_named_file_or_empty(tmp_path: Path) -> None:
    files = (SandboxFile("in", b"line\n\xff"),)

    assert Run(tmp_path, Task("/bin/cat", files=files, stdin="in")).stdout == b"line\n\xff"
    assert Run(tmp_path, Task("/bin/cat")).stdout == b""


def test_a_relative_workdir_is_as_good_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w").mkdir()

    assert Run(Path("w"), script("echo hello")).stdout == b"hello\n"


# --- how it ends -----------------------------------------------------------------------------


def test_exit_codes_and_signals_are_told_apart(tmp_path: Path) -> None:
    seven, killed = Run(tmp_path, script("exit 7")), Run(tmp_path, script("kill -11 $$"))

    assert (seven.outcome.exit_code, seven.outcome.signal) == (7, None)
    assert (killed.outcome.exit_code, killed.outcome.signal) == (None, 11)


def test_what_it_used_is_measured(tmp_path: Path) -> None:
    burn = "import time\nx = bytearray(60_000_000)\nwhile time.process_time() < 1.5: pass"

    used = Run(tmp_path, Task(sys.executable, arguments=("-c", burn))).outcome.usage

    assert 1.5 <= used.user_cpu + used.system_cpu < 15
    assert used.wall >= 1.5
    assert 60_000 < used.peak_rss < 300_000


def test_the_peak_so_far_is_known_while_it_runs(tmp_path: Path) -> None:
    hold = "import time; x = bytearray(60_000_000); time.sleep(60)"
    run = Run(tmp_path, Task(sys.executable, arguments=("-c", hold)), wait=False)

    def used() -> Usage:
        run.job.measure()
        return run.job.usage()

    wait_until(lambda: used().rss > 60_000, "the peak", state=used)

    assert used().peak_rss >= used().rss
    run.job.kill()
    run.end()
    assert run.outcome.signal == 9
    assert run.outcome.usage.peak_rss > 60_000
    assert run.outcome.usage.rss == 0


def test_the_use_of_all_its_processes_is_added_up_also_of_those_that_left_it(
    tmp_path: Path,
) -> None:
    burn = "import time, sys; x = bytearray(40_000_000)\nwhile time.process_time() < 0.4: pass\n"
    (tmp_path / "burn.py").write_text(burn + "open(sys.argv[1], 'w'); time.sleep(600)")
    python = f"{sys.executable} {tmp_path}/burn.py"
    run = Run(
        tmp_path,
        script(
            f"{python} a & {python} b & (setsid {python} c &)\n"
            "head -c 3000000 /dev/zero > big\n"
            "until [ -e a ] && [ -e b ] && [ -e c ] && [ -e go ]; do sleep 0.05; done"
        ),
        wait=False,
    )
    top = run.sandbox.path

    def used() -> Usage:
        run.job.measure()
        return run.job.usage()

    wait_until(lambda: all((top / n).exists() for n in "abc"), "three to work", timeout=60.0)
    running = wait_until(
        lambda: used().rss > 120_000 and used().disk > 2900 and used(), "their use", state=used,
        timeout=60.0,
    )  # fmt: skip
    (top / "go").touch()
    run.end()

    ended = run.outcome.usage
    for usage in (running, ended):
        assert 1.0 <= usage.user_cpu + usage.system_cpu < 30
        assert usage.peak_rss > 120_000
        assert usage.disk >= 2900
    assert ended.rss == 0


def states(run: Run) -> set[str]:
    """Of the job's processes: S sleeping, T stopped."""
    found = set()
    for pid in processes.descendants():
        try:
            found.add(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue
    return found


def still(run: Run) -> bool:
    # D: a shell that waits for a child which was stopped before it executed anything
    return "T" in states(run) <= {"T", "D"}


def test_a_suspended_job_stands_still_with_all_its_processes_until_it_is_continued(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, script("(setsid sleep 600 &); echo up; sleep 600; echo on"), wait=False)
    wait_until(lambda: run.out, "the job to be up")

    run.job.suspend()
    run.job.suspend()
    wait_until(lambda: still(run), "all to stop", state=lambda: states(run))
    run.job.resume()
    wait_until(lambda: states(run) == {"S"}, "all to go on", state=lambda: states(run))

    run.job.kill()
    run.end()


def test_a_suspended_job_that_is_asked_to_end_can_hear_it(tmp_path: Path) -> None:
    text = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
    run = Run(tmp_path, script(text, kill_grace=600.0), wait=False)
    wait_until(lambda: run.out, "the job to be up")
    run.job.suspend()
    wait_until(lambda: still(run), "it to stop", state=lambda: states(run))

    run.job.ask_to_end()
    run.end()

    assert run.outcome.exit_code == 5


def test_binary_output_comes_back_as_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path, script(r"printf '\000\377\n'; printf '\376' >&2; printf x > file"))

    assert (run.stdout, run.stderr) == (b"\0\xff\n", b"\xfe")
    assert [(f.name, f.data) for f in run.files] == [("file", b"x")]


def test_merged_streams_keep_their_order(tmp_path: Path) -> None:
    run = Run(tmp_path, script("echo 1; echo 2 >&2; echo 3; echo 4 >&2", merge_stderr=True))

    assert (run.stdout, run.stderr) == (b"1\n2\n3\n4\n", b"")


def test_a_job_that_closes_its_streams_ends_as_it_likes(tmp_path: Path) -> None:
    run = Run(tmp_path, script("echo said; exec >&- 2>&- <&-; exit 3"))

    assert (run.outcome.exit_code, run.stdout) == (3, b"said\n")


def test_a_job_gets_pythons_ignored_signals_back(tmp_path: Path) -> None:
    # SIGPIPE, ignored by Python, must kill `yes` in a pipe as everywhere else
    run = Run(tmp_path, script("yes | head -n 1; grep SigIgn /proc/self/status"))

    said, _name, ignored = run.stdout.split()
    assert said == b"y"
    # the C library keeps 32 and 33 for itself: whoever started us may ignore these
    changeable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert int(ignored, 16) & changeable == 0


# --- jobs that cannot start ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "number", "words"),
    [
        (Task("/nope", arguments=("a b",)), 2, "Failed to execute '/nope' a b: (errno=2: 'No such"),
        (Task("/etc"), 13, "'/etc': (errno=13: 'Permission denied')"),
        (Task("x", files=(SandboxFile("x", b"#!/bin/sh\n", 0o644),)), 13, "(errno=13: "),
        (Task("x", files=(SandboxFile("x", b"echo no line 1", 0o755),)), 8, "'Exec format error'"),
        (Task("x", files=(SandboxFile("x", b"#!/nope\n", 0o755),)), 2, "(errno=2: "),
        (Task("/bin/true", arguments=("x" * 3_000_000,)), 7, "...: (errno=7: 'Argument list too"),
        (Task("/bin/true", arguments=("a\0b",)), 0, "embedded null byte"),
        (Task("/bin/true", environment={"A=B": "x"}), 0, "illegal environment variable name"),
        (Task("/bin/true", environment={"A": "\0"}), 0, "embedded null byte"),
        (Task("/bin/true", arguments=("\ud800",)), 0, "surrogates not allowed"),
    ],
)
def test_a_job_that_cannot_be_executed_is_held_with_the_reason(
    tmp_path: Path, task: Task, number: int, words: str
) -> None:
    code, subcode, text = hold_of(tmp_path, task)

    assert (code, subcode) == (6, number)
    assert text.startswith(f"Error from {SLOT}: Failed to execute '")
    assert words in text
    assert len(text) < 2100
    assert "\n" not in text


@pytest.mark.parametrize("directory", ["/nope", "/etc/passwd", "x" * 5000, "a\0b", "\ud800"])
def test_a_missing_directory_holds_the_job(tmp_path: Path, directory: str) -> None:
    code, number, text = hold_of(tmp_path, Task("/bin/true", directory=directory))

    assert (code, number) == (14, 2)
    assert "does not exist on this node" in text


@pytest.mark.parametrize("stdin", ["nope", "/etc", "a" * 300])
def test_a_stdin_that_cannot_be_opened_holds_the_job(tmp_path: Path, stdin: str) -> None:
    code, _number, text = hold_of(tmp_path, Task("/bin/true", stdin=stdin))

    assert code == 8
    assert "as standard input: (errno=" in text


def test_a_stdin_that_is_a_silent_pipe_blocks_the_job_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "w").mkdir()

    run = Run(tmp_path / "w", Task("/bin/cat", stdin=f"{tmp_path}/pipe"))

    assert run.outcome.exit_code == 0  # nobody writes: its end, at once


@pytest.mark.parametrize("number", [11, 12, 24])
def test_a_node_that_can_start_no_process_holds_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("thyme.processes.subprocess.Popen", fails)

    with pytest.raises(NodeUnfit, match=rf"Failed to execute '/bin/true': \[Errno {number}\]"):
        Run(tmp_path, Task("/bin/true"))


# --- what it leaves behind -------------------------------------------------------------------


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


def test_asked_to_end_it_gets_its_own_signal_and_time_to_tidy_up(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        script("trap 'echo tidy > result; exit 5' USR1; echo up; while :; do sleep 0.05; done",
               kill_signal=int(signal.SIGUSR1)),
        wait=False,
    )  # fmt: skip
    wait_until(lambda: run.out, "the job to be up")

    run.job.ask_to_end()
    run.end()

    assert run.outcome.exit_code == 5
    assert [(f.name, f.data) for f in run.files] == [("result", b"tidy\n")]


def test_after_its_grace_it_is_killed(tmp_path: Path) -> None:
    text = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    run = Run(tmp_path, script(text, kill_grace=0.3), wait=False)
    wait_until(lambda: run.out, "the job to be up")
    asked = time.monotonic()

    run.job.ask_to_end()
    wait_until(lambda: run.job.keep_after() == float("inf"), "the kill")
    run.end()

    assert time.monotonic() - asked >= 0.3
    assert run.outcome.signal == 9


def test_a_signal_to_a_job_that_is_gone_is_no_error(tmp_path: Path) -> None:
    run = Run(tmp_path, Task("/bin/true"))

    run.job.ask_to_end()
    run.job.kill()

    assert run.outcome.exit_code == 0


def test_a_worker_killed_with_9_takes_its_job_with_it(tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys, time; from pathlib import Path\n"
            "from thyme.sandbox import Sandbox; from thyme.executor import Execution\n"
            "from thyme.job import Task\n"
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


# --- any message at all ----------------------------------------------------------------------


def work_on(workdir: Path, *tasks: Task) -> list[Message]:
    """What a real worker, with real jobs and a fake broker, says of these tasks."""
    clock = VirtualTime()
    broker = FakeBroker(clock, real_jobs=True)
    for number, task in enumerate(tasks):
        broker.submit("alien_jobs", [encode(submission(task, f"{number}.0"))])
    before = len(broker.stream)
    worker = Worker(
        Settings("alien_jobs", workdir, timeout=5.0, max_jobs=0, user="self"),
        broker.connect, Orders(), clock, time.time, clock.sleep,
    )  # fmt: skip
    assert worker.run() == 0
    assert broker.queues["alien_jobs"] == {}
    assert list(workdir.iterdir()) == []
    return broker.messages()[before:]


def test_a_worker_takes_job_after_job(tmp_path: Path) -> None:
    told = work_on(tmp_path, script("exit 4"), Task("/nope"), script("echo hi; echo x > f"))

    assert [message.kind for message in told] == ["started", "finished"] * 3
    first, second, third = told[1::2]
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert isinstance(third, Finished)
    assert (first.exit_code, first.hold) == (4, None)
    assert (second.exit_code, second.signal) == (None, None)
    assert second.hold is not None
    assert second.hold.code == 6
    assert (third.stdout, third.files[0].data) == (b"hi\n", b"x\n")
    assert third.host.endswith(f"@{socket.gethostname()}")


anything = st.text(st.characters(), max_size=12)
part = anything.filter(lambda t: t not in ("", ".", "..") and "/" not in t and "\0" not in t)
SOME_NAMES = st.sampled_from(["a", "b", "_condor_stdout"])
DOTS = st.sampled_from(["a", ".", "..", "/"])
programs = st.sampled_from(
    [
        (SandboxFile("condor_exec.exe", text, mode),)
        for mode in (0o755, 0o644, 0)
        for text in (
            b"",
            b"#!/bin/sh\ncat; rm -f a b _condor_stdout; exit 9\n",
            b"#!/nope\n",
            b"\x7fELF",
        )
    ]
)
ANY_TASK = st.builds(
    Task,
    executable=st.sampled_from(["condor_exec.exe", "/bin/echo", "nope", ".", "\ud800"]),
    arguments=st.lists(anything, max_size=3).map(tuple),
    environment=st.dictionaries(anything, anything, max_size=3),
    scratch_env=st.lists(anything, max_size=2).map(tuple),
    files=st.builds(
        lambda program, more: program + more,
        programs,
        st.lists(
            st.builds(
                SandboxFile,
                st.lists(part | SOME_NAMES, min_size=1, max_size=3).map("/".join),
                st.binary(max_size=9),
                st.integers(0, 0o777),
            ),
            max_size=3,
        ).map(tuple),
    ),
    stdin=st.sampled_from(["", "a", "b", "nope", "/etc", "a/b", "\ud800"]),
    # jobs really run there: nowhere but in their own scratch
    directory=st.sampled_from(["", "a", "nope", "\0", "\ud800"]),
    output_files=st.none() | st.lists(part | DOTS, max_size=2).map(tuple),
    merge_stderr=st.booleans(),
    max_stream=st.integers(0, 9) | st.just(2**62),
    max_output=st.integers(0, 9) | st.just(2**62),
    kill_signal=st.integers(0, 64),
    kill_grace=st.sampled_from([0.0, 1e299]),
    lease=st.sampled_from([0.0, 1e-300, 1e299]),
)  # fmt: skip


def test_no_message_whatever_makes_a_worker_fail(tmp_path: Path) -> None:
    @given(ANY_TASK)
    @settings(
        max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    def check(task: Task) -> None:
        try:
            encode(submission(task))
        except BadMessage:
            return  # nobody can send it
        told = work_on(tmp_path, task, replace(Task("/bin/true"), merge_stderr=True))
        assert [message.kind for message in told] == ["started", "finished"] * 2
        assert not any(isinstance(message, Evicted) for message in told)

    check()
