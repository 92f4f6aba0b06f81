"""The contract of engines: one set of tests for the fake engine and for the real ones.

The fake is held to the same promises as the engine it stands for; another
engine joins with a harness of its own.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.errors import EngineError
from plancton.model import PilotState
from tests.support.engine_contract import EngineTest, harness
from tests.support.fake_node import FACTS
from tests.support.services.engines import IMAGE
from tests.support.waiting import wait_until

#: Seconds.
GRACE = 0.3


@pytest.fixture(
    params=["fake", "process"]
    + [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("docker", "podman")]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EngineTest]:
    made = EngineTest(harness(request, tmp_path))
    yield made
    made.clean()


def test_an_engine_without_pilots_lists_none(bench: EngineTest) -> None:
    assert bench.engine.list_pilots() == ()


def test_a_started_pilot_is_listed_at_once_and_soon_runs(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    assert bench.look(name).state in (PilotState.STARTING, PilotState.RUNNING)
    pilot = bench.until(name, PilotState.RUNNING)
    assert pilot.pid is not None
    assert pilot.age is not None and 0.0 <= pilot.age < 20.0
    assert pilot.exit_code is None and not pilot.asked_to_stop


def test_age_grows(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    first = bench.until(name, PilotState.RUNNING).age
    assert first is not None

    def older() -> bool:
        bench.harness.pause()
        age = bench.look(name).age
        return age is not None and age > first

    wait_until(older, "an older pilot")


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_is_kept_until_the_pilot_is_removed(bench: EngineTest, code: int) -> None:
    name = bench.start(bench.harness.exits(code))
    pilot = bench.until(name, PilotState.EXITED)
    assert (pilot.exit_code, pilot.asked_to_stop) == (code, False)
    assert pilot.age is not None and pilot.age >= 0.0
    assert bench.look(name).exit_code == code
    bench.engine.remove(name)
    assert bench.engine.list_pilots() == ()


def test_an_end_wakes_the_daemon(bench: EngineTest) -> None:
    name = bench.start(bench.harness.exits(0))

    def seen_when_woken() -> bool:
        if not bench.woken.is_set():
            return False
        bench.woken.clear()
        return bench.look(name).state is PilotState.EXITED

    wait_until(seen_when_woken, "to be woken by the end", 90.0, state=bench.engine.list_pilots)


def test_a_command_that_is_not_there_is_an_end_with_a_reason(bench: EngineTest) -> None:
    pilot = bench.until(bench.start(bench.harness.missing()), PilotState.EXITED)
    assert (pilot.exit_code, pilot.never_ran) == (127, True)
    assert pilot.detail == "cannot run '/nowhere/thyme-worker': No such file or directory"


def test_a_pilot_asked_to_end_ends_and_is_known_to_have_been_asked(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    bench.until(name, PilotState.RUNNING)
    bench.engine.stop(name, 600.0)
    pilot = bench.until(name, PilotState.EXITED)
    assert (pilot.exit_code, pilot.asked_to_stop) == (128 + 15, True)


def test_a_pilot_that_will_not_end_is_stopping_and_then_killed(bench: EngineTest) -> None:
    name = bench.start_deaf()
    asked = time.monotonic()
    bench.engine.stop(name, GRACE)
    seen = bench.look(name).state
    assert seen is PilotState.STOPPING or time.monotonic() - asked > GRACE
    pilot = bench.until(name, PilotState.EXITED)
    assert (pilot.exit_code, pilot.asked_to_stop) == (128 + 9, True)


def test_asking_again_brings_the_end_nearer_and_never_further(bench: EngineTest) -> None:
    name = bench.start_deaf()
    bench.engine.stop(name, 600.0)
    assert bench.look(name).state is PilotState.STOPPING
    bench.engine.stop(name, 0.1)
    bench.engine.stop(name, 600.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 128 + 9


def test_a_grace_of_nothing_kills(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    bench.until(name, PilotState.RUNNING)
    bench.engine.stop(name, 0.0)
    assert bench.until(name, PilotState.EXITED).exit_code == 128 + 9


def test_a_pilot_stopped_before_it_runs_ends_too(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    bench.engine.stop(name, 5.0)
    assert bench.until(name, PilotState.EXITED).asked_to_stop


def test_stopping_or_removing_what_is_not_there_is_no_error(bench: EngineTest) -> None:
    bench.engine.stop("plancton-worker-nobody", 1.0)
    bench.engine.remove("plancton-worker-nobody")
    name = bench.start(bench.harness.exits(0))
    bench.until(name, PilotState.EXITED)
    bench.engine.stop(name, 1.0)
    assert bench.look(name).exit_code == 0


def test_weighing_pilots_or_what_is_not_there_harms_none(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    pilot = bench.until(name, PilotState.RUNNING)
    bench.engine.share_cpu({pilot.id: 10, "not-there": 10_000})
    assert bench.look(name).state is PilotState.RUNNING


def test_a_running_pilot_is_not_removed(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    bench.until(name, PilotState.RUNNING)
    with pytest.raises(EngineError, match="stop it first"):
        bench.engine.remove(name)
    assert bench.look(name).state is PilotState.RUNNING


def test_pilots_outlive_the_daemon_and_are_the_same_ones_after(bench: EngineTest) -> None:
    names = {bench.start(bench.harness.sleeps()) for _ in range(3)}
    before = {name: bench.until(name, PilotState.RUNNING).pid for name in names}
    bench.reopen()
    assert {pilot.name: pilot.pid for pilot in bench.engine.list_pilots()} == before


def test_an_exit_code_outlives_the_daemon(bench: EngineTest) -> None:
    name = bench.start(bench.harness.exits(4))
    bench.until(name, PilotState.EXITED)
    bench.reopen()
    pilot = bench.look(name)
    assert (pilot.state, pilot.exit_code) == (PilotState.EXITED, 4)


def test_the_end_of_an_adopted_pilot_wakes_the_daemon(bench: EngineTest) -> None:
    name = bench.start(bench.harness.sleeps())
    bench.until(name, PilotState.RUNNING)
    bench.reopen()
    bench.woken.clear()
    bench.engine.stop(name, 600.0)

    def seen_when_woken() -> bool:
        if not bench.woken.is_set():
            return False
        bench.woken.clear()
        pilot = bench.look(name)
        return (pilot.state, pilot.exit_code) == (PilotState.EXITED, 143)

    wait_until(seen_when_woken, "to be woken by the end", 90.0, state=bench.engine.list_pilots)


def test_that_a_pilot_was_asked_to_end_outlives_the_daemon(bench: EngineTest) -> None:
    name = bench.start_deaf()
    bench.engine.stop(name, 600.0)
    bench.reopen()
    assert bench.look(name).state is PilotState.STOPPING


def test_cpu_use_never_counts_back_when_pilots_end_and_are_removed(bench: EngineTest) -> None:
    readings = [bench.engine.read_usage().cpu_seconds]
    names = [bench.start(bench.harness.exits(0)) for _ in range(3)]
    for name in names:
        readings.append(bench.engine.read_usage().cpu_seconds)
        bench.until(name, PilotState.EXITED)
        readings.append(bench.engine.read_usage().cpu_seconds)
        bench.engine.remove(name)
        readings.append(bench.engine.read_usage().cpu_seconds)
    assert readings == sorted(readings)


def test_what_pilots_need_is_kept_ready_without_harm(bench: EngineTest) -> None:
    config = Config(docker_image=IMAGE)
    prepared = bench.engine.prepare(config, FACTS)
    assert prepared.image is None or prepared.image.name == IMAGE
    assert bench.engine.list_pilots() == ()


def test_a_running_pilot_reads_what_it_is_told_later(bench: EngineTest) -> None:
    name = bench.start(bench.harness.awaits("wall_limit_secs", "888"))
    told = bench.until(name, PilotState.RUNNING)
    bench.engine.tell(told.id, {"jobfeatures/wall_limit_secs": "888\n"})
    assert bench.until(name, PilotState.EXITED).exit_code == 0
    bench.engine.tell(told.id, {"jobfeatures/wall_limit_secs": "999\n"})
    bench.engine.tell("not-there", {"jobfeatures/wall_limit_secs": "999\n"})


def test_a_running_pilot_finds_no_file_of_what_is_taken_back(bench: EngineTest) -> None:
    name = bench.start(bench.harness.awaits("wall_limit_secs", ""))
    bench.until(name, PilotState.RUNNING)
    bench.engine.tell(name, {"jobfeatures/wall_limit_secs": "888\n"})
    bench.engine.tell(name, {"jobfeatures/wall_limit_secs": None})
    assert bench.until(name, PilotState.EXITED).exit_code == 0


def test_a_pilot_that_is_told_again_after_that_reads_it(bench: EngineTest) -> None:
    name = bench.start(bench.harness.awaits("wall_limit_secs", "999"))
    bench.until(name, PilotState.RUNNING)
    for text in (None, "999\n"):
        bench.engine.tell(name, {"jobfeatures/wall_limit_secs": text})
    assert bench.until(name, PilotState.EXITED).exit_code == 0


def test_a_pilot_reads_what_it_is_told_about_its_node(bench: EngineTest) -> None:
    """The spec of every pilot here says that its time is 777 s."""
    for value, code in (("777", 0), ("778", 1)):
        name = bench.start(bench.harness.reads("wall_limit_secs", value))
        assert bench.until(name, PilotState.EXITED).exit_code == code


def test_the_output_of_a_pilot_is_read_while_it_runs_and_until_it_is_removed(
    bench: EngineTest,
) -> None:
    name = bench.start(bench.harness.says("abcdef"))
    bench.until(name, PilotState.RUNNING)

    def said() -> set[int]:
        return set(bench.engine.read_output(name) or b"") - set(b"\n")

    # the two streams may come in either order
    wait_until(lambda: said() == set(b"abcdef"), "what it says")
    bench.engine.stop(name, 5.0)
    bench.until(name, PilotState.EXITED)
    assert said() == set(b"abcdef")
    bench.engine.remove(name)
    wait_until(lambda: bench.engine.read_output(name) is None, "its removal")


def test_the_output_of_what_is_not_there_is_unknown(bench: EngineTest) -> None:
    bench.engine.list_pilots()
    assert bench.engine.read_output("plancton-worker-nobody") is None
