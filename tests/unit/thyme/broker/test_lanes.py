"""The lanes of a pool: how a site writes them, and how their queues are called."""

import math

import pytest

from thyme.broker.lanes import (
    check_pool,
    format_bounds,
    get_pool,
    list_queues,
    parse_bounds,
    read_bounds,
)
from thyme.broker.users import may_report
from thyme.errors import BadInvocation


def test_lanes_are_written_in_seconds_minutes_hours_or_days() -> None:
    assert parse_bounds("90, 10m,1h ,2d") == (90.0, 600.0, 3600.0, 172800.0, math.inf)
    assert format_bounds(parse_bounds("90s,1h30min")) == "90,5400"


def test_nothing_is_no_lane() -> None:
    assert parse_bounds(" ") == parse_bounds("") == ()
    assert list_queues("alien_jobs", ()) == ["alien_jobs"]


def test_an_option_counts_before_the_environment() -> None:
    environment = {"THYME_LANES": "1h"}
    assert read_bounds(None, environment) == (3600.0, math.inf)
    assert read_bounds("2h", environment) == (7200.0, math.inf)
    assert read_bounds("", environment) == read_bounds(None, {}) == ()


def test_each_lane_has_a_queue_named_after_its_pool() -> None:
    assert list_queues("alien_jobs", parse_bounds("10m,1h")) == [
        "alien_jobs",
        "alien_jobs.lane.600",
        "alien_jobs.lane.3600",
        "alien_jobs.lane.long",
        "alien_jobs.lane.overdue",
    ]


def test_a_lanes_queue_belongs_to_its_pool() -> None:
    assert {get_pool(queue) for queue in list_queues("a.b", parse_bounds("1h"))} == {"a.b"}
    assert may_report("worker-gpu", "gpu.lane.600")
    assert not may_report("worker-gpu", "gpu2.lane.600")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1h,10m", "lanes '1h,10m': each has to be longer than the one before"),
        ("1h,60m", "lanes '1h,60m': each has to be longer than the one before"),
        (
            "1.5s",
            "lane '1.5s': write whole seconds, or a time with a unit as 10m, 1h, 2d; at most 366d",
        ),
        (
            "0",
            "lane '0': write whole seconds, or a time with a unit as 10m, 1h, 2d; at most 366d",
        ),
        (
            "367d",
            "lane '367d': write whole seconds, or a time with a unit as 10m, 1h, 2d; at most 366d",
        ),
        (",".join(map(str, range(1, 22))), "lanes: 21 of them; at most 20"),
    ],
)
def test_wrong_lanes_are_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(BadInvocation) as caught:
        parse_bounds(text)
    assert str(caught.value) == says


@pytest.mark.parametrize("name", ["", "a\nb", "q" * 256])
def test_the_name_of_a_pool_is_bounded(name: str) -> None:
    with pytest.raises(BadInvocation, match=r"give 1 to 255 printable characters"):
        check_pool(name)


def test_no_pool_is_named_like_a_lane() -> None:
    assert check_pool("lane.600") == "lane.600"
    with pytest.raises(BadInvocation) as caught:
        check_pool("gpu.lane.600")
    assert str(caught.value) == (
        "pool 'gpu.lane.600': '.lane.' in a name is that of a lane; name the pool, 'gpu'"
    )
