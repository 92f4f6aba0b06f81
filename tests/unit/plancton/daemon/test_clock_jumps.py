"""Jumps of the wall clock: only the windows follow them."""

import errno
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from plancton.cli.document import read_current
from plancton.cli.health import find_problem
from plancton.model import Trigger
from plancton.paths import Paths
from tests.support.fake_node import IDLE, FakeNode

YEAR = 365 * 86400.0


@pytest.mark.parametrize("jump", [YEAR, -YEAR, 3600.0, -3600.0])
def test_a_jump_starts_and_stops_nothing(tmp_path: Path, jump: float) -> None:
    node = FakeNode(tmp_path, max_ttl=1000.0, grace_kill=120.0)
    node.loop.run_pass(Trigger.TIMER)
    node.sensors.the_load = replace(IDLE, busy_cpus=8.0)
    for _ in range(5):
        node.clock.advance(10)
        node.loop.run_pass(Trigger.TIMER)
    node.engine.changes()
    node.clock.ahead += jump
    node.clock.advance(10)
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == [], "neither too old nor over capacity for long enough"


def test_a_jump_neither_ends_nor_prolongs_a_back_off(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, docker_cmd=("exit", "3"), no_work_backoff=10.0)
    node.loop.run_pass(Trigger.TIMER)
    node.loop.run_pass(Trigger.EVENT)
    node.engine.changes()
    node.clock.ahead += YEAR
    node.loop.run_pass(Trigger.TIMER)
    assert "start" not in node.engine.changes()
    node.clock.ahead -= 2 * YEAR
    node.clock.advance(10)
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes().count("start") == 1


def test_the_windows_follow_the_clock(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, windows=("2023-11-14 - 2023-11-15",), timezone="UTC", window_grace=0)
    node.clock.ahead = 1.7e9  # 2023-11-14 22:13 UTC
    node.loop.run_pass(Trigger.TIMER)
    assert len(node.engine.running()) == 4
    node.clock.ahead += 7 * 86400
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.running() == []


def test_a_daemon_is_as_old_as_it_was_before_the_jump(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    look = node.loop.run_pass(Trigger.TIMER)
    for jump in (0.0, YEAR, -YEAR):
        document = node.build_document(look, ahead=jump)
        age = document["written"] - document["daemon"]["started"]
        assert age == pytest.approx(node.clock.now(), abs=1e-3)


def test_health_is_measured_with_the_clock_that_does_not_jump(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    look = node.loop.run_pass(Trigger.TIMER)
    document = node.build_document(look, ahead=YEAR)
    paths = Paths.choose(rundir=str(tmp_path))
    assert find_problem(7, document, paths, node.clock.now() + 30) == ""
    assert find_problem(7, document, paths, node.clock.now() + 91) == (
        "the daemon hangs: its last look at the node was 91 s ago"
    )
    assert find_problem(8, document, paths, node.clock.now()) == (
        "the daemon has not looked at the node yet"
    )
    assert find_problem(None, document, paths, node.clock.now()) == "the daemon does not run"
    document["engine"]["problem"] = "refused"
    assert (
        find_problem(7, document, paths, node.clock.now()) == "the engine does not answer: refused"
    )


def test_a_daemon_that_cannot_write_is_told_from_one_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk of the run directory is full; the status says that it is old, too."""
    node = FakeNode(tmp_path)
    document = node.build_document(node.loop.run_pass(Trigger.TIMER))
    paths = Paths.choose(rundir=str(tmp_path / "run"))
    why = f"{paths.rundir}: cannot be written: No such file or directory"
    now = node.clock.now() + 91
    assert find_problem(7, document, paths, now) == f"the daemon could tell nothing for 91 s: {why}"

    monkeypatch.setattr("plancton.cli.document.running_pid", lambda _paths: 7)
    monkeypatch.setattr("plancton.cli.document.read_document", lambda _paths: document)
    monkeypatch.setattr("plancton.cli.document.time.monotonic", lambda: now)
    summary = document["summary"]
    told = read_current(paths, document["written"] + 91)["summary"]
    assert told == f"This is old: the daemon could tell nothing for 91 s: {why}. {summary}"


def test_what_the_caller_may_not_write_says_nothing_of_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = FakeNode(tmp_path)
    document = node.build_document(node.loop.run_pass(Trigger.TIMER))

    def refuse(**_named: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # root may write everywhere
    assert find_problem(7, document, Paths.choose(rundir="/nowhere"), node.clock.now() + 91) == (
        "the daemon hangs: its last look at the node was 91 s ago"
    )
