"""How long a pilot may expect to live: what idle periods teach, and what it is told."""

from dataclasses import replace

import pytest

from plancton.config.model import Config
from plancton.model import Capacity, Decision, History, IdleRecord, NoWork, StartPilots
from plancton.policy.decide import decide
from plancton.policy.lifetime import (
    AGES,
    LONGEST_LIFE,
    WEEK_HOURS,
    expect_more,
    follow_idle,
    format_duration,
)
from tests.support.fake_node import GB, IDLE
from tests.support.node_states import config, node, text

CONFIG = Config(grace_kill=120.0)
#: A Monday, 00:00 UTC.
MONDAY = 345_600.0


class Watch:
    """Idle periods of a node, on clocks that a test moves."""

    def __init__(self) -> None:
        self.history, self.now = History(), 1000.0

    @property
    def wall(self) -> float:
        return MONDAY + self.now - 1000.0

    def see(self, keep: int | None, seconds: float, shortage: int = 0) -> None:
        """There is room for ``keep`` pilots, and then ``seconds`` pass, in looks of 30 s."""
        while True:
            self.history = follow_idle(
                self.history, Capacity(keep, keep), shortage, CONFIG, self.now, self.wall
            )
            if seconds <= 0:
                return
            step = min(30.0, seconds)
            seconds -= step
            self.now += step

    def live(self, idle: float, busy: float, times: int) -> None:
        for _ in range(times):
            self.see(1, idle)
            self.see(0, busy, shortage=GB)


def test_nothing_is_told_until_five_periods_were_seen_to_end() -> None:
    watch = Watch()
    watch.live(3600, 600, 4)
    assert expect_more(watch.history.record, 0.0, watch.wall, 0.9) is None
    watch.live(3600, 600, 2)
    assert expect_more(watch.history.record, 0.0, watch.wall, 0.9) is not None


def test_periods_of_an_hour_let_a_young_one_hope_and_an_old_one_not() -> None:
    watch = Watch()
    watch.live(3600, 600, 200)
    told = {
        age: expect_more(watch.history.record, age, watch.wall, 0.9)
        for age in (0.0, 1800.0, 3000.0, 3500.0)
    }
    # The class of ages in which all end begins at 2,715 s and is 1,125 s long.
    assert 2715 <= (told[0.0] or 0) <= 3600
    assert 2715 - 1800 <= (told[1800.0] or 0) <= 3600 - 1800
    assert (told[3000.0] or 0) < 300
    assert (told[3500.0] or 0) < 300


def test_the_more_it_must_be_sure_of_the_less_is_told() -> None:
    watch = Watch()
    watch.live(3600, 600, 30)
    told = [expect_more(watch.history.record, 60.0, watch.wall, sure) for sure in (0.5, 0.9, 0.99)]
    assert told == sorted(told, key=lambda one: -(one or 0.0))
    assert len(set(told)) == 3


def test_an_hour_of_the_week_in_which_the_owner_returns_is_learned() -> None:
    """Idle except on working days from 8:00 to 8:30 UTC, for six weeks."""
    watch = Watch()
    for _ in range(6):
        for day in range(7):
            watch.see(1, 8 * 3600)
            watch.see(0 if day < 5 else 1, 1800, shortage=GB if day < 5 else 0)
            watch.see(1, 15.5 * 3600)
    assert watch.wall == MONDAY + 42 * 86400
    # On a Tuesday at 6:30 and on a Sunday at 6:30, 22 hours after he left or as if he had.
    age = 22 * 3600.0
    tuesday, sunday = (
        expect_more(watch.history.record, age, MONDAY + (day * 24 + 6.5) * 3600, 0.8) or 0.0
        for day in (1, 6)
    )
    assert 5400 < tuesday < 6300, "it ends soon after 8:00"
    assert sunday > tuesday + 900
    assert sum(watch.history.record.hour_ended) == pytest.approx(30, rel=0.5)
    busiest = max(range(WEEK_HOURS), key=watch.history.record.hour_ended.__getitem__)
    assert busiest % 24 in (7, 8)


def test_a_node_that_was_always_idle_says_a_week_at_most() -> None:
    quiet = IdleRecord(
        9.0, (0.0,) * len(AGES), (1e12,) * len(AGES), (0.0,) * WEEK_HOURS, (0.0,) * WEEK_HOURS
    )
    assert expect_more(quiet, 0.0, MONDAY, 0.9) == LONGEST_LIFE


