"""Windows and stops: their syntax, and the calendar on both changes of the clock."""

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton.calendar.periods import Calendar, Dated, Opening, Weekly, find_opening
from plancton.calendar.syntax import BadPeriod, find_zone, parse_period
from plancton.errors import ConfigError
from plancton.preflight import parse_config
from tests.support.fake_node import FACTS
from tests.support.local_times import HOUR, ZURICH, at


def times(*windows: str, stops: tuple[str, ...] = (), tz: object = ZURICH) -> Calendar:
    return Calendar(tuple(map(parse_period, windows)), tuple(map(parse_period, stops)), tz)  # type: ignore[arg-type]


# Texts


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("mon 08:00-17:30", Weekly((0,), 480, 570)),
        ("Mon-Fri 20:00-06:00", Weekly((0, 1, 2, 3, 4), 1200, 600)),
        ("sat,sun", Weekly((5, 6), 0, 1440)),
        ("saturday, sunday 9:00 to 12:00", Weekly((5, 6), 540, 180)),
        ("fri-mon", Weekly((0, 4, 5, 6), 0, 1440)),
        ("daily 00:00-24:00", Weekly(tuple(range(7)), 0, 1440)),
        ("daily 08:00-08:00", Weekly(tuple(range(7)), 480, 1440)),
        ("fri 18:00 - mon 06:00", Weekly((4,), 1080, 3600)),
        ("mon 06:00 - mon 05:00", Weekly((0,), 360, 10020)),
        ("mon 06:00 - mon 06:00", Weekly((0,), 360, 10080)),
        ("2026-12-24", Dated(datetime(2026, 12, 24), datetime(2026, 12, 25))),
        ("2026-12-24 22:00-02:00", Dated(datetime(2026, 12, 24, 22), datetime(2026, 12, 25, 2))),
        ("2026-12-24 - 2027-01-02", Dated(datetime(2026, 12, 24), datetime(2027, 1, 3))),
        ("2026-12-24 18:00 to 2027-01-02 08:00",
         Dated(datetime(2026, 12, 24, 18), datetime(2027, 1, 2, 8))),
    ],
)  # fmt: skip
def test_a_period_is_read_as_it_is_meant(text: str, period: object) -> None:
    assert parse_period(text) == period


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no period of time; write e.g. 'mon-fri 20:00-06:00', 'sat,sun', "
             "'fri 18:00 - mon 06:00' or '2026-12-24 18:00 - 2027-01-02 08:00'"),
        ("mun 08:00-09:00", "'mun' is no day; the days are mon, tue, wed, thu, fri, sat, sun, "
                            "daily"),
        ("mon 25:00-26:00", "25:00 is no time of day"),
        ("mon 08:60-09:00", "08:60 is no time of day"),
        ("mon 24:00-06:00", "24:00 is an end, not a begin; write 00:00 and the next day"),
        ("2026-02-30", "2026-02-30 is no date"),
        ("2026-12-24 - 2026-12-23", "'2026-12-24 - 2026-12-23' ends before it begins"),
    ],
)  # fmt: skip
def test_what_is_no_period_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(BadPeriod) as caught:
        parse_period(text)
    assert str(caught.value) == said


def test_a_bad_period_in_a_configuration_is_reported_with_its_place() -> None:
    text = "timezone: Europe/Zurihc\nwindows:\n  - sat\n  - mun\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml", FACTS)
    assert caught.value.problems == (
        "c.yaml:2: windows: [1] 'mun' is no day; the days are mon, tue, wed, thu, fri, sat, sun, "
        "daily",
        "c.yaml:1: timezone: 'Europe/Zurihc' is no time zone known here; write e.g. Europe/Zurich",
    )


def test_a_lone_date_is_read_though_yaml_makes_a_date_of_it() -> None:
    config = parse_config("stops: [2026-12-24, 2026-12-31 18:00-24:00]", "c.yaml", FACTS)
    assert config.stops == ("2026-12-24", "2026-12-31 18:00-24:00")


# Calendar


def test_without_windows_the_node_is_always_open() -> None:
    assert find_opening(Calendar(), 0.0) == Opening(True)


def test_a_night_window_is_open_from_the_evening_to_the_morning() -> None:
    nights = times("mon-fri 20:00-06:00")
    monday, tuesday = at("2026-11-23 20:00"), at("2026-11-24 06:00")
    assert find_opening(nights, monday - 1) == Opening(False, at("2026-11-21 06:00"), monday)
    assert find_opening(nights, monday) == Opening(True, monday, tuesday)
    assert find_opening(nights, tuesday - 1) == Opening(True, monday, tuesday)
    assert find_opening(nights, tuesday) == Opening(False, tuesday, at("2026-11-24 20:00"))


def test_friday_night_belongs_to_friday() -> None:
    assert find_opening(times("mon-fri 20:00-06:00"), at("2026-11-28 05:59")).open
    assert not find_opening(times("mon-fri 20:00-06:00"), at("2026-11-29 05:59")).open


def test_windows_that_touch_are_one() -> None:
    whole = times("mon-fri 20:00-06:00", "sat,sun", "mon 00:00-20:00")
    opened = find_opening(whole, at("2026-11-27 23:00"))
    assert opened == Opening(True, at("2026-11-27 20:00"), at("2026-11-30 20:00") + 10 * HOUR)


