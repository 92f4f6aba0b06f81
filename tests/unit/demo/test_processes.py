"""The demo's processes and directories: which are its own."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from demo import cli
from demo.errors import BadUse, Busy
from demo.layout import SOCKET_PATH, claim_directory
from demo.processes import MARK, Process, group_by_pilot, is_marked, kill_all, parse_stat
from demo.site import make_environment
from demo.watch import busy_ticks

ROOT = Path("/site/build/demo")


@pytest.mark.parametrize(
    ("environment", "command", "ours"),
    [
        ({"PLANCTON_DEMO": "/site/build/demo"}, "", True),
        ({"PLANCTON_DEMO": "/site/build/demo2"}, "", False),
        ({"_CONDOR_SCRATCH_DIR": "/site/build/demo/scratch/p/job"}, "", True),
        ({"_CONDOR_SCRATCH_DIR": "/site/build/demo2/scratch/p/job"}, "", False),
        ({"PWD": "/site/build/demo"}, "less /site/build/demo/ledger", False),
        ({"PLANCTON_PILOT": "p"}, "shim.py /site/build/demo/scratch/p", True),
        ({"PLANCTON_PILOT": "p"}, "shim.py /site/build/demo2/scratch/p", False),
        ({}, "", False),
    ],
)
def test_only_marked_processes_are_the_demos(environment, command, ours):
    assert is_marked(environment, command.split(), ROOT) is ours


def test_a_stat_line_is_read_past_a_name_with_parentheses():
    line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 50 20 5 1 20 0 1 0 987 1 2 3\n"

    assert parse_stat(line) == (3, 76, 987)


@pytest.mark.root
def test_a_killed_process_of_a_pilot_gets_the_cpu_that_its_end_takes(tmp_path):
    """On a machine that others use it would have none, and not end for minutes."""

    def come_last():
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    with subprocess.Popen(
        ["sleep", "600"], env={**os.environ, MARK: str(tmp_path)}, preexec_fn=come_last
    ) as pilot:
        assert kill_all(tmp_path) == []

        # not waited for yet: what it had at its end can be read
        assert os.sched_getscheduler(pilot.pid) == os.SCHED_OTHER
        assert pilot.wait() == -signal.SIGKILL


def test_an_interrupted_demo_that_leaves_a_process_says_so(tmp_path, monkeypatch, capsys):
    class LastingSite:
        def __init__(self, _layout):
            pass

        def tear_down(self):
            return [process(4711, 1)]

    monkeypatch.setattr(cli, "Site", LastingSite)
    monkeypatch.setattr(cli.Demo, "play", lambda _demo: os.kill(os.getpid(), signal.SIGTERM))
    handlers = {number: signal.getsignal(number) for number in cli._SIGNALS}
    try:
        assert cli.main(["--dir", str(tmp_path)]) == 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    assert capsys.readouterr().err == "demo: cannot end these processes: 4711\n"


def process(pid: int, parent: int, pilot: str = "") -> Process:
    return Process(pid, parent, pid, 0, {"PLANCTON_PILOT": pilot} if pilot else {}, "")


def test_a_pilot_is_its_main_process_and_all_below_it():
    found = [
        process(12, 11),
        process(10, 1, "p1"),
        process(11, 10, "p1"),
        process(20, 1, "p2"),
        process(30, 1),
    ]

    groups = group_by_pilot(found)

    assert {pid: [member.pid for member in group] for pid, (_, group) in groups.items()} == {
        10: [10, 11, 12],
        20: [20],
    }


def test_busy_ticks_are_all_but_idle_and_waiting():
    assert busy_ticks("cpu  10 1 5 1000 200 2 3 4 99 0\ncpu0 1 1\n") == 25


def test_a_demos_programs_inherit_no_other_sites_settings(tmp_path):
    with claim_directory(tmp_path / "demo") as layout:
        clean = make_environment(
            {"PATH": "/bin", "THYME_URL": "amqp://x", "_CONDOR_SCRATCH_DIR": "/x", "LANG": "C"},
            layout,
        )

    assert "THYME_URL" not in clean
    assert "_CONDOR_SCRATCH_DIR" not in clean
    assert clean["LANG"] == "C"
    assert clean["PATH"].endswith(":/bin")
    assert clean["PLANCTON_DEMO"] == str(tmp_path / "demo")


def test_a_directory_has_one_demo_at_a_time(tmp_path):
    with claim_directory(tmp_path / "demo") as layout:
        (layout.ce / "precious").touch()
        with (
            pytest.raises(Busy, match=r"another demo runs in .* name another directory"),
            claim_directory(tmp_path / "demo"),
        ):
            pass
        assert (layout.ce / "precious").exists()

    with claim_directory(tmp_path / "demo") as layout:
        assert not (layout.ce / "precious").exists()


def test_a_directory_that_no_demo_made_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(BadUse, match="holds files that no demo made"), claim_directory(tmp_path):
        pass

    assert (tmp_path / "thesis.tex").exists()


def test_a_directory_that_cannot_be_made_is_named():
    with pytest.raises(BadUse, match="cannot use /proc/x"), claim_directory(Path("/proc/x")):
        pass


def test_a_deep_directory_gets_its_socket_where_the_path_is_short(tmp_path):
    deep = tmp_path / ("d" * 100)

    with claim_directory(deep) as layout:
        short = layout.socket
        assert len(str(short)) <= SOCKET_PATH
        assert short.parent.is_dir()

    assert not short.parent.exists()
    with (
        tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp") as root,
        claim_directory(Path(root)) as layout,
    ):
        assert layout.socket.parent == layout.root
