"""The back-off without work, and the circuit breaker."""

from dataclasses import replace

import pytest

from plancton.config.model import Config
from plancton.model import (
    Breaker,
    Decision,
    History,
    ImageStatus,
    NodeState,
    NoWork,
    Pilot,
    PilotState,
    Prepared,
    StartPilots,
)
from plancton.policy.backoff import PilotOutcome, classify_end, count_ends, count_failed_start
from plancton.policy.decide import decide
from tests.support.fake_node import FACTS, IDLE
from tests.support.node_states import starts

CONFIG = Config(
    max_docks=4,
    no_work_backoff=10.0,
    no_work_backoff_max=35.0,
    breaker_failures=3,
    breaker_backoff=30.0,
    breaker_backoff_max=100.0,
)


def ended(code: int | None, age: float | None = 100.0, id: str = "x", **more: object) -> Pilot:
    pilot = Pilot(id=id, name=id, state=PilotState.EXITED, age=age, exit_code=code)
    return replace(pilot, **more)  # type: ignore[arg-type]


def running(age: float, id: str = "r", cpu: float | None = None) -> Pilot:
    return Pilot(id=id, name=id, state=PilotState.RUNNING, age=age, cpu_seconds=cpu)


def look(history: History, now: float, *pilots: Pilot) -> tuple[int, Decision]:
    """How many start, and the decision."""
    state = NodeState(facts=FACTS, load=IDLE, pilots=pilots, history=history)
    decision = decide(state, CONFIG, now)
    return starts(decision), decision


@pytest.mark.parametrize(
    ("pilot", "told"),
    [
        (ended(0), PilotOutcome.NORMAL),
        (ended(0, age=0.1), PilotOutcome.NORMAL),
        (ended(3), PilotOutcome.NO_WORK),
        (ended(4, age=5000.0), PilotOutcome.FAILURE),
        (ended(5), PilotOutcome.FAILURE),
        (ended(1, age=0.5), PilotOutcome.FAILURE),
        (ended(137, age=0.5), PilotOutcome.FAILURE),
        (ended(None, age=0.5), PilotOutcome.FAILURE),
        (ended(137, age=5000.0), PilotOutcome.SAYS_NOTHING),
        (ended(None, age=5000.0), PilotOutcome.SAYS_NOTHING),
        (ended(None, age=None), PilotOutcome.SAYS_NOTHING),
        (ended(143, age=0.5, asked_to_stop=True), PilotOutcome.SAYS_NOTHING),
        (ended(4, asked_to_stop=True), PilotOutcome.SAYS_NOTHING),
        (ended(3, asked_to_stop=True), PilotOutcome.SAYS_NOTHING),
    ],
    ids=lambda value: f"{value.exit_code}-{value.age}" if isinstance(value, Pilot) else "",
)
def test_each_end_is_classified(pilot: Pilot, told: PilotOutcome) -> None:
    assert classify_end(pilot, CONFIG) is told


# No work


def test_a_pilot_without_work_is_not_replaced_until_the_wait_is_over() -> None:
    none, first = look(History(), 1000, ended(3))
    assert none == 0
    assert first.recheck_after == pytest.approx(10.0)
    assert "found no work; the next one looks in 10.0 s" in first.summary
    assert look(first.history, 1009.9)[0] == 0
    assert look(first.history, 1010)[0] == 1, "one probe, not a full node"


def test_each_probe_in_vain_doubles_the_wait_up_to_the_longest() -> None:
    history, now, waits = History(), 1000.0, []
    for n in range(5):
        _, decision = look(history, now, ended(3, age=2.0, id=f"x{n}"))
        waits.append(decision.history.no_work.next_probe - now)
        history, now = decision.history, decision.history.no_work.next_probe + 2.5
    assert waits == [10, 20, 35, 35, 35]


def test_many_pilots_that_give_up_together_are_one_piece_of_news() -> None:
    gone = [ended(3, id=f"x{n}") for n in range(48)]
    _, decision = look(History(), 1000, *gone)
    assert decision.history.no_work.level == 1
    late = ended(3, age=120.0, id="late")
    _, later = look(decision.history, 1005, late)
    assert later.history.no_work.level == 1
    assert later.history.no_work.next_probe == 1010


def test_a_pilot_launched_before_the_news_that_came_up_after_it_is_no_probe() -> None:
    _, first = look(History(), 1000, ended(3, age=0.01, id="a"))
    _, later = look(first.history, 1000.05, ended(3, age=0.01, id="b"))
    assert later.history.no_work.level == 1


