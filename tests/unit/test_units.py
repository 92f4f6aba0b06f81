"""Sizes and times as people write them."""

import re

import pytest

from commandline.units import SIZE_PATTERN, TIME_PATTERN, parse_size, parse_time


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2_000_000_000), ("2 gb", 2_000_000_000), ("2G", 2_000_000_000),
     ("2GiB", 2_147_483_648), ("2Gi", 2_147_483_648), ("1.5KiB", 1536), ("0.5kB", 500),
     ("3T", 3 * 10**12), ("7B", 7),
     ("2g", None), ("2", None), ("GB", None), ("-2GB", None), ("2GB more", None), ("2XB", None),
     ("ncpus * 2", None), ("", None), ("٢GB", None), ("1e400GB", None), ("inf", None),
     ("9" * 15 + "B", 999_999_999_999_999), ("9" * 400 + "GB", None),
     ("1." + "9" * 400 + "GB", None)],
)  # fmt: skip
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size
    assert bool(re.search(SIZE_PATTERN, text)) is (size is not None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("30min", 1800.0), ("30m", 1800.0), ("12h", 43200.0), ("1d", 86400.0),
     ("1h30min", 5400.0), ("1h 30m", 5400.0), ("1.5 h", 5400.0), ("250ms", 0.25),
     ("2d 3h 4m 5s", 183845.0),
     ("90", None), ("h", None), ("-1h", None), ("1h30", None), ("1 hour", None), ("1w", None),
     ("", None)],
)  # fmt: skip
def test_times(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds
    assert bool(re.search(TIME_PATTERN, text)) is (seconds is not None)
