"""How the VO box ends: SIGTERM, its grace, and what does not begin any more."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.fake_supervisor_tasks import FakeBox

RUN = {"CE": "none", "CE_COMMAND": "my-ce --forever"}
DAEMON = {"CE": "none", "CE_START": "up", "CE_STATUS": "see", "CE_STOP": "down"}
PROXY = {**RUN, "X509_USER_PROXY": "/proxy"}
RENEW = {**PROXY, "PROXY_RENEW": "make > $PROXY_OUT"}


@pytest.fixture
def make(tmp_path: Path):
    return lambda **environment: FakeBox(tmp_path, **environment)


def test_sigterm_is_passed_on_and_ends_it_with_0(make) -> None:
    box = make(**RUN)
    box.schedd_answers()
    box.box.stop(signal.SIGTERM, box.clock)
    assert box.tasks.signals == [("ce", signal.SIGTERM)]
    box.turn()
    assert box.code is None
    box.end("ce", 0)
    assert box.code == 0


def test_a_ce_that_does_not_end_within_the_grace_is_killed(make) -> None:
    box = make(**RUN, CE_GRACE="10")
    box.schedd_answers()
    box.box.stop(signal.SIGTERM, box.clock)
    box.wait(9.9)
    assert ("ce", signal.SIGKILL) not in box.tasks.signals
    box.wait(0.1)
    assert ("ce", signal.SIGKILL) in box.tasks.signals
    box.end("ce", -9)
    assert box.code == 0


def test_a_ce_in_the_background_is_stopped_by_its_command(make) -> None:
    box = make(**DAEMON)
    box.schedd_answers()
    box.end("ce-start", 0)
    box.box.stop(signal.SIGTERM, box.clock)
    box.turn()
    assert box.tasks.running == {"ce-stop": "down"}
    box.end("ce-stop", 0)
    assert box.code == 0


def test_a_second_sigterm_does_not_wait(make) -> None:
    box = make(**RUN)
    box.schedd_answers()
    box.box.stop(signal.SIGTERM, box.clock)
    box.box.stop(signal.SIGTERM, box.clock)
    box.turn()
    assert ("ce", signal.SIGKILL) in box.tasks.signals


def test_nothing_is_started_any_more_while_it_stops(make) -> None:
    box = make(**RUN)
    box.turn()
    box.box.stop(signal.SIGTERM, box.clock)
    box.end("schedd", 0)
    assert box.tasks.started == ["schedd"]
    assert box.code == 0