def test_a_pilot_that_still_looks_for_work_is_the_probe() -> None:
    _, first = look(History(), 1000, ended(3, age=120.0), running(60.0))
    none, later = look(first.history, 1010, running(70.0))
    assert none == 0
    assert "r is looking for some" in later.summary


def test_a_probe_that_ran_a_job_fills_the_node_at_once() -> None:
    _, first = look(History(), 1000, ended(3))
    begun, _ = look(first.history, 1015, ended(0, age=4.0, id="probe"))
    assert begun == 4


def test_a_probe_that_outlives_those_that_gave_up_fills_the_node_while_it_runs() -> None:
    _, first = look(History(), 1000, ended(3, age=20.0))
    assert look(first.history, 1035, running(24.0))[0] == 0
    assert look(first.history, 1038, running(27.0))[0] == 3


def test_a_probe_that_uses_cpu_has_found_work() -> None:
    _, first = look(History(), 1000, ended(3, age=120.0))
    assert look(first.history, 1020, running(9.0, cpu=1.0))[0] == 0
    assert look(first.history, 1020, running(9.0, cpu=5.0))[0] == 3


def test_the_end_of_an_old_job_does_not_say_that_there_is_work_now() -> None:
    _, first = look(History(), 1000, ended(3, age=20.0))
    _, later = look(first.history, 1005, ended(0, age=7200.0, id="old"))
    assert later.history.no_work.level == 1


def test_a_long_job_from_before_does_not_end_the_back_off() -> None:
    _, first = look(History(), 1000, ended(3, age=20.0), running(7200.0))
    assert first.history.no_work.level == 1
    assert look(first.history, 1010, running(7210.0))[0] == 1


def test_an_end_is_counted_once_though_its_removal_takes_several_passes() -> None:
    stuck = ended(4, age=100.0)
    history = History()
    for n in range(5):
        _, decision = look(history, 1000.0 + n, stuck)
        history = decision.history
    assert history.breaker.failures == 1


# Circuit breaker


def test_failing_pilots_stop_new_ones_after_three_in_a_row_and_say_why() -> None:
    history = History()
    for n in range(2):
        begun, decision = look(history, 1000.0 + n, ended(4, id=f"x{n}"))
        history = decision.history
        assert begun == 4
    begun, decision = look(history, 1002, ended(4, age=0.3, id="x2"))
    assert begun == 0
    assert decision.summary == (
        "Starting none. Pilots fail (x2: exit code 4 after 0.3 s); one is tried again in 30.0 s."
    )
    assert decision.recheck_after == pytest.approx(30.0)


def opened(now: float = 1000.0) -> History:
    breaker = Breaker(failures=3, level=1, next_probe=now + 30, patience=0.3, reason="r")
    return History(breaker=breaker)


def test_one_pilot_is_tried_after_the_wait() -> None:
    assert look(opened(), 1029.9)[0] == 0
    assert look(opened(), 1030)[0] == 1
    none, decision = look(opened(), 1031, running(0.5))
    assert none == 0
    assert "r is the one that is tried" in decision.summary


def test_a_tried_pilot_that_fails_doubles_the_wait() -> None:
    history, now, waits = opened(), 1031.0, []
    for n in range(3):
        _, decision = look(history, now, ended(5, age=0.3, id=f"x{n}"))
        history = decision.history
        waits.append(history.breaker.next_probe - now)
        now = history.breaker.next_probe + 1
    assert waits == [60, 100, 100]


@pytest.mark.parametrize("code", [0, 3])
def test_a_tried_pilot_that_could_work_closes_the_breaker(code: int) -> None:
    _, decision = look(opened(), 1035, ended(code, age=3.0))
    assert decision.history.breaker == Breaker()


def test_a_tried_pilot_that_lives_longer_than_failing_ones_did_closes_the_breaker() -> None:
    assert look(opened(), 1041, running(10.5))[0] == 0
    assert look(opened(), 1045, running(13.6))[0] == 3


def test_failures_of_pilots_from_before_do_not_prolong_the_wait() -> None:
    _, decision = look(opened(), 1005, ended(4, age=60.0))
    assert decision.history.breaker.next_probe == 1030


@pytest.mark.parametrize(
    "pilot",
    [
        ended(0, age=0.1),
        ended(3, age=0.1),
        ended(143, age=0.1, asked_to_stop=True),
        ended(4, age=0.1, asked_to_stop=True),
        ended(139, age=3600.0),
    ],
    ids=["normal end", "no work", "eviction", "eviction with code 4", "crash after an hour"],
)
def test_what_is_no_failure_never_trips_the_breaker(pilot: Pilot) -> None:
    history = History()
    for n in range(20):
        history = count_ends(history, [replace(pilot, id=f"x{n}")], CONFIG, 1000.0 + n)
    assert history.breaker == Breaker()


