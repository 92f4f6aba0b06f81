"""The control loop on a fake node: what it does to the engine, and when it makes a pass."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.daemon.control_loop import CHECK_INTERVAL
from plancton.engine.job_features import Features
from plancton.errors import EngineError, EngineRefused
from plancton.model import Mode, PilotState, Prepared, Protection, Trigger
from tests.support.fake_node import GB, IDLE, FakeNode


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    return FakeNode(tmp_path)


def test_an_idle_node_is_filled_in_one_pass(node: FakeNode) -> None:
    look = node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == ["start"] * 4
    assert [pilot.state for pilot in look.pilots or ()] == [PilotState.RUNNING] * 4


@pytest.mark.parametrize("told", [True, False])
def test_pilots_are_told_about_the_node_unless_machine_features_is_off(
    tmp_path: Path, told: bool
) -> None:
    command = ("reads", "jobfeatures/wall_limit_secs", "3600")
    node = FakeNode(tmp_path, docker_cmd=command, max_ttl=3600, machine_features=told)
    node.loop.run_pass(Trigger.TIMER)
    codes = [pilot.exit_code for pilot in node.engine.list_pilots()]
    assert codes == [0 if told else 1] * 4


def test_running_pilots_are_told_of_a_stop_that_is_announced_later(tmp_path: Path) -> None:
    command = ("awaits", "machinefeatures/shutdowntime", "1700121600")  # 2023-11-16 08:00 UTC
    values: dict[str, object] = {"docker_cmd": command, "max_docks": 2, "timezone": "UTC"}
    node = FakeNode(tmp_path, **values)
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == ["start", "start"]

    def announce(*stops: str) -> None:
        node.config = Config(**values, stops=stops)  # type: ignore[arg-type]
        node.loop.request_reload()
        node.loop.run_pass(Trigger.TIMER)

    announce("2023-11-17 08:00-18:00")
    assert node.engine.changes() == ["tell", "tell"]
    assert len(node.engine.running()) == 2
    announce("2023-11-17 08:00-18:00")
    assert node.engine.changes() == [], "once is enough"

    announce("2023-11-16 08:00-18:00")

    assert node.engine.changes()[:2] == ["tell", "tell"]
    ended = [one for one in node.engine.list_pilots() if one.state is PilotState.EXITED]
    assert [one.exit_code for one in ended] == [0, 0]


def test_a_stop_that_is_taken_back_is_told_to_pilots_and_explained(tmp_path: Path) -> None:
    values: dict[str, object] = {"max_docks": 1, "timezone": "UTC", "max_ttl": 10**6}
    stop = {"stops": ("2023-11-16 08:00-18:00",), "drain_lead": 60}
    # the fake node's clock says 2023-11-14 22:30 UTC
    node = FakeNode(tmp_path, docker_cmd=("sleep",), **values, **stop)
    node.loop.run_pass(Trigger.TIMER)
    (features,) = node.engine.list_features()
    assert features["machinefeatures/shutdowntime"] == "1700121600\n"
    assert features["life"] == "1700121600\n"

    node.config = Config(docker_cmd=("sleep",), **values)  # type: ignore[arg-type]
    node.loop.request_reload()
    node.loop.run_pass(Trigger.TIMER)
    look = node.loop.run_pass(Trigger.TIMER)

    (features,) = node.engine.list_features()
    assert not {"machinefeatures/shutdowntime", "machinefeatures/grace_secs"} & {*features}
    # a million seconds after its start at 1,700,001,000
    assert features["jobfeatures/shutdowntime_job"] == "1701001000\n"
    assert features["life"] == "1701001000\n"
    (window,) = (one.text for one in look.decision.reasons if one.rule == "window")
    assert window == (
        "No windows are set: the node may be used at any time. The end at Thu 2023-11-16 08:00 UTC "
        "that pilots were told of is taken back."
    )
    assert node.engine.changes() == ["start", "tell"]


def test_the_deadline_of_a_drain_is_told_and_so_is_the_end_of_that_drain(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, docker_cmd=("sleep",), max_docks=1, timezone="UTC")
    node.loop.run_pass(Trigger.TIMER)
    node.flags.drain(deadline=1_700_121_600.0)
    look = node.loop.run_pass(Trigger.EVENT)
    (features,) = node.engine.list_features()
    assert features["machinefeatures/shutdowntime"] == "1700121600\n"
    (mode,) = (one.text for one in look.decision.reasons if one.rule == "mode")
    assert mode == (
        "The node drains: `planctonctl resume` ends that. Pilots that still run at Thu 2023-11-16 "
        "08:00 UTC are asked to end."
    )
    node.flags.resume()
    node.loop.run_pass(Trigger.EVENT)
    (features,) = node.engine.list_features()
    assert "machinefeatures/shutdowntime" not in features
    assert "life" not in features


def test_a_drain_without_a_deadline_or_with_one_that_is_no_time_tells_nothing(
    node: FakeNode,
) -> None:
    flag = node.flags._drain
    for text in ("", "soon\n", "nan\n", "inf\n", "-1\n", "1" * 1000):
        node.flags.drain()
        flag.write_text(text)
        assert node.flags.read_mode() is Mode.DRAIN
        assert node.flags.find_drain_deadline() is None


def test_each_pilot_has_its_sentences_and_a_stopped_one_its_reason(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, docker_cmd=("sleep",), max_docks=1, max_ttl=12_000)
    look = node.loop.run_pass(Trigger.TIMER)
    node.clock.advance(7500.0)
    look = node.loop.run_pass(Trigger.TIMER)
    (pilot,) = node.build_document(look)["pilots"]
    assert pilot["text"].startswith(
        "When it started it was told 3 h 20 min (max_ttl); 1 h 15 min of that are left. "
    )
    node.clock.advance(4600.0)
    node.loop.run_pass(Trigger.TIMER)
    look = node.loop.run_pass(Trigger.TIMER)
    (ended,) = node.build_document(look)["ended"]
    assert ended["stop_reason"] == "it is older than max_ttl"


def test_a_pilot_that_cannot_be_told_of_a_stop_keeps_no_other_from_it(
    node: FakeNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.loop.run_pass(Trigger.TIMER)
    told: list[str] = []

    def tell(pilot_id: str, features: Features) -> None:
        told.append(features["machinefeatures/shutdowntime"] or "")
        if len(told) == 1:
            raise EngineError(f"{pilot_id}: cannot be told: No space left on device")

    monkeypatch.setattr(node.engine, "tell", tell)
    node.config = Config(docker_cmd=("sleep",), stops=("2023-11-16 08:00-18:00",), timezone="UTC")
    node.loop.request_reload()
    node.loop.run_pass(Trigger.TIMER)
    assert told == ["1700121600\n"] * 4
    assert "cannot be told: No space left on device" in caplog.text


@pytest.mark.parametrize("other_first", [False, True])
def test_a_reload_asked_for_during_a_look_is_carried_out_by_the_next(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, other_first: bool
) -> None:
    refresh = node.watch.refresh

    def refresh_and_be_asked(force: bool = False) -> None:
        refresh(force)
        node.config = Config(docker_cmd=("sleep",), max_docks=1)
        node.loop.request_reload()  # as the handler of a signal does

    if other_first:
        node.loop.request_reload()
    with monkeypatch.context() as patch:
        patch.setattr(node.watch, "refresh", refresh_and_be_asked)
        node.loop.run_pass(Trigger.EVENT)
    assert node.watch.config != node.config
    node.loop.run_pass(Trigger.EVENT)
    assert node.watch.config == node.config


def test_the_engine_gets_the_weights_of_pilots_where_the_owner_is_protected(node: FakeNode) -> None:
    node.engine.prepared = Prepared(protection=Protection("kernel", cpu="idle"))
    node.loop.run_pass(Trigger.TIMER)
    node.clock.advance(30.0)
    node.loop.run_pass(Trigger.TIMER)
    assert sorted(node.engine.weights.values()) == [10, 100, 1000, 10_000]
    assert set(node.engine.weights) == set(node.engine.running())


def test_a_full_node_is_left_alone(node: FakeNode) -> None:
    node.loop.run_pass(Trigger.TIMER)
    node.engine.changes()
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == []


def test_the_timer_looks_every_main_sleep_and_no_more(node: FakeNode) -> None:
    def life(_seconds: float) -> None:
        if node.clock.now() > 1000 + 10 * 30 - 5:
            node.loop.request_end()

    node.during = life
    node.loop.run()
    # The first fills; the second sees that the pilots run; then one look each 30 s.
    assert len(node.passes) == 2 + 9
    assert max(node.wakeup.waits) <= CHECK_INTERVAL


def test_after_a_start_the_next_pass_is_soon(node: FakeNode) -> None:
    assert node.loop.run_pass(Trigger.TIMER).decision.recheck_after == node.engine.starting_interval


def test_no_answer_of_the_engine_starts_nothing_and_the_reason_is_published(node: FakeNode) -> None:
    node.loop.run_pass(Trigger.TIMER)
    node.engine.changes()
    node.engine.unavailable = "connection refused"
    look = node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == []
    assert look.pilots is None
    assert look.engine_problem == "connection refused"
    node.engine.unavailable = ""
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == []


@pytest.mark.parametrize("question", ["list_pilots", "prepare"])
def test_an_engine_that_answers_with_an_error_ends_no_daemon(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise EngineRefused("layer not retained")

    node.loop.run_pass(Trigger.TIMER)
    node.engine.changes()
    with monkeypatch.context() as broken:
        broken.setattr(node.engine, question, refuse)
        look = node.loop.run_pass(Trigger.TIMER)
    assert (look.pilots, look.engine_problem) == (None, "layer not retained")
    assert node.engine.changes() == []
    assert node.loop.run_pass(Trigger.TIMER).engine_problem == ""


def test_after_a_failed_start_no_other_is_tried_in_that_pass(node: FakeNode) -> None:
    node.engine.start_problem = "no space left on device"
    look = node.loop.run_pass(Trigger.TIMER)
    assert node.loop.counts["start_failures"] == 1
    assert look.decision.history.breaker.failures == 1
    assert "no space left on device" in look.decision.history.breaker.reason


def test_starts_that_fail_again_and_again_back_off(node: FakeNode) -> None:
    node.engine.start_problem = "no"
    for _ in range(20):
        node.loop.run_pass(Trigger.TIMER)
        node.clock.advance(1)
    assert node.loop.counts["start_failures"] == 3
    node.engine.start_problem = ""
    node.clock.advance(30)
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == ["start"], "one is tried first"
    node.clock.advance(15)
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == ["start"] * 3, "it lives: the rest follows"


def test_a_removal_that_fails_is_reported_once_and_tried_again(
    node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.loop.run_pass(Trigger.TIMER)
    name = node.engine.running()[0]
    node.engine.end(name, 0)
    node.engine.remove_problem = "device busy"
    for _ in range(3):
        node.loop.run_pass(Trigger.TIMER)
    assert caplog.text.count("device busy") == 1
    assert node.loop.counts["ended"] == 1
    node.engine.changes()
    node.engine.remove_problem = ""
    node.loop.run_pass(Trigger.TIMER)
    assert node.engine.changes() == ["remove"]


def test_memory_that_runs_short_between_two_timer_passes_is_noticed(node: FakeNode) -> None:
    def life(_seconds: float) -> None:
        if node.clock.now() > 1005:
            node.sensors.the_load = replace(IDLE, mem_available=0, pilots_mem=0)
        if node.clock.now() > 1010:
            node.loop.request_end()

    node.during = life
    node.loop.run()
    assert ("stop", node.engine.calls[-1][1]) in node.engine.calls
    first = next(look for look in node.passes if look.load.mem_available == 0)
    # All at once: an owner who took 60 GB within seconds is not waited for.
    assert first.decision.summary.startswith("Stopping 4 pilots: memory is short")


def test_an_owner_who_comes_back_gets_the_node_after_grace_kill(node: FakeNode) -> None:
    evicted_at: list[float] = []

    def life(_seconds: float) -> None:
        if node.clock.now() > 1100:
            node.sensors.the_load = replace(IDLE, busy_cpus=8.0)
        if not evicted_at and any(kind == "stop" for kind, _ in node.engine.calls):
            evicted_at.append(node.clock.now())
        if node.clock.now() > 1500:
            node.loop.request_end()

    node.during = life
    node.loop.run()
    assert node.engine.running() == []
    assert 1100 + 120 <= evicted_at[0] <= 1100 + 120 + 2 * 30 + CHECK_INTERVAL


# Modes


def test_a_drain_is_seen_at_the_next_check_and_survives_a_new_loop(
    node: FakeNode, tmp_path: Path
) -> None:
    node.flags.drain()
    look = node.loop.run_pass(Trigger.TIMER)
    assert look.mode is Mode.DRAIN
    assert node.engine.changes() == []
    again = FakeNode(tmp_path)
    again.loop.run_pass(Trigger.TIMER)
    assert again.engine.changes() == []
    again.flags.resume()
    again.loop.run_pass(Trigger.TIMER)
    assert again.engine.changes() == ["start"] * 4


def test_drain_stop_does_not_end_while_the_engine_is_silent(node: FakeNode) -> None:
    node.engine.unavailable = "hung"
    node.flags.drain(then_stop=True)
    node.during = lambda _seconds: node.loop.request_end() if node.clock.now() > 1100 else None
    node.loop.run()
    assert node.flags.read_mode() is Mode.DRAIN_STOP


# Status


def test_the_status_holds_what_the_promise_says(node: FakeNode) -> None:
    node.sensors.the_load = replace(IDLE, busy_cpus=2.0, pilots_cpus=1.0)
    node.loop.run_pass(Trigger.TIMER)
    node.engine.end(node.engine.running()[0], 4)
    look = node.loop.run_pass(Trigger.EVENT)
    node.watch.problem = "bad"
    document = node.build_document(look)
    assert json.loads(json.dumps(document)) == document
    assert document["host"]["owner_cpu_fraction"] == 1.0 / 8
    assert document["host"]["pilots_cpu_fraction"] == 1.0 / 8
    assert document["capacity"] == {"start": 4, "keep": 4}
    assert document["config"]["problem"] == "bad"
    assert document["breaker"]["failures"] == 1
    assert document["no_work"] == {"level": 0, "next_probe_in": None}
    assert [one["exit_code"] for one in document["ended"]] == [4]
    assert len(document["pilots"]) == 4
    assert set(document["pilots"][0]) >= {"name", "pid", "age", "state"}


def test_memory_of_the_pilots_reaches_the_decision(node: FakeNode) -> None:
    from plancton.model import PilotUsage

    node.loop.run_pass(Trigger.TIMER)
    name = node.engine.running()[0]
    node.engine.used = {name: PilotUsage(cpu_seconds=7.0, memory_bytes=GB)}
    look = node.loop.run_pass(Trigger.TIMER)
    (pilot,) = (pilot for pilot in look.pilots or () if pilot.name == name)
    assert (pilot.cpu_seconds, pilot.memory_bytes) == (7.0, GB)


# A repair


def test_a_retry_is_done_once_and_waits_for_an_engine_that_does_not_answer(
    tmp_path: Path,
) -> None:
    node = FakeNode(tmp_path, docker_cmd=("exit", "4"))
    for trigger in (Trigger.TIMER, Trigger.EVENT, Trigger.EVENT):
        node.loop.run_pass(trigger)
    node.engine.changes()
    node.flags.request_retry()
    node.engine.unavailable = "it restarts"
    node.loop.run_pass(Trigger.EVENT)
    assert node.flags.wants_retry(), "nothing was tried yet"
    node.engine.unavailable = ""
    node.loop.run_pass(Trigger.EVENT)
    assert node.engine.changes().count("start") == 4
    assert not node.flags.wants_retry()
    node.loop.run_pass(Trigger.EVENT)
    assert node.engine.changes().count("start") == 0, "once: they failed again"
