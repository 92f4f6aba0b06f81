"""When the node may be used: the texts, the calendar on both changes of the clock, the rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton import host, opening, policy
from plancton.config import Config
from plancton.config_file import parse as parse_config
from plancton.errors import ConfigError
from plancton.model import (
    Decision,
    HostFacts,
    NodeState,
    Pilot,
    PilotState,
    StartPilots,
    StopPilot,
)
from plancton.window_text import BadPeriod, calendar, parse, zone
from plancton.windows import Calendar, Dated, Opening, Weekly, look
from tests.plancton_fakes import FACTS, GB, IDLE, FakeNode

ZURICH = ZoneInfo("Europe/Zurich")
HOUR = 3600.0


def at(text: str, tz: object = ZURICH, fold: int = 0) -> float:
    """Seconds since 1970 of a local time, e.g. ``2026-11-23 20:00``."""
    return datetime.fromisoformat(text).replace(tzinfo=tz, fold=fold).timestamp()  # type: ignore[arg-type]


def times(*windows: str, stops: tuple[str, ...] = (), tz: object = ZURICH) -> Calendar:
    return Calendar(tuple(map(parse, windows)), tuple(map(parse, stops)), tz)  # type: ignore[arg-type]


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
    assert parse(text) == period


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
        parse(text)
    assert str(caught.value) == said


def test_a_bad_period_in_a_configuration_is_told_with_its_place() -> None:
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
    assert look(Calendar(), 0.0) == Opening(True)


def test_a_night_window_is_open_from_the_evening_to_the_morning() -> None:
    nights = times("mon-fri 20:00-06:00")
    monday, tuesday = at("2026-11-23 20:00"), at("2026-11-24 06:00")
    assert look(nights, monday - 1) == Opening(False, at("2026-11-21 06:00"), monday)
    assert look(nights, monday) == Opening(True, monday, tuesday)
    assert look(nights, tuesday - 1) == Opening(True, monday, tuesday)
    assert look(nights, tuesday) == Opening(False, tuesday, at("2026-11-24 20:00"))


def test_friday_night_belongs_to_friday() -> None:
    assert look(times("mon-fri 20:00-06:00"), at("2026-11-28 05:59")).open
    assert not look(times("mon-fri 20:00-06:00"), at("2026-11-29 05:59")).open


def test_windows_that_touch_are_one() -> None:
    whole = times("mon-fri 20:00-06:00", "sat,sun", "mon 00:00-20:00")
    opened = look(whole, at("2026-11-27 23:00"))
    assert opened == Opening(True, at("2026-11-27 20:00"), at("2026-11-30 20:00") + 10 * HOUR)


def test_a_week_that_is_open_all_the_time_never_changes() -> None:
    assert look(times("daily"), at("2026-11-27 23:00")) == Opening(True, None, None)
    assert look(times("mon 06:00 - mon 06:00"), at("2026-11-27 23:00")) == Opening(True, None, None)


def test_a_stop_closes_an_open_week_and_a_far_one_is_seen_coming() -> None:
    holidays = times("daily", stops=("2027-03-01 18:00 - 2027-03-08 08:00",))
    assert look(holidays, at("2026-11-27 23:00")) == Opening(True, None, at("2027-03-01 18:00"))
    inside = look(holidays, at("2027-03-03 12:00"))
    assert inside == Opening(False, at("2027-03-01 18:00"), at("2027-03-08 08:00"))


def test_after_a_stop_the_next_window_opens_the_node() -> None:
    plan = times("sat 08:00-20:00", stops=("2026-12-01 - 2027-02-28",))
    assert look(plan, at("2026-12-05 09:00")).until == at("2027-03-06 08:00")


def test_a_dated_window_opens_once() -> None:
    plan = times("2026-12-24 18:00 - 2027-01-02 08:00")
    before, after = look(plan, at("2026-11-01 00:00")), look(plan, at("2027-06-01 00:00"))
    assert before == Opening(False, None, at("2026-12-24 18:00"))
    assert after == Opening(False, None, None)


def test_stops_alone_leave_the_rest_open() -> None:
    plan = times(stops=("sun",))
    assert look(plan, at("2026-11-28 12:00")) == Opening(
        True, at("2026-11-23 00:00"), at("2026-11-29 00:00")
    )


# The clock changes: 2026-03-29 02:00 → 03:00 and 2026-10-25 03:00 → 02:00 in Zurich


def test_a_night_in_which_an_hour_is_missing_is_an_hour_shorter() -> None:
    night = look(times("sat 20:00-06:00"), at("2026-03-29 01:00"))
    assert night.until is not None and night.since is not None
    assert night.until - night.since == 9 * HOUR


def test_a_night_in_which_an_hour_comes_twice_is_an_hour_longer() -> None:
    night = look(times("sat 20:00-06:00"), at("2026-10-25 01:00"))
    assert night.until is not None and night.since is not None
    assert night.until - night.since == 11 * HOUR


def test_a_window_that_begins_or_ends_in_the_missing_hour_does_so_when_the_clock_jumps() -> None:
    jump = at("2026-03-29 03:00")
    assert look(times("sun 02:30-05:00"), jump) == Opening(True, jump, at("2026-03-29 05:00"))
    assert look(times("sun 00:00-02:30"), jump - 1).until == jump


def test_a_window_within_the_missing_hour_does_not_take_place() -> None:
    assert look(times("sun 02:10-02:50"), at("2026-03-28 12:00")).until == at("2026-04-05 02:10")


def test_in_the_doubled_hour_a_window_opens_late_and_closes_early() -> None:
    opens = look(times("sun 02:30-05:00"), at("2026-10-25 04:00")).since
    closes = look(times("sun 00:00-02:30"), at("2026-10-25 01:00")).until
    assert opens == at("2026-10-25 02:30", fold=1)
    assert closes == at("2026-10-25 02:30", fold=0)


def test_in_the_doubled_hour_a_stop_begins_early_and_ends_late() -> None:
    assert look(times(stops=("sun 02:30-05:00",)), at("2026-10-25 00:00")).until == at(
        "2026-10-25 02:30", fold=0
    )
    assert look(times(stops=("sun 00:00-02:30",)), at("2026-10-25 01:00")).until == at(
        "2026-10-25 02:30", fold=1
    )


def test_two_windows_that_meet_in_the_doubled_hour_leave_no_gap() -> None:
    both = look(times("sun 00:00-02:30", "sun 02:30-05:00"), at("2026-10-25 01:00"))
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
def test_what_is_told_for_one_moment_holds_until_the_change_it_tells(
    windows: list[str], stops: list[str], moment: datetime, name: str
) -> None:
    plan = times(*windows, stops=tuple(stops), tz=zone(name))
    now = moment.replace(tzinfo=timezone.utc).timestamp()
    found = look(plan, now)
    assert found.since is None or found.since <= now
    if found.until is None:
        return
    assert found.until > now
    for share in (0.01, 0.5, 0.99):
        between = look(plan, now + share * (found.until - now))
        assert between.open == found.open and between.until == found.until
    after = look(plan, found.until)
    assert after.open != found.open
    assert after.since == found.until


# The rule

WEEKEND = Config(
    max_docks=4,
    windows=("fri 18:00 - mon 06:00",),
    timezone="Europe/Zurich",
    drain_lead=HOUR,
    window_grace=120.0,
)
CLOSES = at("2026-11-30 06:00")


def decide(wall: float, *pilots: Pilot, config: Config = WEEKEND) -> Decision:
    state = NodeState(facts=FACTS, load=IDLE, pilots=pilots, wall=wall)
    return policy.decide(state, config, 5000.0)


def starts(decision: Decision) -> int:
    return sum(a.count for a in decision.actions if isinstance(a, StartPilots))


def stopped(decision: Decision) -> list[str]:
    return [a.pilot.id for a in decision.actions if isinstance(a, StopPilot)]


def said(decision: Decision) -> str:
    (reason,) = (reason for reason in decision.reasons if reason.rule == "window")
    return reason.text


RUNNING = tuple(Pilot(f"p{n}", f"p{n}", PilotState.RUNNING, age=100.0 + n) for n in range(3))


def test_within_a_window_pilots_start_and_it_is_said_until_when() -> None:
    decision = decide(at("2026-11-28 12:00"))
    assert starts(decision) == 4
    assert said(decision) == (
        "The node is open until Mon 2026-11-30 06:00 CET; "
        "no pilot starts after Mon 2026-11-30 05:00 CET."
    )
    assert decision.look_again == at("2026-11-30 05:00") - at("2026-11-28 12:00")


def test_drain_lead_before_the_end_nothing_starts_and_nothing_is_evicted() -> None:
    decision = decide(CLOSES - HOUR, *RUNNING)
    assert decision.actions == ()
    assert decision.summary == (
        "Starting none. The node is open until Mon 2026-11-30 06:00 CET: "
        "until then pilots only end."
    )
    assert decision.look_again == HOUR


def test_at_the_end_pilots_have_window_grace_and_then_all_go() -> None:
    soon = decide(CLOSES + 119, *RUNNING)
    assert (starts(soon), stopped(soon), soon.look_again) == (0, [], 1.0)
    assert said(soon) == (
        "The node is closed until Fri 2026-12-04 18:00 CET; "
        "pilots that still run are evicted in 1 s."
    )
    now = decide(CLOSES + 120, *RUNNING)
    assert stopped(now) == ["p0", "p1", "p2"]
    assert now.summary == "Stopping 3 pilots: its window is over."


def test_a_daemon_that_comes_up_long_after_the_end_evicts_at_once() -> None:
    assert stopped(decide(CLOSES + 86400, *RUNNING)) == ["p0", "p1", "p2"]


def test_at_the_end_of_a_window_an_owner_short_of_memory_waits_no_longer() -> None:
    short = replace(IDLE, mem_available=0, pilots_mem=3 * GB)
    pilots = tuple(replace(pilot, memory_bytes=GB) for pilot in RUNNING)
    state = NodeState(facts=FACTS, load=short, pilots=pilots, wall=CLOSES + 120)
    actions = policy.decide(state, WEEKEND, 5000.0).actions
    graces = [action.grace for action in actions if isinstance(action, StopPilot)]
    assert sorted(graces) == [policy.SHORT_GRACE, WEEKEND.stop_grace, WEEKEND.stop_grace]


def test_the_next_window_fills_the_node_without_a_pause() -> None:
    history = decide(CLOSES + 120, *RUNNING).history
    state = NodeState(
        facts=FACTS, load=IDLE, pilots=(), history=history, wall=at("2026-12-04 18:00")
    )
    assert starts(policy.decide(state, WEEKEND, 5060.0)) == 4


def test_without_windows_the_wall_clock_decides_nothing() -> None:
    free = Config(max_docks=4)
    assert decide(0.0, config=free) == decide(4e9, config=free)


def test_the_time_zone_is_the_node_s_unless_one_is_named() -> None:
    facts = replace(FACTS, timezone="America/New_York")
    config = Config(windows=("mon 08:00-12:00",))
    there = opening.phase(config, facts, at("2026-11-23 08:00", ZoneInfo("America/New_York")))
    assert there.starts
    assert "until Mon 2026-11-23 12:00 EST" in there.text
    assert calendar(config, facts.timezone).zone == ZoneInfo("America/New_York")


def test_the_loop_wakes_when_the_window_opens_not_a_timer_later(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    wall = datetime.fromtimestamp(node.clock.wall() + 100, timezone.utc)
    opens = wall.replace(second=0) + timedelta(minutes=1)
    node.config = node.config.model_copy(
        update={"windows": (f"{opens:%Y-%m-%d %H:%M}-23:59",), "main_sleep": 3600.0}
    )
    node.loop.reload()

    def life(_seconds: float) -> None:
        if node.engine.running() or node.clock.now() > 2000:
            node.loop.end()

    node.during = life
    node.loop.run()
    assert len(node.engine.running()) == 4
    assert 0 <= node.clock.wall() - opens.timestamp() <= 2


# The node's own zone


def test_the_node_s_zone_is_that_of_tz_or_of_etc_localtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", ":America/New_York")
    assert host._timezone() == "America/New_York"
    monkeypatch.delenv("TZ")
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Zurich")
    assert host._timezone(link) == "Europe/Zurich"
    link.unlink()
    assert host._timezone(link) == "UTC"


def test_a_zone_that_has_no_name_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path("/usr/share/zoneinfo/Europe/Zurich")
    if not source.exists():
        pytest.skip("this machine has no /usr/share/zoneinfo")
    monkeypatch.setenv("TZ", "CET-1CEST")
    copy = tmp_path / "localtime"
    copy.write_bytes(source.read_bytes())
    assert host._timezone(copy) == str(copy)
    facts = HostFacts("n", 1, 1, 0, timezone=str(copy))
    assert calendar(Config(), facts.timezone).zone.utcoffset(datetime(2026, 7, 1)) == timedelta(
        hours=2
    )
