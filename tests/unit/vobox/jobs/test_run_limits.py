"""A run that lasts longer than it may is held, with HTCondor's codes and texts."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.support.schedd_parts import NOW, Events, ScheddHarness, Value, ad_of, describe_job
from thyme.protocol.hold_codes import format_duration
from vobox.jobs.policy import WORKER_GRACE_SECONDS, check_run_limits


def running(**limits: Value) -> object:
    ad = ad_of(JobCurrentStartDate=int(NOW), JobCurrentStartExecutingDate=int(NOW) + 5, **limits)
    return lambda after, status=2: check_run_limits(ad, status, NOW + WORKER_GRACE_SECONDS + after)


@pytest.mark.parametrize(
    ("limit", "longest", "code", "text"),
    [
        ("AllowedJobDuration", 100, 46, "The job exceeded allowed job duration of 01:40"),
        ("AllowedExecuteDuration", 105, 47, "The job exceeded allowed execute duration of 01:40"),
    ],
)
def test_a_run_is_held_when_its_time_is_over(
    limit: str, longest: int, code: int, text: str
) -> None:
    after = running(**{limit: 100})
    assert after(longest) is None  # type: ignore[operator]
    hold = after(longest + 1)  # type: ignore[operator]
    assert (hold.code, hold.subcode, hold.text) == (code, 0, text)
    assert after(longest + 1, status=7) is not None  # type: ignore[operator]
    for status in (1, 3, 4, 5, 6):
        assert after(longest + 1, status=status) is None  # type: ignore[operator]


def test_without_a_limit_that_is_a_number_there_is_none() -> None:
    assert running()(10**9) is None  # type: ignore[operator]
    assert running(AllowedJobDuration="long")(10**9) is None  # type: ignore[operator]
    assert (
        check_run_limits(ad_of(AllowedJobDuration=5), 2, NOW + 10**9) is None
    )  # never seen starting


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (259200, "3+00:00:00"), (72000, "20:00:00"), (7500, "2:05:00"), (300, "05:00"),
        (3599, "59:59"), (0, "00:00"), (5, "00:05"),
    ],
)  # fmt: skip
def test_a_duration_is_written_without_what_is_nothing(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_schedd_holds_a_run_whose_worker_did_not_end_it(tmp_path: Path) -> None:
    e = Events(attributes={"AllowedExecuteDuration": 100})
    with closing(ScheddHarness(tmp_path)) as bench:
        bench.submit(e.submit())
        bench.record(e.started())
        began = e.now

        bench.wall.now = began + 100 + WORKER_GRACE_SECONDS
        bench.policies()
        assert describe_job(bench.job()).startswith("running on w1")

        bench.wall.now += 1
        bench.policies()
        assert describe_job(bench.job()).startswith("held on w1")
        assert bench.job().ad.number("HoldReasonCode") == 47
        bench.record(e.evicted())
        assert describe_job(bench.job()).startswith("held with")
