"""What a restarted daemon still knows of failing pilots and of missing work."""

import logging
import os
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.daemon import backoff_store
from plancton.model import Breaker, Expectation, History, NoWork, ToldPilot, Trigger
from tests.support.fake_node import FakeNode

LEARNED = History(
    owner_cpus=3.0,
    owner_at=900.0,
    over_since=950.0,
    last_eviction=980.0,
    no_work=NoWork(level=2, next_probe=1020.0, patience=3.5),
    breaker=Breaker(failures=4, level=2, next_probe=1060.0, patience=0.3, reason="no disk"),
    judged=frozenset({"a", "b"}),
    pilot_config="0123456789ab",
    pilot_image="sha256:1",
    forgotten_at=700.0,
    told=(
        ToldPilot("a", Expectation(7200.0, "max_ttl", 7200.0), 1.7e9, "memory is short"),
        ToldPilot("b", Expectation(60.0, "until the node closes"), 1.7e9),
        ToldPilot("c"),
    ),
    told_end=1.7e9,
    withdrawn_end=1.6e9,
)
CONFIG = Config(no_work_backoff_max=300.0, breaker_backoff_max=1800.0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the file with what was learned at the boot ``boot-1``."""
    file = tmp_path / "history.json"
    backoff_store.save(file, LEARNED, "boot-1")
    return file


def test_back_offs_are_known_again_and_the_owner_s_load_is_not(saved: Path) -> None:
    found = backoff_store.load(saved, CONFIG, 1000.0, "boot-1")
    assert found == backoff_store.select_kept(LEARNED)
    assert (found.owner_cpus, found.over_since) == (None, None)
    assert found.breaker == LEARNED.breaker


def test_after_a_restart_of_the_node_nothing_is_known(saved: Path) -> None:
    assert backoff_store.load(saved, CONFIG, 10.0, "boot-2") == History()


def test_no_wait_is_longer_than_the_configuration_of_today_allows(saved: Path) -> None:
    short = Config(no_work_backoff_max=5.0, breaker_backoff_max=7.0)
    found = backoff_store.load(saved, short, 1000.0, "boot-1")
    assert (found.no_work.next_probe, found.breaker.next_probe) == (1005.0, 1007.0)


def test_a_pause_that_seems_to_begin_in_the_future_begins_now(saved: Path) -> None:
    assert backoff_store.load(saved, CONFIG, 500.0, "boot-1").last_eviction == 500.0


def test_without_a_file_nothing_is_known_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert backoff_store.load(tmp_path / "history.json", CONFIG, 1000.0, "b") == History()
    assert caplog.text == ""


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"version": 1, "boot": "b", "last_eviction": "x"}', "[" * 100_000],
)
def test_a_damaged_file_is_reported_and_not_believed(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "history.json"
    file.write_text(damage)
    with caplog.at_level(logging.WARNING, "plancton"):
        assert backoff_store.load(file, CONFIG, 1000.0, "b") == History()
    assert "cannot be used, back-offs begin again" in caplog.text


def test_a_pipe_instead_of_the_file_is_reported_and_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "history.json"
    os.mkfifo(file)
    os.mkfifo(tmp_path / "history.json.new")
    assert backoff_store.load(file, CONFIG, 1000.0, "b") == History()
    assert "is not a regular file; remove it" in caplog.text
    with pytest.raises(OSError, match="is not a regular file; remove it"):
        backoff_store.save(file, History(), "b")


def fail(rundir: Path) -> tuple[FakeNode, History]:
    """Return a node whose pilots have just opened the breaker, and what it remembers of them."""
    node = FakeNode(rundir, docker_cmd=("exit", "4"))
    kept: list[History] = []
    node.loop._remember = kept.append
    node.loop.run_pass(Trigger.TIMER)
    node.loop.run_pass(Trigger.EVENT)
    assert kept[-1].breaker.level == 1
    return node, kept[-1]


def test_a_new_loop_goes_on_waiting_where_the_one_before_did(tmp_path: Path) -> None:
    node, failed = fail(tmp_path)
    again = FakeNode(tmp_path, docker_cmd=("exit", "4"))
    again.clock.time = node.clock.time + 5
    again.loop._history = failed
    again.loop.run_pass(Trigger.TIMER)
    assert again.engine.changes() == [], "an upgrade is no reason to try a full node again"
    again.clock.advance(30)
    again.loop.run_pass(Trigger.TIMER)
    assert again.engine.changes().count("start") == 1


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    kept: list[History] = []
    node.loop._remember = kept.append
    for _ in range(5):
        node.loop.run_pass(Trigger.TIMER)
        node.clock.advance(30)
    assert len(kept) == 1, "the kind of pilot, by the first pass, and no more"


def test_a_repair_while_no_daemon_ran_is_tried_at_once(tmp_path: Path) -> None:
    node, failed = fail(tmp_path)
    file = tmp_path / "history.json"
    backoff_store.save(file, failed, "boot-1")
    repaired = FakeNode(tmp_path, docker_cmd=("sleep",))
    repaired.clock.time = node.clock.time + 5
    repaired.loop._history = backoff_store.load(file, repaired.config, node.clock.time, "boot-1")
    repaired.loop.run_pass(Trigger.TIMER)
    assert repaired.engine.changes() == ["start"] * 4
