"""The real schedd: started, ended, killed, and a second one beside it."""

import os
import random
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.few_threads import NO_THREAD, limit_threads, run_with_threads
from tests.support.schedd_parts import logged
from tests.support.schedd_process import ROOT, LiveSchedd
from tests.support.waiting import wait_until
from thyme.errors import ExitCode
from vobox.server.cli import parser

PIDS = Path("/sys/fs/cgroup/pids")
JOBS = """
executable = /bin/sh
arguments = "-c 'echo out $(Process); exit $(Process)'"
output = out.$(Cluster).$(Process)
error = err.$(Cluster).$(Process)
log = log
"""


def test_sigterm_ends_it_with_code_0_and_removes_the_socket(schedd: LiveSchedd) -> None:
    schedd.start()
    assert schedd.socket.is_socket()
    assert schedd.end(signal.SIGTERM) == 0
    assert not schedd.socket.exists()
    assert schedd.said() == "thyme-schedd: ready\n"
    done = schedd.run("condor_q")
    assert done.returncode == 1 and "no thyme-schedd answers" in done.stderr


@pytest.mark.parametrize("threads", [0, 1])
def test_a_host_that_gives_it_no_thread_is_one_line(schedd: LiveSchedd, threads: int) -> None:
    words = ["--spool", str(schedd.spool), "--socket", str(schedd.socket), "--url", schedd.url]
    done = run_with_threads("vobox.server.cli", threads, words)
    assert done.returncode == ExitCode.NODE_UNFIT
    assert done.stderr == f"thyme-schedd: {NO_THREAD}\n"


@pytest.mark.root
@pytest.mark.skipif(not PIDS.is_dir(), reason="no control group for processes")
def test_a_schedd_without_a_thread_tells_its_commands_and_ends_when_it_is_asked(
    schedd: LiveSchedd,
) -> None:
    schedd.start()
    assert schedd.process is not None
    group = PIDS / f"plancton-test-schedd-{schedd.process.pid}"
    limit_threads(group, schedd.process.pid)
    done = schedd.run("condor_q", "-totals")
    assert (done.returncode, done.stderr) == (1, f"thyme-schedd: {NO_THREAD}; try again\n")
    (group / "pids.max").write_text("max")
    assert schedd.run("condor_q", "-totals").returncode == 0
    (group / "pids.max").write_text("1")
    assert schedd.end(signal.SIGTERM) == 0
    assert "Traceback" not in schedd.said()
    group.rmdir()


@pytest.mark.kill
def test_killed_at_any_time_nothing_is_lost_and_nothing_doubled(schedd: LiveSchedd) -> None:
    chance = random.Random(7)
    schedd.start()
    clusters = []
    for turn in range(8):
        clusters.append(schedd.submit(f"{JOBS}queue 4"))
        worker = schedd.worker("--max-jobs", "0", "--timeout", "0.5")
        done = chance.randrange(4)
        wait_until(
            lambda at_least=4 * turn + done: len(logged(schedd.home / "log")) > at_least,
            "the log grows",
        )
        schedd.kill()
        if turn % 3 == 2:
            for path in schedd.spool.iterdir():
                path.unlink()
        schedd.start()
        worker.wait(60)
    schedd.work("--timeout", "5")
    wanted = {f"{cluster}.{proc}": 4 for cluster in clusters for proc in range(4)}
    wait_until(lambda: schedd.states() == wanted, "all completed", state=schedd.states)

    events = logged(schedd.home / "log")
    for job in wanted:
        mine = [event[:3] for event in events if event.endswith(f" {job}")]
        assert mine.count("000") == 1 and mine.count("005") == 1 and mine[0] == "000", (job, mine)
    for cluster in clusters:
        for proc in range(4):
            assert (schedd.home / f"out.{cluster}.{proc}").read_text() == f"out {proc}\n"
    assert clusters == sorted(set(clusters))


def test_a_wiped_spool_loses_nothing_and_uses_no_cluster_id_again(schedd: LiveSchedd) -> None:
    schedd.start()
    first = schedd.submit(f"{JOBS}queue 2")
    schedd.run("condor_hold", f"{first}.1")
    schedd.work()
    schedd.wait_for(j1_0=4, j1_1=5)
    ads = schedd.run("condor_q", "-long").stdout, schedd.run("condor_history", "-long").stdout
    log = (schedd.home / "log").read_bytes()
    schedd.kill()
    for path in schedd.spool.iterdir():
        path.unlink()

    schedd.start()

    again = schedd.run("condor_q", "-long").stdout, schedd.run("condor_history", "-long").stdout
    assert without_time(again) == without_time(ads)
    assert (schedd.home / "log").read_bytes() == log
    assert schedd.submit(f"{JOBS}queue") > first


