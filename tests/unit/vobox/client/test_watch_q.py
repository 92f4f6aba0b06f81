"""condor_watch_q: its table, and when it ends, on logs that are there or grow."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.support.schedd_process import thin
from tests.support.waiting import wait_until
from tests.unit.vobox.client.log_texts import aborted, executing, submitted, terminated
from thyme.protocol.job import JobId
from vobox.client import watch_q

JOBS = [JobId(38, proc) for proc in range(3)]
OTHER = JobId(40, 0)


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*thin("condor_watch_q"), *map(str, words)], capture_output=True, text=True, timeout=60,
        check=False, env=environment,
    )  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text(
        submitted(*JOBS, OTHER) + executing(JOBS[0]) + terminated(JOBS[0]) + executing(JOBS[1])
    )
    return path


def test_the_table_counts_a_cluster_a_line(log: Path) -> None:
    done = run("-files", log, "-exit", "any,running,7")

    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.splitlines()[:5] == [
        "BATCH      IDLE     RUN    DONE  TOTAL  JOB_IDS",
        "ID: 38        1       1       1      3  38.0 ... 38.2",
        "ID: 40        1       -       -      1  40.0",
        "",
        "Total: 4 jobs; 2 idle, 1 running, 1 completed",
    ]


def test_held_and_removed_jobs_have_columns_of_their_own_when_there_are_some() -> None:
    states = {(1, 0): watch_q.HELD, (1, 1): watch_q.REMOVED, (2, 0): watch_q.DONE}
    assert watch_q.format_table(states, False, 12).splitlines() == [
        "BATCH     IDLE     RUN    DONE    HELD REMOVED  TOTAL  JOB_IDS",
        "ID: 1        -       -       -       1       1      2  1.0 ... 1.1",
        "ID: 2        -       -       1       -       -      1  2.0",
        "",
        "[########!!!!]",
        "",
        "Total: 3 jobs; 1 completed, 1 held, 1 removed",
    ]


def test_it_ends_when_all_jobs_have_left_the_queue(log: Path) -> None:
    with subprocess.Popen(
        [*thin("condor_watch_q"), "-files", str(log)], stdout=subprocess.PIPE, text=True, env={}
    ) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("BATCH")
        with open(log, "a") as file:
            file.write(terminated(JOBS[1]) + aborted(JOBS[2]) + executing(OTHER))
        running = "Total: 4 jobs; 1 running, 2 completed, 1 removed"
        assert any(running in line for line in watching.stdout)
        with open(log, "a") as file:
            file.write(terminated(OTHER))
        assert "Total: 4 jobs; 3 completed, 1 removed" in watching.stdout.read()
        assert watching.wait(60) == 0


def test_clusters_that_are_not_asked_for_are_not_counted(log: Path) -> None:
    with open(log, "a") as file:
        file.write(executing(OTHER) + terminated(OTHER))
    done = run("-files", log, "-clusters", "40")
    assert done.returncode == 0
    assert "Total: 1 job; 1 completed" in done.stdout


@pytest.mark.parametrize(
    ("condition", "code"),
    [("any,idle,5", 5), ("none,held", 0), ("all,active,0", None), ("none,removed,9", 9)],
)
def test_conditions_end_it_with_their_code(log: Path, condition: str, code: int | None) -> None:
    words = ["-files", str(log), "-exit", condition]
    if code is None:
        # not met: one job has ended; the next condition is looked at
        words += ["-exit", "any,done,4"]
        code = 4
    assert run(*words).returncode == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-files", "/nonexistent/log"], "Couldn't open /nonexistent/log: No such file"),
        (["-exit", "some,idle"], "-exit some,idle: give WHEN,STATE[,CODE], e.g. any,held,1\n"),
        (["-exit", "all,idle,900"], "-exit all,idle,900: give WHEN"),
        (["-exit", "all,idle,²"], "-exit all,idle,²: give WHEN"),
        (["-clusters", "x"], "-clusters: x is no number"),
        (["-clusters", "²"], "-clusters: ² is no number"),
        (["-clusters", "9" * 5000], "-clusters: 9999"),
        (["-files", *["log"] * 201], "201 user logs: name at most 200 with -files\n"),
        (["-batches", "x"], "Unrecognized option: -batches\nUsage: condor_watch_q"),
    ],
)
def test_a_wrong_command_line_is_refused(words: list[str], said: str) -> None:
    done = run(*words)
    # as HTCondor's, where the words themselves are wrong
    assert done.returncode == (1 if words[0] == "-files" else 2)
    assert done.stderr.startswith(said)


def test_the_totals_and_the_time_can_be_left_out(log: Path) -> None:
    done = run("-files", log, "-no-summary", "-no-updated-at", "-exit", "any,done")
    assert done.returncode == 0
    assert "JOB_IDS\n" in done.stdout
    assert "Total:" not in done.stdout and "Updated at" not in done.stdout
    assert "Total:" in run("-files", log, "-exit", "any,done").stdout


def test_a_file_that_is_no_log_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no event\n...\n")
    done = run("-files", tmp_path / "x")
    assert done.returncode == 1
    assert done.stderr == f"Couldn't read {tmp_path}/x: line 1 begins no event\n"


def fake_condor_q(directory: Path, script: str) -> str:
    program = directory / "condor_q"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def test_without_files_condor_q_tells_the_logs_and_the_clusters(tmp_path: Path, log: Path) -> None:
    with open(log, "a") as file:
        file.write(terminated(OTHER))
    # a log may hold older clusters, which are not in the queue any more
    path = fake_condor_q(tmp_path, f'[ "$*" = "-af ClusterId UserLog" ] && echo "40 {log}"')
    done = run(PATH=path)
    assert done.returncode == 0
    assert "Total: 1 job; 1 completed" in done.stdout


def test_without_jobs_there_is_nothing_to_watch(tmp_path: Path) -> None:
    done = run(PATH=fake_condor_q(tmp_path, "echo 7 undefined"))
    assert done.returncode == 0
    assert done.stderr == "No jobs with a user log are in the queue: nothing to watch\n"


def test_a_schedd_that_does_not_answer_is_said_by_condor_q(tmp_path: Path) -> None:
    done = run(PATH=fake_condor_q(tmp_path, "echo no schedd >&2; exit 1"))
    assert (done.returncode, done.stderr) == (1, "no schedd\n")


def test_a_condor_q_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = run(PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "condor_q cannot be run: No such file or directory\n"


def test_on_a_terminal_the_table_is_drawn_again_in_its_place(log: Path) -> None:
    main, terminal = pty.openpty()
    watching = subprocess.Popen(
        [*thin("condor_watch_q"), "-files", str(log)], stdout=terminal, env={"TERM": "xterm"}
    )
    os.close(terminal)
    shown = b""

    def read_until(text: bytes) -> bool:
        nonlocal shown
        shown += os.read(main, 4096)
        return text in shown

    wait_until(lambda: read_until(b"Updated at"), "the first table")
    first, shown = shown, b""
    with open(log, "a") as file:
        file.write("".join(terminated(job) for job in (JOBS[1], JOBS[2], OTHER)))
    wait_until(lambda: read_until(b"Updated at"), "the second table")
    assert watching.wait(60) == 0
    os.close(main)
    assert b"\x1b[32m" in first and b"[" in first, "colours and a bar"
    assert shown.startswith(b"\x1b[%dA\x1b[J" % first.count(b"\n"))