def test_room_for_fewer_ends_a_period_after_grace_kill_and_lack_of_memory_at_once() -> None:
    watch = Watch()
    watch.see(4, 600)
    watch.see(2, 60)
    assert len(watch.history.idle.since) == 4, "for less than grace_kill"
    watch.see(4, 60)
    watch.see(2, 150)
    assert len(watch.history.idle.since) == 2
    assert sum(watch.history.record.ended) == 2
    watch.see(1, 0, shortage=GB)
    assert len(watch.history.idle.since) == 1
    assert sum(watch.history.record.ended) == pytest.approx(3, rel=1e-3)
    assert watch.history.record.ends == pytest.approx(2, rel=1e-3)


def test_while_the_room_is_not_known_no_period_ends() -> None:
    watch = Watch()
    watch.see(4, 600)
    watch.see(None, 600)
    assert len(watch.history.idle.since) == 4


def test_the_record_stays_small_whatever_the_admin_allows() -> None:
    watch = Watch()
    watch.see(10**9, 60)
    assert len(watch.history.idle.since) == 512


# What a pilot is told


def taught() -> History:
    watch = Watch()
    watch.live(7200, 600, 50)
    idle = replace(watch.history.idle, since=(4000.0,), counted=4900.0)
    return replace(watch.history, idle=idle)


def look(**values: object) -> Decision:
    history = replace(taught(), owner_cpus=0.0, owner_at=5000.0)
    return decide(node(history=history, load=IDLE, wall=MONDAY), config(**values), 5000.0)


def lives(decision: Decision) -> tuple[float | None, ...]:
    (start,) = (one for one in decision.actions if isinstance(one, StartPilots))
    return tuple(None if one is None else one.seconds for one in start.lives)


def test_each_pilot_is_told_by_the_age_of_its_own_place() -> None:
    decision = look(lifetime_confidence=0.9)
    told = lives(decision)
    assert len(told) == 4
    assert told[0] != told[1] == told[2] == told[3]
    assert text(decision, "lifetime") == (
        f"A pilot that starts now is told {format_duration(told[0] or 0)}: 90% of the idle periods "
        "that had lasted 16 min at this hour of the week lasted that much longer."
    )


def test_the_end_of_a_window_and_a_written_max_ttl_are_told() -> None:
    window = look(lifetime_confidence=0.0, windows=("mon 00:00-00:20",), timezone="UTC")
    assert lives(window) == (1200.0,) * 4
    assert (
        text(window, "lifetime") == "A pilot that starts now is told 20 min: until the node closes."
    )
    ttl = look(lifetime_confidence=0.0, max_ttl=500.0)
    assert lives(ttl) == (500.0,) * 4
    assert text(ttl, "lifetime") == "A pilot that starts now is told 8 min: max_ttl."


def test_no_pilot_is_told_less_than_lifetime_min_by_what_was_learned() -> None:
    decision = look(lifetime_confidence=0.9999, lifetime_min=300.0)
    assert lives(decision)[0] == 300.0
    assert "the least that is told (lifetime_min)" in text(decision, "lifetime")


def test_without_confidence_or_record_nothing_is_told() -> None:
    assert lives(look(lifetime_confidence=0.0)) == ()
    fresh = decide(
        node(wall=MONDAY, history=History(owner_cpus=0.0, owner_at=5000.0)), config(), 5000.0
    )
    assert lives(fresh) == ()
    assert text(fresh, "lifetime") == (
        "How long a pilot may live on this node is not known: 0 of the 5 idle periods that are "
        "needed have ended."
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "5 s"), (59.4, "59 s"), (60, "1 min"), (12_000, "3 h 20 min"), (86_400, "1 d"),
     (90_060, "1 d 1 h")],
)  # fmt: skip
def test_durations_read_well(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


def test_each_probe_that_finds_no_work_that_fits_makes_the_next_one_bolder() -> None:
    told = []
    for level in (0, 1, 2, 30):
        history = replace(taught(), owner_cpus=0.0, owner_at=5000.0, no_work=NoWork(level))
        decision = decide(
            node(history=history, load=IDLE, wall=MONDAY), config(lifetime_min=0.0), 5000.0
        )
        told.append(lives(decision)[0] or 0.0)
        if level == 2:
            # 0.97 to the power of 4
            assert "89% of the idle periods" in text(decision, "lifetime")
        if level == 30:
            assert "50% of the idle periods" in text(decision, "lifetime")
    assert told == sorted(told)
    assert told[3] > told[2] > told[1] > told[0]