def test_an_engine_that_will_not_start_pilots_opens_the_breaker_too() -> None:
    history = History()
    for n in range(3):
        history = count_failed_start(history, "no space left on device", CONFIG, 1000.0 + n)
    none, decision = look(history, 1003)
    assert none == 0
    assert "no space left on device" in decision.summary


def test_a_success_between_failures_keeps_the_breaker_closed() -> None:
    history = History()
    for n, code in enumerate([4, 4, 0, 4, 4, 0]):
        history = count_ends(history, [ended(code, id=f"x{n}")], CONFIG, 1000.0 + n)
    assert history.breaker.level == 0


# A repair forgets what was learned


def failing(**more: object) -> History:
    """Return the history of a node whose breaker opened just before 1000, with ``CONFIG``."""
    history = decide(NodeState(facts=FACTS, load=IDLE, pilots=()), CONFIG, 990.0).history
    bad = tuple(ended(127, age=0.1, id=f"bad{n}", never_ran=True) for n in range(3))
    state = NodeState(facts=FACTS, load=IDLE, pilots=bad, history=history)
    history = decide(replace(state, **more), CONFIG, 1000.0).history  # type: ignore[arg-type]
    assert history.breaker.level == 1
    return history


@pytest.mark.parametrize(
    "change",
    [
        {"docker_cmd": "/bin/sleep 61"},
        {"docker_image": "alpine"},
        {"engine": "process"},
        {"max_dock_mem": 3_000_000_000},
        {"cgroup_parent": "batch"},
        {"exit_failure": (5,)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_kind_of_pilot_is_tried_at_once(change: dict[str, object]) -> None:
    changed = CONFIG.model_copy(update=change)
    state = NodeState(facts=FACTS, load=IDLE, pilots=(), history=failing())
    decision = decide(state, changed, 1001.0)
    assert decision.actions == (StartPilots(4),)
    assert decision.history.breaker == Breaker()


@pytest.mark.parametrize(
    "change", [{"max_docks": 3}, {"main_sleep": 5.0}, {"site": "T2"}, {"grace_kill": 1.0}]
)
def test_a_change_that_leaves_pilots_as_they_are_repairs_nothing(
    change: dict[str, object],
) -> None:
    state = NodeState(facts=FACTS, load=IDLE, pilots=(), history=failing())
    decision = decide(state, CONFIG.model_copy(update=change), 1001.0)
    assert decision.actions == ()
    assert decision.history.breaker.level == 1


def image(digest: str) -> Prepared:
    return Prepared(image=ImageStatus("busybox", "busybox" if digest else "", digest))


def test_a_new_build_of_the_image_is_tried_at_once_and_one_that_goes_away_is_not() -> None:
    history = failing(prepared=image("sha256:1"))
    state = NodeState(facts=FACTS, load=IDLE, pilots=(), history=history)
    same = decide(replace(state, prepared=image("sha256:1")), CONFIG, 1001.0)
    away = decide(replace(state, prepared=image("")), CONFIG, 1001.0)
    assert same.history.breaker.level == away.history.breaker.level == 1
    back = replace(state, prepared=image("sha256:1"), history=away.history)
    assert decide(back, CONFIG, 1002.0).history.breaker.level == 1
    new = decide(replace(state, prepared=image("sha256:2")), CONFIG, 1001.0)
    assert new.actions == (StartPilots(4),)


def test_the_admin_may_have_pilots_tried_anew_once() -> None:
    for learned in (failing(), History(no_work=NoWork(level=3, next_probe=2000.0))):
        state = NodeState(facts=FACTS, load=IDLE, pilots=(), history=learned)
        decision = decide(replace(state, retry=True), CONFIG, 1001.0)
        assert decision.actions == (StartPilots(4),)
        assert decision.history.no_work.level == decision.history.breaker.level == 0


def test_pilots_from_before_the_repair_that_fail_later_say_nothing_about_the_new_ones() -> None:
    changed = CONFIG.model_copy(update={"docker_cmd": "/bin/sleep 61"})
    state = NodeState(facts=FACTS, load=IDLE, pilots=(), history=failing())
    repaired = decide(state, changed, 1001.0).history
    late = tuple(ended(4, age=50.0, id=f"late{n}") for n in range(5))
    later = decide(replace(state, pilots=late, history=repaired), changed, 1005.0)
    assert later.history.breaker == Breaker()
    fresh = tuple(ended(4, age=3.0, id=f"fresh{n}") for n in range(3))
    again = decide(replace(state, pilots=fresh, history=later.history), changed, 1006.0)
    assert again.history.breaker.level == 1, "a repair that did not help counts again"
