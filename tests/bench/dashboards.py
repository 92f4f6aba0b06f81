"""What the dashboards of a big site cost InfluxDB."""

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from influxdb.line_protocol import make_lines

from grafana.generate import DASHBOARDS, HERE
from telemetry.points import Point
from tests.support.grafana_rules import expand, step_of
from tests.support.known_world import CPU_STEP, QUEUES, STEP, Node
from tests.support.services.influx import InfluxServer

from .result import Result

NODES, HOURS = 2000, 6
#: Seconds for all queries of a page, and bytes of their answers.
GOAL, GOAL_BYTES = 2.0, 2_000_000
#: Requests that a browser has under way to one server.
AT_ONCE = 6


def dashboards() -> Result:
    """All queries of each page, as a browser sends them; the slowest page counts."""
    with tempfile.TemporaryDirectory(prefix="influx-") as directory:
        server = InfluxServer(Path(directory))
        try:
            server.up()
            end = int(time.time()) // STEP * STEP
            _fill(server, end)
            pages = {name: _page(server, name, end) for name in DASHBOARDS}
        finally:
            server.clean()
    slowest = max(pages, key=lambda name: pages[name][0])
    seconds, most = pages[slowest][0], max(size for _, size in pages.values())
    return Result(
        what=f"all queries of a dashboard over {HOURS} hours of {NODES} nodes; the slowest: "
        f"{slowest}; the largest answers: {most / 1e6:.1f} MB",
        value=seconds,
        unit="s",
        reference="a person who waits",
        ratio=seconds / GOAL,
        goal=f"<= {GOAL:g} s and {GOAL_BYTES / 1e6:g} MB",
        met=seconds <= GOAL and most <= GOAL_BYTES,
    )


def _lines(moment: int) -> list[str]:
    """Return what the site sends at one moment, in InfluxDB's line protocol, without the time."""
    made: list[Point] = []
    for number in range(NODES):
        trouble = "" if number % 99 else "image"
        node = Node(
            "big", f"n{number:04d}", 16, number % 7 + 0.25, number % 5 + 0.5, number % 5,
            trouble=trouble,
        )  # fmt: skip
        made += node.points(moment, 0)
        if moment % CPU_STEP == 0 and number % 50 == 0:
            tags = {**node.tags, "reason": "owner"}
            made.append(Point("plancton_evictions", tags, {"count": 1, "cpu_seconds": 9.0}, 0))
    for queue in QUEUES:
        made += queue.points(moment)
    described = [{"measurement": p.series, "tags": p.tags, "fields": p.fields} for p in made]
    return make_lines({"points": described}).splitlines()


def _fill(server: InfluxServer, end: int) -> None:
    server.client().create_database("bench")
    often, seldom = _lines(STEP), _lines(CPU_STEP)
    session = requests.Session()
    for moment in range(end - HOURS * 3600, end + 1, STEP):
        lines = often if moment % CPU_STEP else seldom
        text = "\n".join(f"{line} {moment}" for line in lines)
        session.post(
            f"http://127.0.0.1:{server.port}/write?db=bench&precision=s", text, timeout=60
        ).raise_for_status()


def _page(server: InfluxServer, name: str, end: int) -> tuple[float, int]:
    """Seconds and bytes of all queries of what is open when the page is."""
    panels = json.loads((HERE / "dashboards" / f"{name}.json").read_text())["panels"]
    chosen = {"site": ["big"], "node": ["n0007"]} if name == "node" else {}
    queries = [
        expand(
            target["query"], end - HOURS * 3600, end, step_of(panel, HOURS * 3600), chosen
        ).replace("now()", f"{end * 1000}ms")
        for panel in panels
        for target in panel.get("targets", ())
        if "query" in target
    ]

    def ask(query: str) -> int:
        answer = requests.get(
            f"http://127.0.0.1:{server.port}/query",
            {"db": "bench", "q": query, "epoch": "ms"},
            timeout=60,
        )
        answer.raise_for_status()
        return len(answer.content)

    with ThreadPoolExecutor(AT_ONCE) as browser:
        begin = time.monotonic()
        size = sum(browser.map(ask, queries))
    return time.monotonic() - begin, size
