"""How much disk containers fill is asked beside the loop, and seldom; unknown is counted."""

import threading

import pytest

from plancton.engine.docker.disk_watch import DiskWatch
from plancton.errors import EngineError, EngineUnavailable, NotThere
from plancton.model import DiskUse
from tests.support.fake_node import FakeClock
from tests.support.few_threads import refuse_threads
from tests.support.waiting import wait_until


class Sizes:
    """An engine that takes ``takes`` seconds of the clock to answer."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.takes, self.asked = clock, 0.0, 0
        self.sizes: dict[str, int | EngineError | None] = {"a": 1}
        self.may_answer = threading.Event()
        self.may_answer.set()

    def read(self, container: str) -> int | None:
        self.asked += 1
        self.may_answer.wait(30)
        self.clock.advance(self.takes)
        answer = self.sizes[container]
        if isinstance(answer, EngineError):
            raise answer
        return answer


@pytest.fixture
def sizes() -> Sizes:
    return Sizes(FakeClock())


@pytest.fixture
def watch(sizes: Sizes) -> DiskWatch:
    return DiskWatch(sizes.read, sizes.clock.now)


def look(watch: DiskWatch, *containers: str) -> None:
    watch.look(containers or ("a",))
    watch.close()


def test_what_was_not_looked_at_is_not_known(watch: DiskWatch) -> None:
    assert watch.find("a") == DiskUse(None)
    look(watch)
    assert (watch.find("a"), watch.find("b")) == (DiskUse(1), DiskUse(None))


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


def test_a_look_without_a_thread_is_repeated_at_once(
    watch: DiskWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        look(watch)
    assert watch.find("a") == DiskUse(None)
    look(watch)
    assert watch.find("a") == DiskUse(1)


def test_the_loop_never_waits_and_asks_once(watch: DiskWatch, sizes: Sizes) -> None:
    sizes.may_answer.clear()
    watch.look(["a"])
    wait_until(lambda: sizes.asked, "the question")
    watch.look(["a"])
    assert watch.find("a") == DiskUse(None)
    sizes.may_answer.set()
    wait_until(lambda: watch.find("a") == DiskUse(1), "the answer")
    assert sizes.asked == 1


def test_one_that_cannot_be_measured_is_counted_and_asked_again_soon(
    watch: DiskWatch, sizes: Sizes
) -> None:
    sizes.takes = 60.0
    sizes.sizes = {"many": None, "gone": NotThere("gone"), "a": 1}
    for failures in (1, 2, 3):
        look(watch, *sizes.sizes)
        assert watch.find("many") == DiskUse(None, failures)
        assert (watch.find("a"), watch.find("gone")) == (DiskUse(1), DiskUse(None))
        sizes.clock.advance(5.0)
    sizes.sizes["many"] = 7
    look(watch, "many")
    assert watch.find("many") == DiskUse(7)


def test_an_engine_that_does_not_answer_makes_it_unknown_and_blames_nobody(
    watch: DiskWatch, sizes: Sizes, caplog: pytest.LogCaptureFixture
) -> None:
    sizes.sizes["many"] = None
    look(watch, "many", "a")
    sizes.clock.advance(20.0)
    sizes.sizes["many"] = EngineUnavailable("no answer in time")
    look(watch, "many", "a")
    assert (watch.find("many"), watch.find("a")) == (DiskUse(None, 1), DiskUse(None))
    assert caplog.messages == ["how much disk the pilots use is not known: no answer in time"]
