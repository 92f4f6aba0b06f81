"""Change from one engine to another while pilots run."""

import logging
from dataclasses import replace

import pytest

from plancton.config.model import Config
from plancton.daemon.engine_switch import EngineSwitch
from plancton.engine.pilot_spec import PilotSpec, make_spec
from plancton.errors import EngineError
from plancton.model import PilotUsage
from tests.support.fake_node import FACTS, FakeClock, FakeEngine, FakePilotStore

OLD = Config(engine="process", scratch_dir="/old", docker_cmd=("sleep",))
NEW = OLD.model_copy(update={"scratch_dir": "/new"})


class Engines:
    """One fake engine per scratch directory, and what was opened."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.places: dict[str, FakePilotStore] = {}
        self.opened: list[FakeEngine] = []
        self.problem = ""

    def open(self, config: Config) -> FakeEngine:
        if self.problem:
            raise EngineError(self.problem)
        place = self.places.setdefault(config.scratch_dir, FakePilotStore(self.clock))
        engine = FakeEngine(place)
        engine.place = config.scratch_dir
        self.opened.append(engine)
        return engine

    def switch(self) -> tuple[EngineSwitch, FakeEngine, FakeEngine]:
        """Return a switch from the old settings to the new, with a pilot of each."""
        handover = EngineSwitch(self.open, OLD)
        handover.start(replace(pilot(1), features={"life": "1\n"}))
        handover.follow(NEW)
        handover.start(replace(pilot(2), features={"life": "1\n"}))
        handover.list_pilots()
        old, new = self.opened
        old.changes()
        new.changes()
        return handover, old, new


@pytest.fixture
def engines() -> Engines:
    return Engines()


def pilot(number: int, command: tuple[str, ...] = ("sleep",)) -> PilotSpec:
    config = OLD.model_copy(update={"docker_cmd": command})
    return make_spec(config, FACTS, f"plancton-worker-{number:06}")


def names(handover: EngineSwitch) -> list[str]:
    return sorted(one.name[-1] for one in handover.list_pilots())


def test_other_keys_do_not_open_an_engine(engines: Engines) -> None:
    handover = EngineSwitch(engines.open, OLD)
    assert handover.follow(OLD.model_copy(update={"max_docks": 9, "docker_image": "x"})) == ""
    assert len(engines.opened) == 1


def test_the_old_engine_s_pilots_go_on_and_count_until_they_end(engines: Engines) -> None:
    handover = EngineSwitch(engines.open, OLD)
    handover.start(pilot(1))
    handover.start(pilot(2))
    assert handover.follow(NEW) == ""
    handover.start(pilot(3))
    old, new = engines.opened
    assert names(handover) == ["1", "2", "3"]
    assert (len(old.running()), len(new.running())) == (2, 1)
    assert handover.place == "/new"


def test_each_pilot_is_stopped_and_removed_by_its_own_engine(engines: Engines) -> None:
    handover, old, new = engines.switch()
    handover.stop("plancton-worker-000001", 5.0)
    handover.remove("plancton-worker-000001")
    assert (old.changes(), new.changes()) == (["stop", "remove"], [])
    handover.stop("plancton-worker-000002", 5.0)
    assert (old.changes(), new.changes()) == ([], ["stop"])


def test_each_engine_shares_the_cpu_among_its_own_pilots(engines: Engines) -> None:
    handover, old, new = engines.switch()
    handover.share_cpu({"plancton-worker-000001": 10_000, "plancton-worker-000002": 10})
    assert (old.weights, new.weights) == (
        {"plancton-worker-000001": 10_000}, {"plancton-worker-000002": 10},
    )  # fmt: skip


def test_each_pilot_is_told_of_changes_by_its_own_engine(engines: Engines) -> None:
    handover, old, new = engines.switch()
    handover.tell("plancton-worker-000001", {"machinefeatures/shutdowntime": "1\n"})
    assert (old.changes(), new.changes()) == (["tell"], [])


def test_an_engine_without_pilots_is_let_go(engines: Engines) -> None:
    handover = EngineSwitch(engines.open, OLD)
    handover.start(pilot(1))
    handover.follow(NEW)
    old, _ = engines.opened
    old.end("plancton-worker-000001", 0)
    assert names(handover) == ["1"], "an ended one still waits to be removed"
    handover.remove("plancton-worker-000001")
    assert names(handover) == []
    old.unavailable = "gone for good"
    assert names(handover) == [], "it is not asked any more"


def test_an_old_engine_that_does_not_answer_makes_the_count_unknown(engines: Engines) -> None:
    handover, old, _ = engines.switch()
    old.unavailable = "hung"
    with pytest.raises(EngineError, match="hung"):
        handover.list_pilots()


def test_an_engine_that_has_never_answered_is_given_up(
    engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    handover = EngineSwitch(engines.open, OLD)
    engines.opened[0].unavailable = "a misspelt address"
    with pytest.raises(EngineError, match="a misspelt address"):
        handover.list_pilots()
    handover.follow(NEW)
    assert "is given up: it has never answered" in caplog.text
    handover.start(pilot(1))
    assert names(handover) == ["1"]


def test_a_misspelt_engine_that_is_repaired_leaves_the_pilots_of_before(engines: Engines) -> None:
    handover, _, _ = engines.switch()
    handover.follow(NEW.model_copy(update={"scratch_dir": "/misspelt"}))
    engines.opened[-1].unavailable = "nobody there"
    with pytest.raises(EngineError, match="nobody there"):
        handover.list_pilots()
    handover.follow(NEW)
    assert names(handover) == ["1", "2"]


def test_an_engine_that_cannot_be_opened_leaves_the_old_one_at_work(engines: Engines) -> None:
    handover = EngineSwitch(engines.open, OLD)
    engines.problem = "no such thing"
    assert handover.follow(NEW) == "the new engine settings are not in use: no such thing"
    handover.start(pilot(1))
    assert handover.place == "/old"
    engines.problem = ""
    assert handover.follow(NEW) == ""
    assert handover.place == "/new"


def test_new_settings_for_the_same_place_count_no_pilot_twice(engines: Engines) -> None:
    handover = EngineSwitch(engines.open, OLD)
    handover.start(pilot(1))
    assert handover.follow(OLD.model_copy(update={"cgroup_parent": "other"})) == ""
    assert len(engines.opened) == 2
    assert names(handover) == ["1"]


def test_there_and_back_again_counts_no_pilot_twice(engines: Engines) -> None:
    handover, _, _ = engines.switch()
    handover.follow(OLD)
    assert names(handover) == ["1", "2"]
    assert handover.place == "/old"


def test_the_end_of_a_pilot_of_either_engine_wakes_the_loop(engines: Engines) -> None:
    rung: list[str] = []
    handover = EngineSwitch(engines.open, OLD)
    handover.watch(lambda: rung.append("x"))
    handover.start(pilot(1))
    handover.follow(NEW)
    handover.start(pilot(2))
    old, new = engines.opened
    old.end("plancton-worker-000001", 0)
    new.end("plancton-worker-000002", 0)
    assert len(rung) == 2


def test_what_all_use_is_added_up_and_unknown_stays_unknown(engines: Engines) -> None:
    handover, old, new = engines.switch()
    old.used = {"a": PilotUsage(2.0, 100)}
    new.used = {"b": PilotUsage(3.0, 50)}
    used = handover.read_usage()
    assert (used.cpu_seconds, used.memory_bytes, set(used.pilots)) == (5.0, 150, {"a", "b"})
    old.unavailable = "hung"
    with pytest.raises(EngineError):
        handover.read_usage()
