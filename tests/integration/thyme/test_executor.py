"""Real jobs in real scratch directories: what they see, what they use, how they end."""

import signal
import sys
from pathlib import Path

import pytest

from tests.support.run_job import Run, script
from tests.support.waiting import wait_until
from thyme.protocol.events import Usage
from thyme.protocol.job import SandboxFile, Task
from thyme.worker import processes

# what a test starts ends with it, as with the worker: see conftest.py
pytestmark = pytest.mark.own_process


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
        "APPTAINER_CACHEDIR": scratch,
        "SINGULARITY_CACHEDIR": scratch,
        "_CONDOR_SCRATCH_DIR": scratch,
        "_CONDOR_JOB_AD": f"{scratch}/.job.ad",
        "_CONDOR_MACHINE_AD": f"{scratch}/.machine.ad",
        "_CONDOR_JOB_PIDS": "",
        "_CONDOR_JOB_IWD": scratch,
        "_CONDOR_SLOT": "slot1_7",
    }


def test_a_job_learns_from_its_worker_how_long_it_may_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFEATURES", "/plancton-pilot/jobfeatures")
    monkeypatch.setenv("MACHINEFEATURES", "/plancton-pilot/machinefeatures")
    monkeypatch.setenv("THYME_URL", "amqp://secret")

    run = Run(tmp_path, Task("/usr/bin/env", arguments=("-0",), environment={"JOBFEATURES": "/x"}))

    seen = dict(line.split("=", 1) for line in run.stdout.decode().split("\0") if line)
    assert seen["MACHINEFEATURES"] == "/plancton-pilot/machinefeatures"
    assert seen["JOBFEATURES"] == "/x", "what the job asks for wins"
    assert "PLANCTON_LIFE" not in seen
    assert "THYME_URL" not in seen


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
        return run.job.get_usage()

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
        return run.job.get_usage()

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
    for pid in processes.list_descendants():
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

    run.job.request_end()
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
    # the C library keeps 32 and 33 for itself: our parent may ignore these
    changeable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert int(ignored, 16) & changeable == 0


def test_the_kernel_takes_every_process_of_a_job_before_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # also one that the job starts before the worker runs again
    start = processes.start_process

    def start_slowly(*arguments: object) -> object:
        process = start(*arguments)  # type: ignore[arg-type]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(children.read_text, "a child of the job")
        return process

    monkeypatch.setattr(processes, "start_process", start_slowly)
    run = Run(tmp_path, script("sleep 600 & wait"), wait=False)

    files = [Path(f"/proc/{pid}/oom_score_adj") for pid in processes.list_descendants()]
    assert [file.read_text() for file in files] == ["1000\n"] * 2
    run.job.kill()
    run.end()
