"""Slow expressions: what one user may spend on them."""

import pytest

from tests.support.slow_expressions import make_slow
from vobox.classad import cost
from vobox.classad.ad import Ad, ParseError, evaluate
from vobox.classad.cost import (
    MAX_SECONDS,
    PERIOD_SECONDS,
    SLOW_SECONDS,
    EvaluationLimit,
    Stopwatch,
    TooSlow,
)
from vobox.classad.expressions import Evaluator
from vobox.classad.literals import ERROR

ALICE, BOB = 1001, 1002


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_one_user_spends_is_limited_and_no_other_pays_for_it() -> None:
    clock = Clock()
    limit = EvaluationLimit(clock)
    alice, bob = limit.meter(ALICE), limit.meter(BOB)
    for _ in range(4):
        alice(MAX_SECONDS / 4)
    for _ in range(3):
        with pytest.raises(TooSlow, match=r"more than 1 s of CPU within 60 s; simplify them"):
            alice(0.1)
    bob(0.1)
    clock.now = PERIOD_SECONDS + 1
    alice(0.1)


def test_ordinary_evaluations_are_not_counted() -> None:
    meter = EvaluationLimit().meter(ALICE)
    for _ in range(100_000):
        meter(0.0001)


def test_an_evaluator_tells_what_its_evaluations_took() -> None:
    told: list[float] = []
    evaluator = Evaluator(0, charge=told.append)
    assert evaluator.holds(Ad(), make_slow()) is True
    assert len(told) == 1 and told[0] > 0.01


def test_an_evaluation_whose_value_is_no_text_is_counted_too() -> None:
    told: list[float] = []
    half = f'strcat(string({make_slow()}), substr("é", 0, 1))'
    assert Evaluator(0, charge=told.append).value(Ad(), half) is ERROR
    assert len(told) == 1 and told[0] > 0.01
    with pytest.raises(ParseError, match="can't decode"):
        evaluate(half, Ad(), 0)


class FakeTime:
    """The clocks of the ``time`` module: computing moves both, waiting the wall clock alone."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0

    def perf_counter(self) -> float:
        return self._wall

    def thread_time(self) -> float:
        return self._cpu

    def compute(self, seconds: float) -> None:
        self._cpu += seconds
        self._wall += seconds

    def wait(self, seconds: float) -> None:
        self._wall += seconds


def test_only_what_a_block_takes_of_the_cpu_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = FakeTime()
    monkeypatch.setattr(cost, "time", clocks)
    told: list[float] = []
    stopwatch = Stopwatch(told.append)
    for _ in range(3):
        with stopwatch:
            pass
        clocks.compute(2 * SLOW_SECONDS)  # between two blocks
    assert told == []
    with stopwatch:
        clocks.wait(3 * SLOW_SECONDS)  # as while other threads or programs compute
    assert told.pop() == 0.0 and told == []
    with pytest.raises(ZeroDivisionError), stopwatch:
        clocks.compute(3 * SLOW_SECONDS)
        _ = 1 / 0
    assert told == [pytest.approx(3 * SLOW_SECONDS)]


def test_the_limit_ends_a_query() -> None:
    evaluator = Evaluator(0, charge=EvaluationLimit().meter(ALICE))
    with pytest.raises(TooSlow):
        for number in range(10_000):
            evaluator.holds(Ad(), make_slow(str(number)))
