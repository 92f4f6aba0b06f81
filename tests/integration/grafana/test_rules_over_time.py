"""The life of each alert: quiet while all is well, firing until it is mended, then quiet again.

Rules are taken from the provisioned file as it stands, and evaluated minute by minute against a
real InfluxDB in which something goes wrong for a while.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from plancton.metrics import series as node_series
from telemetry.influx import TIMEOUT, Influx
from telemetry.points import Point, Value
from telemetry.sender import RETRY_MAX
from telemetry.targets import parse
from tests.support.grafana_rules import Ask, Labels, Rule
from tests.support.known_world import CPU_STEP, HOUR, STEP, made
from tests.support.services.influx import InfluxServer
from tests.unit.grafana.test_source import rules
from vobox.metrics import series as schedd_series

DATABASE = "replay"
MINUTE = 60
Tell = Callable[[int, bool], Iterator[Point]]


class Replay:
    """A database of its own for each test, and the rules."""

    def __init__(self, server: InfluxServer) -> None:
        self.server = server
        self.client = server.client(DATABASE)
        self.client.create_database(DATABASE)
        self.target = Influx(parse(f"http://127.0.0.1:{server.port}#{DATABASE}"))
        #: where it begins; two days ago, and not on a round moment of any bucket
        self.begin = int(time.time()) // HOUR * HOUR - 48 * HOUR + 390

    def clean(self) -> None:
        self.client.drop_database(DATABASE)
        self.client.close()
        self.target.close()

    def tell(self, tell: Tell, bad: tuple[int, int], until: int) -> None:
        """Write what is told each 30 s; it is bad in between (seconds since the beginning)."""
        batch: list[Point] = []
        first = -(-self.begin // STEP) * STEP
        for moment in range(first, self.begin + until, STEP):
            batch += tell(moment, bad[0] <= moment - self.begin < bad[1])
        for start in range(0, len(batch), 5000):
            self.target.write(batch[start : start + 5000])

    def life(self, uid: str, until: int, begin: int = 0) -> Iterator[tuple[int, Rule]]:
        """Evaluate each minute; seconds since the beginning, and the rule."""
        (described,) = [one for one in rules() if one["uid"] == uid]
        rule = Rule(described)
        ask = Ask(self.client)
        for at in range(begin, until, MINUTE):
            rule.evaluate(ask, self.begin + at)
            yield at, rule


@pytest.fixture
def replay(influxdb: InfluxServer) -> Iterator[Replay]:
    made = Replay(influxdb)
    yield made
    made.clean()


def labels(**of: str) -> Labels:
    return frozenset(of.items())


def node_tags(name: str) -> dict[str, str]:
    return {"site": "A", "hostname": name}


def of_nodes(fields: Callable[[bool], dict[str, Value]]) -> Tell:
    """Two nodes: n1 is well, n2 is not while it is bad."""

    def tell(moment: int, bad: bool) -> Iterator[Point]:
        for name in ("n1", "n2"):
            state: dict[str, Value] = {"active": 1, "mode": "active", "uptime": 5.0}
            is_bad = bad and name == "n2"
            yield made(node_series.STATE, node_tags(name), {**state, **fields(is_bad)}, moment)

    return tell


def of_schedds(fields: Callable[[bool], dict[str, Value]]) -> Tell:
    def tell(moment: int, bad: bool) -> Iterator[Point]:
        for name in ("s1", "s2"):
            values: dict[str, Value] = {"uptime": 5.0, "broker_ok": True, "rebuilding": False}
            is_bad = bad and name == "s2"
            tags = {"site": "A", "schedd": name}
            yield made(schedd_series.SCHEDD, tags, {**values, **fields(is_bad)}, moment)

    return tell


def silent_node(moment: int, bad: bool) -> Iterator[Point]:
    for name in ("n1",) if bad else ("n1", "n2"):
        fields: dict[str, Value] = {"active": 1, "engine_ok": True}
        yield made(node_series.STATE, node_tags(name), fields, moment)


def drained_and_switched_off(moment: int, bad: bool) -> Iterator[Point]:
    for name in ("n1",) if bad else ("n1", "n2"):
        fields: dict[str, Value] = {"active": int(name == "n1"), "engine_ok": True}
        yield made(node_series.STATE, node_tags(name), fields, moment)


def silent_schedd(moment: int, bad: bool) -> Iterator[Point]:
    for name in ("s1",) if bad else ("s1", "s2"):
        tags = {"site": "A", "schedd": name}
        yield made(schedd_series.SCHEDD, tags, {"uptime": 1.0}, moment)


def squeezed(moment: int, bad: bool) -> Iterator[Point]:
    for name in ("n1", "n2"):
        taken = 2.0 if bad and name == "n2" else 0.0
        yield made(node_series.NODE, node_tags(name), {"owner_squeezed": taken}, moment)


def harvest(waiting: Callable[[bool], int], idle: str) -> Tell:
    """Sites A and B idle while it is bad, by ``idle``; jobs wait at B by ``waiting``."""

    def tell(moment: int, bad: bool) -> Iterator[Point]:
        for site in ("A", "B"):
            if moment % CPU_STEP == 0:
                tags = {"site": site, "hostname": "n1"}
                share = 0.95 if bad else 0.1
                fields: dict[str, Value] = {"total_seconds": 100.0, idle: 100.0 * share}
                yield made(node_series.CPU, tags, fields, moment)
            tags = {"site": site, "schedd": "s", "pool": "p", "state": "idle"}
            count = waiting(bad) if site == "B" else 0
            yield made(schedd_series.JOBS, tags, {"count": count}, moment)

    return tell


def rates(lost: int, started: int) -> Tell:
    def tell(moment: int, bad: bool) -> Iterator[Point]:
        for schedd in ("s1", "s2"):
            tags = {"site": "A", "schedd": schedd, "pool": "p"}
            fields: dict[str, Value] = {"started": started, "lost": 0}
            if bad and schedd == "s2" and moment % (10 * MINUTE) == 0:
                fields["lost"] = lost
            yield made(schedd_series.RATES, tags, fields, moment)

    return tell


def slots(*told: Callable[[bool], tuple[str, int, int, int]]) -> Tell:
    """Each tells a schedd and its queued messages, waiting and busy workers."""

    def tell(moment: int, bad: bool) -> Iterator[Point]:
        for one in told:
            schedd, queued, waiting, busy = one(bad)
            tags = {"site": "A", "schedd": schedd, "pool": "p"}
            fields: dict[str, Value] = {"queued": queued, "waiting": waiting, "busy": busy}
            yield made(schedd_series.SLOTS, tags, fields, moment)

    return tell


def restarted_after_a_loss() -> Tell:
    seen = set()

    def tell(moment: int, bad: bool) -> Iterator[Point]:
        seen.add(bad)
        tags = {**node_tags("n1"), "target": "t"}
        yield made(node_series.SENDING, tags, {"dropped": 0 if True in seen else 500}, moment)

    return tell


def points_lost(moment: int, bad: bool) -> Iterator[Point]:
    for name in ("n1", "n2"):
        tags = {**node_tags(name), "target": "t"}
        lost = moment if bad and name == "n2" else 7
        yield made(node_series.SENDING, tags, {"dropped": lost}, moment)


N2, S2 = labels(site="A", hostname="n2"), labels(site="A", schedd="s2")


@dataclass(frozen=True)
class Case:
    """``fires``: within so many minutes; ``back``: quiet so many minutes after it is mended."""

    uid: str
    tell: Tell
    about: Labels
    fires: int
    back: int


CASES = [
    Case("plancton-node-silent", silent_node, N2, 13, 2),
    Case("plancton-schedd-silent", silent_schedd, S2, 13, 2),
    Case("plancton-engine-away", of_nodes(lambda bad: {"engine_ok": not bad}), N2, 7, 4),
    Case("plancton-breaker-open", of_nodes(lambda bad: {
        "breaker_open": bad, "breaker_failures": 3 * bad}), N2, 7, 4),
    Case("plancton-no-harvest", harvest(lambda bad: 50 * bad, "idle_limited_seconds"),
         labels(site="B"), 50, 35),
    Case("plancton-owner-squeezed", squeezed, N2, 9, 6),
    Case("plancton-jobs-put-aside", of_schedds(lambda bad: {"put_aside": 2 * bad}), S2, 2, 2),
    Case("plancton-jobs-lost", rates(lost=2, started=1),
         labels(site="A", schedd="s2", pool="p"), 11, 61),
    Case("plancton-queue-starving", slots(
        lambda bad: ("s1", 9, 0, 0 if bad else 4), lambda bad: ("s2", 9, 0, 0)),
         labels(site="A", pool="p"), 22, 3),
    Case("plancton-pull-fails", of_nodes(lambda bad: {"image_problem": bad}), N2, 33, 4),
    Case("plancton-event-lag", of_schedds(lambda bad: {"event_lag": 90.0 * bad}), S2, 7, 7),
    Case("plancton-broker-away", of_schedds(lambda bad: {"broker_ok": not bad}), S2, 7, 4),
    Case("plancton-ledger-rebuilds", of_schedds(lambda bad: {"rebuilding": bad}), S2, 33, 4),
    Case("plancton-records-unreadable", of_schedds(lambda bad: {"unreadable": 4 * bad}), S2, 2, 2),
    Case("plancton-points-lost", points_lost,
         labels(site="A", hostname="n2", target="t"), 2, 62),
    Case("plancton-config-rejected", of_nodes(lambda bad: {"config_rejected": bad}), N2, 7, 4),
]  # fmt: skip


def test_each_rule_has_a_case() -> None:
    assert [case.uid for case in CASES] == [rule["uid"] for rule in rules()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.uid)
def test_an_alert_is_quiet_then_fires_then_is_quiet_again(replay: Replay, case: Case) -> None:
    bad = (70 * MINUTE, 190 * MINUTE)
    until = bad[1] + (case.back + 5) * MINUTE
    replay.tell(case.tell, bad, until)
    for at, rule in replay.life(case.uid, until, begin=60 * MINUTE):
        where = f"{(at - bad[0]) / 60:.0f} minutes after it began: {rule.firing}"
        assert rule.firing <= {case.about}, where
        if at < bad[0]:
            assert not rule.bad_since, where
        elif bad[0] + case.fires * MINUTE <= at < bad[1]:
            assert rule.firing == {case.about}, where
        elif at >= bad[1] + case.back * MINUTE:
            assert not rule.firing, where


def test_a_dead_node_is_told_until_it_is_back_and_a_healthy_one_never(replay: Replay) -> None:
    """A day long; looked at where buckets begin and end."""
    bad = (HOUR, 23 * HOUR)
    replay.tell(silent_node, bad, 23 * HOUR)
    for jitter in (0, 7, 31):
        for at, rule in replay.life("plancton-node-silent", 23 * HOUR, HOUR + jitter):
            if at < HOUR + 15 * MINUTE or at % (97 * MINUTE) < 20 * MINUTE:
                assert set(rule.bad_since) <= {N2}, at
                assert (rule.firing == {N2}) or at < HOUR + 13 * MINUTE, at
            if at > 3 * HOUR:
                break
    (described,) = [one for one in rules() if one["uid"] == "plancton-node-silent"]
    late = Rule(described)
    for at in (22 * HOUR, 22 * HOUR + 2 * MINUTE):
        late.evaluate(Ask(replay.client), replay.begin + at)
    assert late.firing == {N2}


QUIET: list[tuple[str, str, Tell]] = [
    ("a node that was drained first may be switched off", "plancton-node-silent",
     drained_and_switched_off),
    ("an empty queue", "plancton-no-harvest", harvest(lambda _bad: 0, "idle_limited_seconds")),
    ("idle, as pilots find no work", "plancton-no-harvest",
     harvest(lambda _bad: 5, "idle_no_work_seconds")),
    ("drained, or out of its window", "plancton-no-harvest",
     harvest(lambda _bad: 5, "idle_closed_seconds")),
    ("workers are busy with the jobs of another schedd", "plancton-queue-starving",
     slots(lambda _bad: ("s1", 0, 0, 40), lambda _bad: ("s2", 9, 0, 0))),
    ("one attempt of many is lost", "plancton-jobs-lost", rates(lost=1, started=20)),
    ("a daemon that begins to count again", "plancton-points-lost",
     restarted_after_a_loss()),
    ("a schedd that makes its ledger again", "plancton-broker-away",
     of_schedds(lambda bad: {"broker_ok": not bad, "rebuilding": bad})),
    ("an idle night", "plancton-event-lag", of_schedds(lambda _bad: {"event_lag": 0.0})),
]  # fmt: skip


@pytest.mark.parametrize(("why", "uid", "tell"), QUIET, ids=[why for why, _, _ in QUIET])
def test_no_alert_for_nothing(replay: Replay, why: str, uid: str, tell: Tell) -> None:
    replay.tell(tell, (70 * MINUTE, 190 * MINUTE), 200 * MINUTE)
    for at, rule in replay.life(uid, 200 * MINUTE, begin=60 * MINUTE):
        assert not rule.firing, f"{why}: {at}"


@pytest.mark.parametrize(
    ("uid", "tell"),
    [("plancton-node-silent", silent_node), ("plancton-schedd-silent", silent_schedd)],
)
def test_nobody_is_silent_who_waits_to_send_after_the_database_was_away(
    replay: Replay, uid: str, tell: Tell
) -> None:
    """All have sent nothing for an hour, and try again after the longest pause."""
    replay.tell(tell, (HOUR, HOUR), HOUR)
    back = 2 * HOUR
    pause = int(RETRY_MAX + TIMEOUT)
    for _, rule in replay.life(uid, back + pause, begin=back):
        assert rule.bad_since
        assert not rule.firing


def test_a_site_without_vo_box_hears_of_no_schedd(replay: Replay) -> None:
    """No point of a schedd ever: no rule of theirs may call that missing data, but silence."""
    replay.tell(silent_node, (HOUR, HOUR), HOUR)
    told = set()
    for rule in rules():
        one = Rule(rule)
        for at in range(40 * MINUTE, HOUR, MINUTE):
            one.evaluate(Ask(replay.client), replay.begin + at)
        if one.firing:
            told.add(rule["uid"])
    assert told <= {"plancton-schedd-silent"}
