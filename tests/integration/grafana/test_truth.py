"""Every figure of the dashboards is the one that is counted by hand in a known world.

The world is in ``known_world``; panels are taken from the dashboards' files as they stand, and
what they show is made by Grafana's own code (``grafana_rules``).
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from grafana.generate import DASHBOARDS, HERE
from telemetry.influx import Influx
from telemetry.points import Point
from telemetry.targets import parse
from tests.support.grafana_rules import Ask, shown
from tests.support.known_world import CPU_STEP, HOUR, STEP, Node, Queue, moments, points
from tests.support.services.influx import InfluxServer

pytestmark = pytest.mark.needs("grafana")
DATABASE = "world"
#: Grafana's "transparent".
CLEAR = "rgba(0,0,0,0)"
PANELS = {
    (name, panel["title"]): panel
    for name in DASHBOARDS
    for row in json.loads((HERE / "dashboards" / f"{name}.json").read_text())["panels"]
    for panel in (row, *row.get("panels", ()))
    if "targets" in panel
}


class World:
    """``tell``: as ``known_world.points``."""

    def __init__(
        self,
        server: InfluxServer,
        database: str = DATABASE,
        tell: Callable[[int, int, int], Iterator[Point]] = points,
    ) -> None:
        self.client = server.client(database)
        self.client.create_database(database)
        self.target = Influx(parse(f"http://127.0.0.1:{server.port}#{database}"))
        self.tell = tell
        # the newest points are as old as they may be where each has arrived
        self.told = int((time.time() - 30) // STEP * STEP)
        self.last = self.told - 7 * HOUR - STEP
        self.go_on()

    def go_on(self) -> None:
        """Tell what has happened until now."""
        now = time.time()
        # now-6h/m to now-1m/m, as the dashboards' files have it
        self.begin = (now - 6 * HOUR) // 60 * 60
        self.end = (now - 60) // 60 * 60 + 59.999
        begin, self.last = self.last + STEP, int((now - 30) // STEP * STEP)
        batch = list(self.tell(self.told, begin, self.last))
        for start in range(0, len(batch), 5000):
            self.target.write(batch[start : start + 5000])

    def shown(
        self, dashboard: str, title: str, chosen: Mapping[str, Sequence[str]] | None = None
    ) -> Any:
        (answer,) = shown(
            [PANELS[dashboard, title]], Ask(self.client), (self.begin, self.end), chosen
        )
        return answer

    def texts(
        self, dashboard: str, title: str, chosen: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, str]:
        return {one["name"]: one["text"] for one in self.shown(dashboard, title, chosen)}

    def ends(
        self, dashboard: str, title: str, chosen: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, float]:
        """Return the last value of each line."""
        return {one["name"]: one["values"][-1] for one in self.shown(dashboard, title, chosen)}


@pytest.fixture(scope="module")
def whole(influxdb: InfluxServer) -> Iterator[World]:
    made = World(influxdb)
    yield made
    made.client.close()
    made.target.close()


@pytest.fixture
def world(whole: World) -> World:
    whole.go_on()
    return whole


A, B = {"site": ["A"]}, {"site": ["B"]}
#: (dashboard, panel, chosen, what is shown): counted by hand from the words of ``known_world``.
NOW: list[tuple[str, str, dict[str, list[str]], dict[str, str]]] = [
    # n3 of the five nodes is silent
    ("site", "Nodes silent", {}, {"silent": "1"}),
    ("site", "Nodes silent", B, {"silent": "0"}),
    ("site", "Nodes reporting, of nodes known", {}, {"reporting": "4", "known": "5"}),
    ("site", "Nodes reporting, of nodes known", A, {"reporting": "3", "known": "4"}),
    ("site", "Nodes in trouble", {}, {"in trouble": "1"}),
    ("site", "Nodes in trouble", B, {"in trouble": "0"}),
    # s3 has lost the broker, s4 is silent
    ("site", "Schedds not working", {}, {"silent": "2"}),
    # 5 + 10 + 2; the 28 of n3 are not now
    ("site", "Pilots running now", {}, {"running": "17"}),
    ("site", "Pilots running now", A, {"running": "15"}),
    ("site", "Pilots running now", {"site": ["A", "B"]}, {"running": "17"}),
    # 30 + 2 + 13, 1000 + 0 + 200
    ("site", "Jobs now", {}, {"running": "45", "waiting": "1200"}),
    ("site", "Jobs now", {"pool": ["gpu"]}, {"running": "2", "waiting": "0"}),
    ("site", "CPUs taken from owners now", {}, {"CPUs": "2.0"}),
    ("jobs", "Held now", {}, {"held": "3"}),
    ("jobs", "Put aside now", {}, {"put aside": "3"}),
    ("jobs", "Longest wait of an idle job", {}, {"longest": "10 mins"}),
    # (100 + 2) / (120 + 20)
    ("jobs", "CPU efficiency, the last hour", {}, {"efficiency": "73%"}),
    ("jobs", "CPU efficiency, the last 7 days", {"pool": ["default"]}, {"efficiency": "83%"}),
    # (3 + 1) / (2 + 1)
    ("jobs", "Attempts a job, in this period", {}, {"attempts": "1.33"}),
    ("node", "Pilots running, of capacity", {**A, "node": ["n1"]},
     {"running": "5", "capacity": "16"}),
    ("node", "Pilots running, of capacity", {**B, "node": ["n1"]},
     {"running": "2", "capacity": "4"}),
    ("node", "Reports", {**A, "node": ["n1"]}, {"silent": "reporting"}),
    ("node", "Reports", {**A, "node": ["n3"]}, {"silent": "SILENT"}),
    ("node", "Mode", {**A, "node": ["n4"]}, {"mode": "drain"}),
    ("node", "Limited by", {**A, "node": ["n1"]}, {"limited by": "cpu"}),
    ("node", "Limited by", {**A, "node": ["n2"]}, {"limited by": "nothing"}),
    ("node", "Trouble", {**A, "node": ["n2"]}, {"trouble": "image"}),
    ("node", "Trouble", {**A, "node": ["n1"]}, {"trouble": "none"}),
    ("node", "Uptime of the daemon", {**A, "node": ["n1"]}, {"uptime": "1.67 mins"}),
]  # fmt: skip


@pytest.mark.parametrize(("dashboard", "title", "chosen", "expected"), NOW)
def test_what_is_now(
    world: World, dashboard: str, title: str, chosen: dict[str, list[str]], expected: dict[str, str]
) -> None:
    assert world.texts(dashboard, title, chosen) == expected


@pytest.mark.parametrize(
    ("title", "chosen", "colour"),
    [
        ("Nodes silent", {}, "red"),
        ("Nodes silent", B, "green"),
        ("Nodes in trouble", B, "green"),
        ("Nodes in trouble", A, "red"),
        ("Schedds not working", A, "red"),
        ("CPUs taken from owners now", A, "green"),
        ("CPUs taken from owners now", B, "red"),
    ],
)
def test_a_colour_says_what_the_figure_says(
    world: World, title: str, chosen: dict[str, list[str]], colour: str
) -> None:
    (one,) = world.shown("site", title, chosen)
    assert one["color"] == {"red": "#F2495C", "green": "#73BF69"}[colour]


def test_the_nodes_that_need_a_look_are_those_and_say_why(world: World) -> None:
    rows = world.shown("site", "Nodes that need a look")
    found = [
        (row["site"]["text"], row["node"]["text"], row["silent"]["text"], row["in trouble"]["text"],
         row["why"]["text"])
        for row in rows
    ]  # fmt: skip
    assert found == [("A", "n3", "SILENT", "no", ""), ("A", "n2", "no", "yes", "image")]
    assert rows[0]["last seen"]["text"] == "2 hours ago"
    assert rows[0]["node"]["links"] == [
        "/d/plancton-node?var-site=${__data.fields.site}&var-node=${__value.raw}&${__url_time_range}"
    ]
    assert world.shown("site", "Nodes that need a look", B) == []


def test_all_nodes_have_a_row_each_by_site_and_name(world: World) -> None:
    rows = world.shown("diagnostics", "All nodes")
    found = [(row["site"]["text"], row["node"]["text"]) for row in rows]
    assert found[:2] == [("A", "n3"), ("A", "n2")], "the bad ones first"
    assert sorted(found) == [("A", "n1"), ("A", "n2"), ("A", "n3"), ("A", "n4"), ("B", "n1")]
    told = {
        (row["site"]["text"], row["node"]["text"]): (row["image"]["text"], row["engine"]["text"])
        for row in rows
    }
    assert told["A", "n2"] == ("BAD", "ok")
    assert told["B", "n1"] == ("ok", "ok")


def test_all_schedds_have_a_row_each(world: World) -> None:
    rows = world.shown("diagnostics", "All schedds")
    told = {
        row["schedd"]["text"]: (
            row["silent"]["text"],
            row["broker and ledger"]["text"],
            row["memory"]["text"],
        )
        for row in rows
    }
    assert told == {
        "s1": ("no", "ok", "73.4 MiB"),
        "s2": ("no", "ok", "73.4 MiB"),
        "s3": ("no", "NOT CURRENT", "73.4 MiB"),
        "s4": ("SILENT", "ok", "73.4 MiB"),
    }
    assert rows[0]["schedd"]["text"] == "s4"


def test_limits_are_counted_in_nodes(world: World) -> None:
    rows = world.shown("site", "Limits of nodes now")
    found = {row["limited by"]["text"]: row["nodes"]["value"] for row in rows}
    assert found == {"cpu": 1, "nothing": 1, "mode": 1, "no-work": 1}, "n3 is silent"


def test_cpus_over_time_have_neither_an_edge_nor_a_bridge(world: World) -> None:
    lines = {one["name"]: one for one in world.shown("site", "CPUs")}
    # owner 4 + 2 + 0 + 1 + 0 and pilots 5 + 10 + 28 + 0 + 2; n3 fell silent two hours ago
    pilots = dict(zip(lines["pilots"]["times"], lines["pilots"]["values"], strict=True))
    for at, value in pilots.items():
        ago = world.told - at / 1000
        expected = 5 + 10 + 0
        expected += 28 if ago > 2 * HOUR else 0
        expected += 2 if not 2 * HOUR < ago <= 5 * HOUR else 0
        assert value == expected, f"{ago} s before the end"
    assert set(lines["owner"]["values"]) == {7.0}
    assert lines["idle (limited)"]["values"][-1] == 27.0
    assert lines["idle (closed)"]["values"][-1] == 7.0
    assert lines["idle (no work)"]["values"][-1] == 2.0
    assert lines["total"]["values"][-1] == 16 + 32 + 8 + 4


def test_core_hours_and_shares_are_sums_of_what_was(world: World) -> None:
    stamps = moments(world.begin, world.end, CPU_STEP)

    def since(ago: float) -> int:
        """Five-minute points that are older than so many seconds before the end."""
        return moments(world.begin, world.told - ago - 0.001, CPU_STEP)

    n3 = since(2 * HOUR)
    b = stamps - moments(world.told - 5 * HOUR, world.told - 2 * HOUR - 0.001, CPU_STEP)
    total = CPU_STEP * ((16 + 32 + 8) * stamps + 28 * n3 + 4 * b)
    owner = CPU_STEP * 7 * stamps
    pilots = CPU_STEP * (15 * stamps + 28 * n3 + 2 * b)
    rounds = moments(world.begin, min(world.end, world.last), STEP)
    finished = 102.0 * rounds
    told = {one["name"]: one["value"] for one in world.shown("site", "Core-hours in this period")}
    assert told == {
        "left": pytest.approx((total - owner) / 3600),
        "pilots": pytest.approx(pilots / 3600),
        "finished": pytest.approx(finished / 3600),
    }
    # the text is core-hours, not days or weeks
    texts = world.texts("site", "Core-hours in this period")
    assert texts["pilots"] == f"{pilots / 3600:.1f}"
    shares = {
        one["name"]: one["value"]
        for one in world.shown("site", "What became of the CPU time that the owners left")
    }
    left = total - owner
    assert shares == {
        "finished work": pytest.approx(finished / left),
        "evicted (owner)": pytest.approx(7200 / left),
        "evicted (memory)": pytest.approx(900 / left),
        "lost with its worker": pytest.approx(450 / left),
        "idle (no work)": pytest.approx(2 * CPU_STEP * b / left),
        "idle (limited)": pytest.approx(27 * CPU_STEP * stamps / left),
        "idle (closed)": pytest.approx(7 * CPU_STEP * stamps / left),
    }
    (harvest,) = world.shown("site", "Harvest")
    assert harvest["text"] == f"{100 * finished / left:.1f}%"
    squeezed = moments(world.told - HOUR + 1, world.end, CPU_STEP) * 2 * CPU_STEP / 60
    (felt,) = world.shown("site", "CPU-minutes taken from owners in this period")
    assert felt["value"] == pytest.approx(squeezed)


def test_jobs_over_time_are_sums_over_schedds_and_pools(world: World) -> None:
    assert world.ends("jobs", "Jobs by state") == {"idle": 1200.0, "running": 45.0, "held": 3.0}
    held = {"UserRequest": 2.0, "TransferInputError": 1.0}
    assert world.ends("jobs", "Held jobs, by reason") == held
    assert world.ends("jobs", "Queue and workers") == {
        "queued": 1200.0,  # one queue, which two schedds tell of
        "waiting workers": 4.0,
        "busy workers": 45.0,
    }
    lines = world.shown("jobs", "Jobs submitted, started and finished, a minute")
    told = {one["name"]: set(one["values"]) for one in lines}
    # 3 each 30 s, at the edges as in the middle
    assert told == {"submitted": {0}, "started": {6}, "finished": {6}}
    colours = {one["name"]: one["color"] for one in world.shown("jobs", "Jobs ended, a minute")}
    assert colours["ok"]["fixedColor"] == "green"
    assert colours["error"]["fixedColor"] == "red"


def test_jobs_finished_in_the_period(world: World) -> None:
    rounds = moments(world.begin, min(world.end, world.last), STEP)
    (one,) = world.shown("jobs", "Finished in this period")
    assert one["value"] == 3 * rounds


def test_evictions_an_hour_do_not_change_with_the_width_of_a_step(world: World) -> None:
    lines = world.shown("site", "Pilots asked to end, an hour")
    # 4 in one step of five minutes are 48 an hour
    assert {one["name"]: max(one["values"]) for one in lines} == {"owner": 48.0, "memory": 12.0}


def test_one_node_is_one_node_though_another_site_has_its_name(world: World) -> None:
    chosen = {**B, "node": ["n1"]}
    assert world.ends("node", "CPUs", chosen) == {
        "owner": 0.0, "pilots": 2.0, "idle": 2.0, "total": 4.0
    }  # fmt: skip
    assert world.ends("node", "CPUs taken from the owner", chosen) == {"CPUs": 2.0}


def test_the_worst_nodes_are_named(world: World) -> None:
    rows = world.shown("site", "Worst waits for memory in this period")
    found = [(row["site"]["text"], row["node"]["text"], row["waited"]["text"]) for row in rows]
    assert found[:2] == [("A", "n1", "4%"), ("A", "n2", "2%")]


def quiet_points(end: int, begin: int, until: int) -> Iterator[Point]:
    """One node, whose name and site look like numbers, and a schedd whose jobs never finish.

    Another node has sent its only points with a clock that was an hour ahead; of site "off" is one
    that was drained and switched off.
    """
    node, ahead = Node("2024", "0012", 4, 1.0, 0.0, 0), Node("2024", "ahead", 8, 0.0, 8.0, 8)
    off = Node("off", "n1", 8, 0.0, 0.0, 0, mode="drain", silent=(HOUR, -HOUR))
    for at in range(begin, until + 1, STEP):
        yield from node.points(at, end - at)
        yield from off.points(at, end - at)
        yield from Queue("1000", "default", 5, 0).points(at)
    if begin <= end <= until:
        yield from (replace(one, time=one.time + HOUR) for one in ahead.points(end, 0))


@pytest.fixture(scope="module")
def whole_quiet(influxdb: InfluxServer) -> Iterator[World]:
    made = World(influxdb, "quiet", quiet_points)
    yield made
    made.client.close()
    made.target.close()


@pytest.fixture
def quiet(whole_quiet: World) -> World:
    whole_quiet.go_on()
    return whole_quiet


@pytest.mark.parametrize(
    "title",
    [
        "CPU efficiency, the last hour",
        "CPU efficiency, the last day",
        "CPU efficiency, the last 7 days",
        "Attempts a job, in this period",
    ],
)
def test_where_no_job_finished_there_is_no_efficiency_and_no_alarm(
    quiet: World, title: str
) -> None:
    (one,) = quiet.shown("jobs", title)
    assert one["text"] == "no job finished"
    assert one["color"] == CLEAR, "neither good nor bad"


def test_no_figure_is_neither_good_nor_bad(quiet: World) -> None:
    for title in ("Nodes in trouble", "Nodes silent", "CPUs taken from owners now"):
        (one,) = quiet.shown("site", title, {"site": ["none"]})
        assert one["color"] == CLEAR, title


def test_a_name_that_looks_like_a_number_is_shown_as_it_is_and_an_empty_cell_empty(
    quiet: World,
) -> None:
    for dashboard, title in (
        ("diagnostics", "All nodes"),
        ("diagnostics", "Longest loop, now"),
        ("site", "Worst waits for memory in this period"),
    ):
        (row,) = quiet.shown(dashboard, title, {"site": ["2024"]})
        assert (row["site"]["text"], row["node"]["text"]) == ("2024", "0012"), title
    (row,) = quiet.shown("diagnostics", "All nodes", {"site": ["2024"]})
    assert (row["why"]["text"], row["version"]["text"]) == ("", "1.0")


def test_points_of_the_future_say_nothing_of_now(quiet: World) -> None:
    known = quiet.texts("site", "Nodes reporting, of nodes known", {"site": ["2024"]})
    assert known == {"reporting": "1", "known": "1"}
    assert quiet.texts("site", "Pilots running now") == {"running": "0"}


def test_a_node_that_was_drained_and_switched_off_is_not_missed(quiet: World) -> None:
    for chosen in ({"site": ["off"]}, {}):
        assert quiet.texts("site", "Nodes silent", chosen) == {"silent": "0"}
        assert quiet.shown("site", "Nodes that need a look", chosen) == []
    (row,) = quiet.shown("diagnostics", "All nodes", {"site": ["off"]})
    assert (row["silent"]["text"], row["mode"]["text"]) == ("no", "drain")
    assert row["last seen"]["text"] == "an hour ago"
    where = {"site": ["off"], "node": ["n1"]}
    assert quiet.texts("node", "Reports", where) == {"silent": "SILENT"}
