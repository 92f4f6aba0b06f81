"""Read traces and lengths of jobs, and choose among the jobs that wait."""

import gzip
import math
import random
import statistics
from pathlib import Path

import pytest

from plancton.errors import PlanctonError
from plancton.model import HostFacts
from plancton.simulation.owner import (
    MAX_LINE,
    Span,
    parse_intervals,
    parse_shares,
    read_lines,
    read_trace,
)
from plancton.simulation.queue import read_lengths, take_any, take_fitting, take_from_lanes

FACTS = HostFacts("n", ncpus=4, ram_bytes=1000, swap_bytes=0)


def test_percentages_become_cpus() -> None:
    assert parse_shares(300.0, FACTS)("0 50 100", "t:1") == (
        Span(300.0, 0.0), Span(600.0, 2.0), Span(900.0, 4.0),
    )  # fmt: skip


def test_intervals_take_the_whole_node() -> None:
    assert parse_intervals(FACTS)("5 7 10 12", "t:1") == (
        Span(5.0, 0.0), Span(7.0, 4.0, 1000), Span(10.0, 0.0), Span(12.0, 4.0, 1000),
    )  # fmt: skip
    assert parse_intervals(FACTS)("0 7", "t:1") == (Span(7.0, 4.0, 1000),)


@pytest.mark.parametrize(
    "line", ["5", "7 5", "5 7 6 9", "x 7", "5 nan", "-1 5", "5 inf", "1 2 2 3"]
)
def test_a_wrong_interval_is_named(line: str) -> None:
    with pytest.raises(PlanctonError, match=r"^t:3: .*interval"):
        parse_intervals(FACTS)(line, "t:3")


@pytest.mark.parametrize(
    ("line", "last"),
    [
        ("0 100 1e9 2e9 3e9 4e9", "2e9"),
        ("1700000000 1700000100", "1700000100"),
        ("0 1e300", "1e300"),
    ],
)
def test_times_of_more_than_ten_years_are_no_times_from_the_start_on(line: str, last: str) -> None:
    with pytest.raises(PlanctonError) as caught:
        parse_intervals(FACTS)(line, "t:3")
    assert str(caught.value) == (
        f"t:3: {last} s after the trace's start is more than ten years; write times from its "
        "start on"
    )


def test_lengths_come_from_a_file_or_a_distribution(tmp_path: Path) -> None:
    file = tmp_path / "lengths"
    file.write_text("100\n\n300\n")
    rng = random.Random(1)
    assert set(read_lengths(str(file))(rng, 100)) == {100.0, 300.0}
    assert read_lengths("fixed:60")(rng, 2) == [60.0, 60.0]
    drawn = read_lengths("lognormal:600,1")(rng, 20_000)
    assert statistics.median(drawn) == pytest.approx(600, rel=0.05)
    assert statistics.mean(drawn) == pytest.approx(600 * math.exp(0.5), rel=0.05)
    assert statistics.mean(read_lengths("exponential:600")(rng, 20_000)) == pytest.approx(
        600, rel=0.05
    )
    assert all(60 <= one <= 90 for one in read_lengths("uniform:60,90")(rng, 100))
    widest = read_lengths("lognormal:600,10000")(rng, 100)
    assert set(widest) == {1.0, 1e8}, "the shortest and the longest of any"


@pytest.mark.parametrize(
    ("text", "said"),
    [("fixed:", "write fixed:seconds"), ("lognormal:5", "write lognormal:median,sigma"),
     ("fixed:-1", "above 0"), ("fixed:nan", "above 0"), ("fixed:1e9", r"at most 1e\+08"),
     ("uniform:5,1", "uniform:5,1: the least is above the most"),
     ("/nowhere", "cannot be read"),
     ("gamma:3", "gamma:3: no such file, and none of the distributions fixed, exponential")],
)  # fmt: skip
def test_a_wrong_distribution_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(PlanctonError, match=said):
        read_lengths(text)


def test_a_wrong_length_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "lengths"
    file.write_text("100\nlong\n")
    said = r"lengths:2: 'long' is no length in seconds of 0 to 1e\+08$"
    with pytest.raises(PlanctonError, match=said):
        read_lengths(str(file))
    file.write_text("\n")
    with pytest.raises(PlanctonError, match="holds no length"):
        read_lengths(str(file))
    with pytest.raises(PlanctonError, match="cannot be read"):
        list(read_trace(tmp_path / "nowhere", parse_intervals(FACTS)))


def test_a_line_without_end_and_a_damaged_archive_are_named(tmp_path: Path) -> None:
    long, damaged = tmp_path / "long", tmp_path / "damaged.gz"
    long.write_text("1 2\n" + "0 " * MAX_LINE)
    with pytest.raises(PlanctonError, match=f"long:2: longer than {MAX_LINE} characters"):
        list(read_lines(long))
    other = tmp_path / "other"
    other.write_bytes(b"0 7\n1 2\xff\n")
    with pytest.raises(PlanctonError, match="other: is no text of numbers: it holds the byte 0xff"):
        list(read_lines(other))
    damaged.write_bytes(gzip.compress(b"0 7\n" * 1000)[:-20])
    with pytest.raises(PlanctonError, match=r"damaged\.gz: cannot be read: "):
        list(read_lines(damaged))


def test_the_rules_choose_by_the_time_that_a_pilot_may_live() -> None:
    waiting = [5000.0, 90.0, 50.0, 280.0, 260.0]
    assert take_any(waiting, 100.0) == 0
    assert [take_fitting(waiting, life) for life in (None, 1e9, 100.0, 60.0, 49.0)] == [
        0, 0, 1, 2, None,
    ]  # fmt: skip
    # Lanes end at 1, 2, 5 ... minutes: 280 s and 260 s are in that of 300 s, the first of it goes.
    assert [take_from_lanes(waiting, life) for life in (None, 1e9, 300.0, 299.0, 119.0, 59.0)] == [
        0, 0, 3, 1, 2, None,
    ]  # fmt: skip
    assert take_any([], None) is take_fitting([], None) is take_from_lanes([], 5.0) is None