def without_time(texts: tuple[str, str]) -> list[str]:
    lines = "".join(texts).splitlines()
    return [line for line in lines if not line.startswith("ServerTime")]


# --- two of them --------------------------------------------------------------------------------


def other(schedd: LiveSchedd, **changes: str) -> subprocess.CompletedProcess[str]:
    """Start a second schedd that differs in these options only."""
    # the last one counts
    command = [*schedd.command(), *(f"--{name}={value}" for name, value in changes.items())]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("place", ["spool", "socket"])
def test_a_directory_that_others_may_change_is_refused_with_one_line(
    tmp_path: Path, place: str
) -> None:
    made = LiveSchedd(tmp_path / "site")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    if place == "spool":
        made.spool = shared / "spool"
    else:
        made.socket = shared / "schedd.sock"
    done = subprocess.run(made.command(), cwd=ROOT, env=made.environment, capture_output=True)
    assert done.returncode == 5
    assert done.stderr.decode().endswith(
        f"{shared} is writable by others (mode 0777), so another user could change it\n"
    )
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("name", ["lock", "ledger.db"])
def test_a_pipe_in_the_place_of_a_file_is_refused_with_one_line(
    schedd: LiveSchedd, name: str
) -> None:
    schedd.spool.mkdir(mode=0o700)
    os.mkfifo(schedd.spool / name)
    done = other(schedd)
    assert done.returncode == ExitCode.NODE_UNFIT
    assert name in done.stderr
    assert "is not a regular file; remove it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_second_schedd_is_refused_with_one_line(schedd: LiveSchedd, tmp_path: Path) -> None:
    schedd.start()
    new_spool, new_socket = str(tmp_path / "spool2"), str(tmp_path / "s2.sock")

    same_spool = other(schedd, socket=new_socket, name="vobox2")
    assert same_spool.returncode == ExitCode.NODE_UNFIT
    assert same_spool.stderr == (
        f"thyme-schedd: spool {schedd.spool}: another schedd is using it\n"
    )
    same_socket = other(schedd, spool=new_spool, name="vobox2")
    assert same_socket.returncode == ExitCode.NODE_UNFIT
    assert same_socket.stderr == (
        f"thyme-schedd: socket {schedd.socket}: another schedd is serving there\n"
    )
    same_name = other(schedd, spool=new_spool, socket=new_socket)
    assert same_name.returncode == ExitCode.BROKER
    assert same_name.stderr.count("\n") == 1
    assert "already answers as 'thyme.schedd.vobox1.example.org'" in same_name.stderr

    assert schedd.run("condor_q").returncode == 0


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"url": "http://x"}, 6, "unknown scheme 'http'"),
        ({"url": "sqlite:////nope/at/all/broker.db"}, 4, "/nope/at/all"),
        ({"spool": "/proc/nope"}, 5, "spool /proc/nope"),
        ({"socket": "/proc/nope/s.sock"}, 5, "socket /proc/nope/s.sock"),
        ({"lease": "0"}, 6, "argument --lease: invalid number of seconds value: '0'"),
        (
            {"site": "a b"},
            6,
            "argument --site: invalid site (at most 64 letters, digits, . _ -) value: 'a b'",
        ),
        ({"name": "a b"}, 6, "argument --name: invalid name (no blanks, no #) value: 'a b'"),
        ({"name": ""}, 6, "argument --name"),
    ],
)
def test_a_bad_invocation_is_one_line_and_its_exit_code(
    schedd: LiveSchedd, options: dict[str, str], code: int, text: str
) -> None:
    done = other(schedd, **options)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("thyme-schedd: ") and text in done.stderr


def test_the_reference_names_every_option_and_no_other() -> None:
    text = (ROOT / "docs/reference/schedd.md").read_text()
    described = set(re.findall(r"^\| `(--[a-z-]+)`", text, re.MULTILINE))
    known = {o for action in parser()._actions for o in action.option_strings if o[:2] == "--"}
    assert described == known - {"--help", "--version"}
