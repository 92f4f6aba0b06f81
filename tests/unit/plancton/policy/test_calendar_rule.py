"""What the begin and the end of a window do to pilots, and in which time zone."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from plancton.calendar.syntax import parse_calendar
from plancton.config.model import Config
from plancton.model import Decision, HostFacts, NodeState, Pilot, PilotState, StopPilot
from plancton.node import sensors
from plancton.policy import calendar_rule
from plancton.policy import decide as policy
from plancton.policy.rules import SHORT_GRACE
from tests.support.fake_node import FACTS, GB, IDLE, FakeNode
from tests.support.local_times import HOUR, at
from tests.support.node_states import starts, stopped, text

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


RUNNING = tuple(Pilot(f"p{n}", f"p{n}", PilotState.RUNNING, age=100.0 + n) for n in range(3))


def test_within_a_window_pilots_start_and_it_is_said_until_when() -> None:
    decision = decide(at("2026-11-28 12:00"))
    assert starts(decision) == 4
    assert text(decision, "window") == (
        "The node is open until Mon 2026-11-30 06:00 CET; "
        "no pilot starts after Mon 2026-11-30 05:00 CET."
    )
    assert decision.recheck_after == at("2026-11-30 05:00") - at("2026-11-28 12:00")


def test_drain_lead_before_the_end_nothing_starts_and_nothing_is_evicted() -> None:
    decision = decide(CLOSES - HOUR, *RUNNING)
    assert decision.actions == ()
    assert decision.summary == (
        "Starting none. The node is open until Mon 2026-11-30 06:00 CET: "
        "until then pilots only end."
    )
    assert decision.recheck_after == HOUR


def test_at_the_end_pilots_have_window_grace_and_then_all_go() -> None:
    soon = decide(CLOSES + 119, *RUNNING)
    assert (starts(soon), stopped(soon), soon.recheck_after) == (0, [], 1.0)
    assert text(soon, "window") == (
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
    assert sorted(graces) == [SHORT_GRACE, WEEKEND.stop_grace, WEEKEND.stop_grace]


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
    there = calendar_rule.find_phase(
        config, facts, at("2026-11-23 08:00", ZoneInfo("America/New_York"))
    )
    assert there.starts
    assert "until Mon 2026-11-23 12:00 EST" in there.text
    assert parse_calendar((), (), facts.timezone).zone == ZoneInfo("America/New_York")


def test_the_loop_wakes_when_the_window_opens_not_a_timer_later(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    wall = datetime.fromtimestamp(node.clock.wall() + 100, timezone.utc)
    opens = wall.replace(second=0) + timedelta(minutes=1)
    node.config = node.config.model_copy(
        update={"windows": (f"{opens:%Y-%m-%d %H:%M}-23:59",), "main_sleep": 3600.0}
    )
    node.loop.request_reload()

    def life(_seconds: float) -> None:
        if node.engine.running() or node.clock.now() > 2000:
            node.loop.request_end()

    node.during = life
    node.loop.run()
    assert len(node.engine.running()) == 4
    assert 0 <= node.clock.wall() - opens.timestamp() <= 2


# The node's own zone


def test_the_node_s_zone_is_that_of_tz_or_of_etc_localtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", ":America/New_York")
    assert sensors._timezone() == "America/New_York"
    monkeypatch.delenv("TZ")
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Zurich")
    assert sensors._timezone(link) == "Europe/Zurich"
    link.unlink()
    assert sensors._timezone(link) == "UTC"


def test_a_zone_that_has_no_name_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path("/usr/share/zoneinfo/Europe/Zurich")
    if not source.exists():
        pytest.skip("this machine has no /usr/share/zoneinfo")
    monkeypatch.setenv("TZ", "CET-1CEST")
    copy = tmp_path / "localtime"
    copy.write_bytes(source.read_bytes())
    assert sensors._timezone(copy) == str(copy)
    facts = HostFacts("n", 1, 1, 0, timezone=str(copy))
    assert parse_calendar((), (), facts.timezone).zone.utcoffset(datetime(2026, 7, 1)) == timedelta(
        hours=2
    )
