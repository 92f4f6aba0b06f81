"""What a node sends: the series of 2017 unchanged, and what an admin asks when things go wrong."""

import logging
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.metrics.points import Tally
from plancton.metrics.sender import Metrics
from plancton.model import (
    Capacity,
    Decision,
    EndedPilot,
    History,
    HostLoad,
    ImageStatus,
    LoopPass,
    Mode,
    Pilot,
    PilotState,
    Prepared,
    Protection,
    StopPilot,
    Trigger,
)
from plancton.policy import rules
from telemetry.points import Point
from telemetry.sender import Senders
from tests.support.fake_node import FACTS, GB, FakeNode
from tests.support.services.rabbitmq import free_port

LOG = logging.getLogger("test-metrics")


class Node(FakeNode):
    """A loop whose looks go to ``Metrics``; the points end in ``points``."""

    def __init__(self, rundir: Path, **config: object) -> None:
        super().__init__(rundir, **{"metrics_interval": 30.0, "site": "occam", **config})
        self.points: list[Point] = []
        self.metrics = Metrics(FACTS, self.clock.now, self.clock.wall, Senders(LOG))
        self.metrics.reporter.listeners.append(self.points.extend)

    def look(self, seconds: float = 0.0) -> LoopPass:
        self.clock.advance(seconds)
        look = self.loop.run_pass(Trigger.TIMER)
        self.metrics.look(look, self.watch, self.loop.counts, self.loop.errors)
        return look

    def interval(self) -> dict[str, Point]:
        """Return the last point of each series of the next interval."""
        self.points.clear()
        self.look(30.0)
        return {point.series: point for point in self.points}


def test_the_series_of_2017_keep_their_names_tags_and_fields(tmp_path: Path) -> None:
    node = Node(tmp_path, max_docks=2)
    load = HostLoad(busy_cpus=4.0, pilots_cpus=2.0, mem_available=60 * GB, pilots_mem=0)
    node.sensors.the_load = load
    node.look()
    node.engine.end(node.engine.running()[0], 0)
    node.look(10.0)
    sent = node.interval()
    host = {"hostname": "node1"}
    assert (sent["daemon"].tags, dict(sent["daemon"].fields)) == (
        host,
        {"uptime": 40.0, "containers": 2, "status": "active"},
    )
    assert (sent["measurement"].tags, dict(sent["measurement"].fields)) == (host, {"cpu_eff": 50.0})


def test_each_pilot_that_ended_is_one_point_of_2017(tmp_path: Path) -> None:
    node = Node(tmp_path, max_docks=2)
    node.look()
    for name in node.engine.running():
        node.engine.end(name, 0)
    node.look(5.0)
    node.points.clear()
    node.look(30.0)
    ended = [point for point in node.points if point.series == "container"]
    assert [dict(point.fields) for point in ended] == [{"uptime": 0.0}] * 2
    assert ended[0].tags == {"hostname": "node1", "started": "True", "killed": "False"}
    assert ended[0].time != ended[1].time, "or the store would take them for one"
    node.points.clear()
    node.look(30.0)
    assert not [point for point in node.points if point.series == "container"], "sent once"


def test_a_pilot_that_never_ran_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path, max_docks=1, docker_cmd=("/nowhere",), breaker_failures=1)
    node.look()
    node.look(1.0)
    sent = node.interval()
    assert sent["container"].tags["started"] == "False"
    assert sent["plancton_pilots"].fields["ended_failure"] == 1


