"""Which lane a job waits in, and in which order lanes are looked at."""

import math

import pytest

from joblanes.order import find_lane, order_lanes

BOUNDS = (600.0, 3600.0, math.inf)


@pytest.mark.parametrize(
    ("length", "lane"),
    [(1.0, 600.0), (600.0, 600.0), (600.5, 3600.0), (3600.0, 3600.0), (3601.0, math.inf)],
)
def test_a_job_waits_in_the_first_lane_that_is_long_enough(length: float, lane: float) -> None:
    assert find_lane(BOUNDS, length) == lane


@pytest.mark.parametrize(
    ("life", "fitting"),
    [
        (599.0, [None]),
        (600.0, [600.0, None]),
        (3599.0, [600.0, None]),
        (1e9, [3600.0, 600.0, None]),
        (math.inf, [math.inf, 3600.0, 600.0, None]),
    ],
)
def test_the_longest_lane_that_fits_comes_first_and_jobs_that_say_nothing_last(
    life: float, fitting: list[float | None]
) -> None:
    assert order_lanes(BOUNDS, life) == fitting


def test_who_may_take_any_job_looks_at_the_shortest_that_does_not_fit_next() -> None:
    assert order_lanes(BOUNDS, 700.0, take_any=True) == [600.0, None, 3600.0, math.inf]