def test_a_week_that_is_open_all_the_time_never_changes() -> None:
    assert find_opening(times("daily"), at("2026-11-27 23:00")) == Opening(True, None, None)
    assert find_opening(times("mon 06:00 - mon 06:00"), at("2026-11-27 23:00")) == Opening(
        True, None, None
    )


def test_a_stop_closes_an_open_week_and_a_far_one_is_seen_coming() -> None:
    holidays = times("daily", stops=("2027-03-01 18:00 - 2027-03-08 08:00",))
    assert find_opening(holidays, at("2026-11-27 23:00")) == Opening(
        True, None, at("2027-03-01 18:00")
    )
    inside = find_opening(holidays, at("2027-03-03 12:00"))
    assert inside == Opening(False, at("2027-03-01 18:00"), at("2027-03-08 08:00"))


def test_after_a_stop_the_next_window_opens_the_node() -> None:
    plan = times("sat 08:00-20:00", stops=("2026-12-01 - 2027-02-28",))
    assert find_opening(plan, at("2026-12-05 09:00")).until == at("2027-03-06 08:00")


def test_a_dated_window_opens_once() -> None:
    plan = times("2026-12-24 18:00 - 2027-01-02 08:00")
    before, after = (
        find_opening(plan, at("2026-11-01 00:00")),
        find_opening(plan, at("2027-06-01 00:00")),
    )
    assert before == Opening(False, None, at("2026-12-24 18:00"))
    assert after == Opening(False, None, None)


def test_stops_alone_leave_the_rest_open() -> None:
    plan = times(stops=("sun",))
    assert find_opening(plan, at("2026-11-28 12:00")) == Opening(
        True, at("2026-11-23 00:00"), at("2026-11-29 00:00")
    )


# The clock changes: 2026-03-29 02:00 → 03:00 and 2026-10-25 03:00 → 02:00 in Zurich


def test_a_night_in_which_an_hour_is_missing_is_an_hour_shorter() -> None:
    night = find_opening(times("sat 20:00-06:00"), at("2026-03-29 01:00"))
    assert night.until is not None and night.since is not None
    assert night.until - night.since == 9 * HOUR


def test_a_night_in_which_an_hour_comes_twice_is_an_hour_longer() -> None:
    night = find_opening(times("sat 20:00-06:00"), at("2026-10-25 01:00"))
    assert night.until is not None and night.since is not None
    assert night.until - night.since == 11 * HOUR


def test_a_window_that_begins_or_ends_in_the_missing_hour_does_so_when_the_clock_jumps() -> None:
    jump = at("2026-03-29 03:00")
    assert find_opening(times("sun 02:30-05:00"), jump) == Opening(
        True, jump, at("2026-03-29 05:00")
    )
    assert find_opening(times("sun 00:00-02:30"), jump - 1).until == jump


def test_a_window_within_the_missing_hour_does_not_take_place() -> None:
    assert find_opening(times("sun 02:10-02:50"), at("2026-03-28 12:00")).until == at(
        "2026-04-05 02:10"
    )


def test_in_the_doubled_hour_a_window_opens_late_and_closes_early() -> None:
    opens = find_opening(times("sun 02:30-05:00"), at("2026-10-25 04:00")).since
    closes = find_opening(times("sun 00:00-02:30"), at("2026-10-25 01:00")).until
    assert opens == at("2026-10-25 02:30", fold=1)
    assert closes == at("2026-10-25 02:30", fold=0)


def test_in_the_doubled_hour_a_stop_begins_early_and_ends_late() -> None:
    assert find_opening(times(stops=("sun 02:30-05:00",)), at("2026-10-25 00:00")).until == at(
        "2026-10-25 02:30", fold=0
    )
    assert find_opening(times(stops=("sun 00:00-02:30",)), at("2026-10-25 01:00")).until == at(
        "2026-10-25 02:30", fold=1
    )


def test_two_windows_that_meet_in_the_doubled_hour_leave_no_gap() -> None:
    both = find_opening(times("sun 00:00-02:30", "sun 02:30-05:00"), at("2026-10-25 01:00"))
    assert both == Opening(True, at("2026-10-25 00:00"), at("2026-10-25 05:00"))


_moments = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1))
_texts = st.lists(
    st.sampled_from(
        ["mon-fri 20:00-06:00", "sat,sun", "sun 02:15-02:45", "sun 00:00-02:30",
         "daily 02:00-03:00", "fri 18:00 - mon 06:00", "2026-03-29",
         "2026-10-25 01:30-02:30", "wed 12:00-12:00"]
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(_texts, _texts, _moments, st.sampled_from(["Europe/Zurich", "Australia/Lord_Howe", "UTC"]))
def test_what_is_reported_for_one_moment_holds_until_the_change_it_tells(
    windows: list[str], stops: list[str], moment: datetime, name: str
) -> None:
    plan = times(*windows, stops=tuple(stops), tz=find_zone(name))
    now = moment.replace(tzinfo=timezone.utc).timestamp()
    found = find_opening(plan, now)
    assert found.since is None or found.since <= now
    if found.until is None:
        return
    assert found.until > now
    for share in (0.01, 0.5, 0.99):
        between = find_opening(plan, now + share * (found.until - now))
        assert between.open == found.open and between.until == found.until
    after = find_opening(plan, found.until)
    assert after.open != found.open
    assert after.since == found.until
