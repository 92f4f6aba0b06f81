"""The report is one page that stands alone, and its picture shows what was sampled."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

import pytest

from demo.chart import Bar, draw_timeline, find_bars
from demo.check import check_agents
from demo.plan import PLAN
from demo.progress import Plain, describe
from demo.report import render_page
from demo.run import Result
from demo.timeline import Mark, Point, Timeline
from demo.view import HELD, IDLE, LEFT, OUTPUT, REMOVED, RUNNING, Sample, View
from tests.unit.demo.test_check import ALL_RIGHT

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Fails on a tag that is not closed, and gathers what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.refers: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.refers += [
            value or "" for name, value in attributes if name in ("src", "href", "xlink:href")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def point(at: float, pilots=None, ended: int = 0, **more) -> Point:
    values = {
        "idle": 24 - ended,
        "running": 0,
        "held": 0,
        "answered": True,
        "owner_cpus": 0.5,
        "pilots_cpus": 1.0,
    }
    return Point(at=at, ended=ended, pilots=pilots or {}, **{**values, **more})


TIMELINE = Timeline(
    points=[
        point(0.0, owner_cpus=None, pilots_cpus=None),
        point(1.0, {"p1": 0}),
        point(2.0, {"p1": 7}, held=1, running=1, idle=22),
        point(3.0, {"p2": 7}, ended=4, answered=False),
        point(4.0, {"p2": 7, "p3": 0}, ended=12),
        point(5.0, ended=24),
    ],
    marks=[Mark(2.2, "kill -9 a pilot <7.0>"), Mark(2.4, "kill -9 schedd")],
    submitted={1: 0.5},
    started={1: 1.0},
    left={1: 3.0},
)


def result(**changes) -> Result:
    seen = [replace(one, **changes) if one.record.number == 1 else one for one in ALL_RIGHT]
    return Result(check_agents(PLAN, seen, [], []), seen, TIMELINE, 41.2)


def test_the_page_is_whole_html_and_refers_to_nothing_outside():
    text = render_page(result(), PLAN)

    parsed = Page()
    parsed.feed(text)
    parsed.close()
    assert parsed.open == []
    assert parsed.refers == []
    assert "svg" in parsed.seen
    assert not re.search(r"(https?:)?//|@import|url\(", text)


def test_the_page_shows_every_agent_the_result_and_what_was_done():
    text = render_page(result(), PLAN)

    assert text.count("<tr><td") == 24 + len(TIMELINE.marks)
    assert "demo: 24 submitted, 22 completed, 2 removed, 0 lost, 0 doubled in 41 s" in text
    assert "kill -9 a pilot &lt;7.0&gt;" in text
    assert "What differed" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_what_differed_and_escapes_it():
    text = render_page(result(stderr="<script>alert(1)</script>"), PLAN)

    assert "What differed" in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def svg(timeline: Timeline = TIMELINE) -> Xml.Element:
    return Xml.fromstring(draw_timeline(timeline, 24, killed=[7]))  # noqa: S314 (our own text)


def having(element: Xml.Element, name: str) -> list[Xml.Element]:
    return [one for one in element.iter() if name in (one.get("class") or "").split()]


def test_the_picture_has_a_bar_for_every_pilot_and_a_line_for_every_mark():
    drawn = svg()

    assert len(having(drawn, "pilot")) == 3
    assert len(having(drawn, "killed")) == 1
    assert len(having(drawn, "empty")) == 1
    assert len(having(drawn, "mark")) == 2
    assert len(having(drawn, "mute")) == 1
    assert [one.get("class") for one in having(drawn, "cpu")] == ["cpu owner", "cpu pilots"]


def test_the_areas_stack_up_to_all_agents():
    tops = {
        one.get("class").split()[1]: [
            float(pair.split(",")[1]) for pair in one.get("points").split()
        ]
        for one in having(svg(), "area")
    }

    # At each of the six looks all 24 agents are in some state, so the last area ends at the top.
    highest = min(tops["idle"])
    assert tops["idle"][:6] == [highest] * 6
    assert tops["ended"][0] > tops["ended"][5] == highest


def test_nothing_is_drawn_outside_of_the_picture():
    drawn = svg()
    _, _, width, height = (float(part) for part in drawn.get("viewBox").split())

    for one in drawn.iter():
        for name, limit in (("x", width), ("x1", width), ("x2", width), ("y", height)):
            if one.get(name) is not None:
                assert 0 <= float(one.get(name)) <= limit
        for pair in (one.get("points") or "").split():
            x, y = (float(part) for part in pair.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_an_empty_timeline_is_a_picture_too():
    assert having(svg(Timeline()), "pilot") == []


def test_a_pilots_bar_runs_from_its_first_look_to_its_last_in_a_free_lane():
    assert find_bars(TIMELINE.points) == [
        Bar("p1", 0.5, 2.5, 7, 0),
        Bar("p2", 2.5, 4.5, 7, 0),
        Bar("p3", 3.5, 4.5, 0, 1),
    ]


def test_a_sample_becomes_a_point_and_times_of_the_agents():
    timeline = Timeline()
    states = {1: IDLE, 2: RUNNING, 3: REMOVED, 4: OUTPUT, 5: HELD, 6: LEFT}

    timeline.add(Sample(3.0, {}, {"p": 2}, 0.5, 1.5), View(3.0, states))
    timeline.add(Sample(4.0, None, {"p": 2, "q": 0}), View(4.0, {**states, 2: LEFT}))

    assert timeline.points[0] == Point(3.0, 1, 3, 1, 1, True, {"p": 2}, 0.5, 1.5)
    assert not timeline.points[1].answered
    assert timeline.started == {2: 3.0}
    assert timeline.left == {6: 3.0, 2: 4.0}


def test_plain_progress_is_a_line_for_each_mark_and_one_every_five_seconds(capsys):
    plain = Plain()

    for at in range(8):
        plain.show(point(float(at), {"p1": 7, "p2": 0}, ended=at))
    plain.mark(Mark(7.2, "kill -9 plancton"))

    assert capsys.readouterr().out.splitlines() == [
        "  0.0 s   0 of 24 ended, 0 running, 24 idle, 0 held; 2 pilots [-] [7]",
        "  5.0 s   5 of 24 ended, 0 running, 19 idle, 0 held; 2 pilots [-] [7]",
        "  7.2 s  * kill -9 plancton",
    ]


@pytest.mark.parametrize(("answered", "says"), [(True, False), (False, True)])
def test_a_schedd_that_does_not_answer_is_shown(answered, says):
    assert ("no answer from the schedd" in describe(point(1.0, answered=answered))) is says