def test_points_come_at_round_moments_and_not_with_every_look(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.clock.advance(7.4)
    assert node.clock.wall() % 30.0 == pytest.approx(7.4)
    for _ in range(22):
        node.look(1.0)
    assert node.points == []
    node.look(1.0)
    assert {point.series for point in node.points} == {
        "daemon", "measurement", "plancton_node", "plancton_pilots", "plancton_state"
    }  # fmt: skip
    assert {point.time % 30.0 for point in node.points} == {0.0}, "the moment, not the look"


@pytest.mark.parametrize(
    ("interval", "seconds"), [(10.0, 100.0), (20.0, 300.0), (30.0, 300.0), (60.0, 300.0)]
)
def test_cpu_time_of_five_minutes_is_told_in_equal_parts_and_adds_up(
    tmp_path: Path, interval: float, seconds: float
) -> None:
    node = Node(tmp_path, max_docks=2, metrics_interval=interval)
    node.look()
    node.sensors.the_load = HostLoad(busy_cpus=5.0, pilots_cpus=2.0, mem_available=60 * GB)
    for _ in range(60):
        node.look(10.0)
    told = [point for point in node.points if point.series == "plancton_cpu"]
    assert {point.time % seconds for point in told} == {0.0}
    assert len(told) == 600.0 / seconds
    last = told[len(told) // 2 :]
    fields = {name: sum(point.fields[name] for point in last) for name in told[0].fields}
    # eight CPUs for five minutes
    assert (fields["total_seconds"], fields["pilots_seconds"]) == (2400.0, 600.0)
    assert (fields["owner_seconds"], fields["idle_limited_seconds"]) == (900.0, 900.0)
    assert fields["idle_no_work_seconds"] == fields["idle_closed_seconds"] == 0.0
    assert fields["owner_squeezed_seconds"] == 0.0


def test_cpu_time_of_which_nothing_is_known_counts_for_nobody(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.look()
    node.sensors.the_load = HostLoad(busy_cpus=5.0, pilots_cpus=2.0, mem_available=60 * GB)
    for _ in range(4):
        node.look(30.0)
    node.sensors.the_load = HostLoad()
    for _ in range(6):
        node.look(30.0)
    (told,) = [point for point in node.points if point.series == "plancton_cpu"]
    assert told.fields["total_seconds"] == 8 * 120.0


@pytest.mark.parametrize("reason", ["closed", "no_work"])
def test_idle_cpu_time_is_told_by_why_it_idles(tmp_path: Path, reason: str) -> None:
    node = Node(tmp_path, max_docks=1, exit_no_work=(3,))
    node.look()
    for seconds in [0.0] + [30.0] * 10:
        if reason == "closed":
            node.flags.drain()
        else:
            for name in node.engine.running():
                node.engine.end(name, 3)
        node.look(seconds)
    (told,) = [point for point in node.points if point.series == "plancton_cpu"]
    assert told.fields[f"idle_{reason}_seconds"] == 2400.0


def test_what_is_not_known_is_left_out_and_never_zero(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.engine.unavailable = "gone"
    node.sensors.the_load = HostLoad()
    node.look()
    sent = node.interval()
    assert "measurement" not in sent
    assert set(sent["plancton_node"].fields) == {"ncpus", "mem_total"}
    assert "running" not in sent["plancton_pilots"].fields
    assert "containers" not in sent["daemon"].fields
    assert sent["plancton_state"].fields["engine_ok"] is False
    assert sent["daemon"].fields["status"] == "waiting"
    assert (sent["plancton_errors"].tags["kind"], sent["plancton_errors"].fields["count"]) == (
        "engine",
        1,
    )


def test_starts_and_ends_are_counted_between_two_points(tmp_path: Path) -> None:
    node = Node(tmp_path, max_docks=3, exit_no_work=(3,), exit_failure=(4,))
    node.look()
    first = node.interval()["plancton_pilots"].fields
    assert (first["started"], first["running"]) == (3, 3)
    one, two, three = node.engine.running()
    node.engine.end(one, 0)
    node.engine.end(two, 3)
    node.engine.end(three, 4)
    node.look(5.0)
    fields = node.interval()["plancton_pilots"].fields
    told = [fields[f"ended_{what}"] for what in ("normal", "no_work", "failure", "other")]
    assert told == [1, 1, 1, 0]
    fields = node.interval()["plancton_pilots"].fields
    assert fields["ended_normal"] == 0, "counted once"


def test_evictions_are_counted_by_reason(tmp_path: Path) -> None:
    node = Node(tmp_path, max_docks=2, mem_reserve=GB)
    node.look()
    node.sensors.the_load = HostLoad(busy_cpus=0.0, pilots_cpus=0.0, mem_available=0, pilots_mem=0)
    node.look(1.0)
    evicted = node.interval()["plancton_evictions"]
    assert (evicted.tags["reason"], evicted.fields["count"]) == ("memory", 2)
    assert "plancton_evictions" not in node.interval(), "counted once"


def test_a_daemon_that_ends_tells_what_happened_since_the_last_points(tmp_path: Path) -> None:
    """Else a forced stop is never told, and a node that was drained to its end is missed."""
    node = Node(tmp_path, max_docks=2)
    node.look()
    node.interval()
    node.points.clear()
    node.flags.force_stop()
    node.look(1.0)
    node.metrics.close()
    told = {point.series: point for point in node.points}
    assert told["plancton_evictions"].tags["reason"] == "force-stop"
    assert told["plancton_evictions"].fields["count"] == 2
    assert (told["plancton_state"].fields["mode"], told["plancton_state"].fields["active"]) == (
        "force-stop", 0
    )  # fmt: skip
    assert {point.time for point in told.values()} == {node.clock.wall()}
    # of a part of five minutes: a step of the picture would show it beside a whole one
    assert "plancton_cpu" not in told


def test_a_daemon_that_ends_before_it_looked_tells_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.metrics.close()
    assert node.points == []


def test_cpu_time_of_evicted_pilots_is_told_by_reason_when_they_end(tmp_path: Path) -> None:
    tally = Tally()
    running = Pilot("1", "a", PilotState.RUNNING, age=9.0, cpu_seconds=40.0)
    done = Pilot("2", "b", PilotState.RUNNING, age=9.0, cpu_seconds=50.0)
    decided = Decision(
        actions=(StopPilot(running, 1.0, rules.TOO_OLD), StopPilot(done, 1.0, rules.TOO_OLD)),
        reasons=(), capacity=Capacity(0, 0), history=History(), summary="",
    )  # fmt: skip
    nothing = replace(decided, actions=())

    def see(decision: Decision, pilots: tuple[Pilot, ...], *ends: EndedPilot) -> None:
        tally.see(LoopPass(decision, pilots, HostLoad(), Mode.ACTIVE, "", ends=ends), 0.0)

    see(decided, (running, done))
    see(nothing, (replace(running, state=PilotState.STOPPING, cpu_seconds=42.0), done))
    assert tally.evictions == {"max_ttl": 2}
    assert tally.evicted_cpu == {}, "none has ended"
    ended = EndedPilot("a", 143, 10.0, 0.0, True, "", "says nothing", stop_reason=rules.TOO_OLD)
    see(nothing, (done,), ended, replace(ended, name="b", outcome="normal"))
    assert tally.evicted_cpu == {"max_ttl": 42.0}, "the other one has finished its job"
    assert tally.finished_cpu == 50.0
    assert tally.used == {"b": 50.0}, "nothing is kept of who is gone"
    assert tally.evictions == {"max_ttl": 2}


def test_a_pilot_that_a_command_asked_to_end_is_counted_when_it_ends() -> None:
    tally = Tally()
    decided = Decision((), (), Capacity(0, 0), History(), "")
    running = Pilot("1", "a", PilotState.STOPPING, age=9.0, cpu_seconds=40.0)
    ended = EndedPilot("a", 143, 10.0, 0.0, True, "", "says nothing")
    tally.see(LoopPass(decided, (running,), HostLoad(), Mode.DRAIN, ""), 0.0)
    tally.see(LoopPass(decided, (), HostLoad(), Mode.DRAIN, "", ends=(ended,)), 1.0)
    assert (tally.evictions, tally.evicted_cpu) == ({"other": 1}, {"other": 40.0})


@pytest.mark.parametrize(
    ("protection", "busy", "squeezed", "felt"),
    [
        (Protection("/plancton", cpu="idle"), 8.0, 0.75, 0.0),
        (Protection("/plancton", cpu=""), 8.0, 0.75, 1.0),
        (Protection("/a/plancton", cpu="idle", inside="/a"), 8.0, 0.75, 1.0),
        (Protection("/plancton", cpu=""), 4.0, 0.0, 0.0),
    ],
)
def test_who_is_squeezed_by_whom_is_told(
    tmp_path: Path, protection: Protection, busy: float, squeezed: float, felt: float
) -> None:
    node = Node(tmp_path, max_docks=4)
    node.engine.prepared = Prepared(protection=protection)
    node.look()
    node.sensors.the_load = HostLoad(busy_cpus=busy, pilots_cpus=1.0, mem_available=60 * GB)
    fields = node.interval()["plancton_node"].fields
    assert (fields["pilots_squeezed"], fields["owner_squeezed"]) == (squeezed, felt)
    assert fields["harvest"] == pytest.approx(1.0 / (9.0 - busy))


def test_the_state_names_what_holds_the_node_back(tmp_path: Path) -> None:
    node = Node(tmp_path)
    image = ImageStatus("w:1", "w:1", "sha256:a", problem="refused", age=7.0)
    node.engine.prepared = Prepared(image=image)
    node.flags.drain()
    node.look()
    sent = node.interval()
    state = sent["plancton_state"].fields
    assert (state["mode"], state["image"], state["image_age"]) == ("drain", "sha256:a", 7.0)
    assert state["image_problem"] is True
    assert sent["plancton_pilots"].fields["limited_by"] == "mode"
    assert sent["plancton_state"].tags == {"hostname": "node1", "site": "occam"}
    assert sent["daemon"].fields["status"] == "draining"
    assert (state["active"], state["in_trouble"], state["trouble"]) == (0, 1, "image")


def test_a_rejected_configuration_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.watch.problem = "c.yaml: unknown key"
    node.watch.config = node.watch.config.model_copy(update={"updateconfig": 1e6})
    node.look()
    state = node.interval()["plancton_state"].fields
    assert state["config_rejected"] is True
    assert state["config_age"] == pytest.approx(30.0)


def test_the_time_to_start_is_measured_from_the_request() -> None:
    tally = Tally()
    starting = Pilot("a", "a", PilotState.STARTING)
    tally._see_starts([starting], now=100.0)
    tally._see_starts([starting], now=100.3)
    tally._see_starts([Pilot("a", "a", PilotState.RUNNING, age=0.1)], now=100.5)
    assert tally.latencies == [pytest.approx(0.4)]
    tally._see_starts([Pilot("b", "b", PilotState.STARTING)], now=101.0)
    tally._see_starts([], now=102.0)
    assert tally.starting == {}, "one that vanished is not waited for"


def test_a_wrong_target_is_a_problem_of_the_configuration() -> None:
    metrics = Metrics(FACTS, lambda: 0.0, lambda: 0.0, Senders(LOG))
    assert metrics.follow(Config(influxdb_url="http://u:geheim@influx:8086")) == (
        "influxdb_url: the URL of the InfluxDB at influx names no database; "
        "write http[s]://[USER[:PASSWORD]@]HOST[:PORT][/?OPTIONS]#DATABASE, "
        "and characters like / ? # @ % in a password as %XX"
    )
    assert metrics.follow(Config()) == ""


def test_the_page_of_a_node_that_gets_another_site_has_nothing_of_the_first(tmp_path: Path) -> None:
    node, address = Node(tmp_path), f"127.0.0.1:{free_port()}"
    try:
        for site in ("occam", "hlt"):
            assert node.metrics.follow(Config(prometheus=address, site=site)) == ""
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
            page = answer.read().decode()
        assert 'site="hlt"' in page and 'site="occam"' not in page
    finally:
        node.metrics.close()


def test_the_page_for_prometheus_follows_the_configuration(tmp_path: Path) -> None:
    node = Node(tmp_path)
    one, other = (f"127.0.0.1:{free_port()}" for _ in range(2))
    try:
        assert node.metrics.follow(Config(prometheus=one)) == ""
        node.look(30.0)
        with urllib.request.urlopen(f"http://{one}/metrics", timeout=20) as answer:
            assert b'plancton_node_cpus{hostname="node1",site="occam"} 8.0' in answer.read()
        assert node.metrics.follow(Config(prometheus=other)) == ""
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"http://{one}/metrics", timeout=20)
        assert node.metrics.follow(Config(prometheus="x")).startswith("prometheus: write ADDRESS")
    finally:
        node.metrics.close()
