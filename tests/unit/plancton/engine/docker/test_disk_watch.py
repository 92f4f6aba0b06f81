"""How much disk containers fill is asked beside the loop, and seldom."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from plancton.engine.docker.disk_watch import DiskWatch
from plancton.errors import EngineUnavailable
from tests.support.fake_node import FakeClock
from tests.support.waiting import wait_until


class Sizes:
    """An engine that takes ``takes`` seconds of the clock to answer."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.takes, self.asked = clock, 0.0, 0
        self.sizes: Mapping[str, int] = {"a": 1}
        self.fails = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    def read(self) -> Mapping[str, int]:
        self.asked += 1
        self.may_answer.wait(30)
        self.clock.advance(self.takes)
        if self.fails:
            raise EngineUnavailable("no answer in time")
        return self.sizes


@pytest.fixture
def sizes() -> Sizes:
    return Sizes(FakeClock())


@pytest.fixture
def watch(sizes: Sizes) -> DiskWatch:
    return DiskWatch(sizes.read, sizes.clock.now)


def look(watch: DiskWatch) -> None:
    watch.look()
    watch.close()


def test_what_was_not_looked_at_is_not_known(watch: DiskWatch) -> None:
    assert watch.find("a") is None
    look(watch)
    assert (watch.find("a"), watch.find("b")) == (1, None)


def test_it_is_asked_every_20_seconds_at_most(watch: DiskWatch, sizes: Sizes) -> None:
    for asked in (1, 2):
        look(watch)
        sizes.clock.advance(19.0)
        look(watch)
        assert sizes.asked == asked
        sizes.clock.advance(1.0)


def test_an_engine_that_takes_long_is_asked_less_often(watch: DiskWatch, sizes: Sizes) -> None:
    sizes.takes = 2.0
    look(watch)
    sizes.clock.advance(99.0)
    look(watch)
    assert sizes.asked == 1
    sizes.clock.advance(1.0)
    look(watch)
    assert sizes.asked == 2


def test_the_loop_never_waits_and_asks_once(watch: DiskWatch, sizes: Sizes) -> None:
    sizes.may_answer.clear()
    watch.look()
    wait_until(lambda: sizes.asked, "the question")
    watch.look()
    assert watch.find("a") is None
    sizes.may_answer.set()
    wait_until(lambda: watch.find("a") == 1, "the answer")
    assert sizes.asked == 1


def test_an_engine_that_does_not_answer_makes_it_unknown(
    watch: DiskWatch, sizes: Sizes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "plancton")
    look(watch)
    sizes.fails = True
    sizes.clock.advance(20.0)
    look(watch)
    assert watch.find("a") is None
    assert caplog.messages == ["how much disk the pilots use is not known: no answer in time"]
