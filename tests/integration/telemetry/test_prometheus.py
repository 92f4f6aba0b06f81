"""The pages for Prometheus, held against its own programs."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import pytest

from plancton.metrics import series as node_series
from telemetry.points import Point, Series, point
from telemetry.prometheus import Newest, Page
from tests.support.services.programs import Program, need
from tests.support.services.rabbitmq import free_port
from tests.support.waiting import wait_until
from vobox.metrics import series as schedd_series

PLANCTON = [one for one in node_series.ALL if one not in node_series.OF_2017]
pytestmark = pytest.mark.needs("prometheus")
KNOWN = {"hostname": "n1", "site": "A", "schedd": "s1", "pool": "p"}
SAMPLE = {"float": 1.5, "integer": 1, "boolean": True, "string": "word"}


def full(series: Iterable[Series]) -> list[Point]:
    """Return a point of each series with each field."""
    made = []
    for one in series:
        tags = {tag: KNOWN.get(tag, "x") for tag in one.tags}
        if one.values:
            tags[one.tags[-1]] = one.values[0]
        made.append(point(one, tags, {field.name: SAMPLE[field.type] for field in one.fields}, 1.0))
    return [one for one in made if one is not None]


def read(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.parametrize(
    ("namespace", "series"), [("plancton", PLANCTON), ("thyme_schedd", schedd_series.ALL)]
)
def test_promtool_has_nothing_to_say(namespace: str, series: tuple[Series, ...]) -> None:
    need("prometheus")
    newest, address = Newest(namespace, series, KNOWN), f"127.0.0.1:{free_port()}"
    newest.update(full(series))
    page = Page(newest, address)
    try:
        text = read(address)
    finally:
        page.close()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert len(names) > 20
    assert {name.split("_")[0] for name in names} == {namespace.split("_")[0]}
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_increase_is_what_happened_at_an_odd_interval_of_scrapes(tmp_path: Path) -> None:
    """A real server scrapes every 0.7 s what is updated at another rhythm."""
    need("prometheus")
    newest, address = Newest("thyme_schedd", schedd_series.ALL, KNOWN), f"127.0.0.1:{free_port()}"
    page, port = Page(newest, address), free_port()
    config = {
        "scrape_configs": [
            {
                "job_name": "thyme",
                "scrape_interval": "700ms",
                "scrape_timeout": "700ms",
                "static_configs": [{"targets": [address]}],
            }
        ]
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    server = Program(
        [
            "prometheus", f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}",
        ],
        tmp_path / "log",
    )  # fmt: skip

    def ask(query: str) -> float | None:
        where = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(where, timeout=20) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return None
        return float(found[0]["value"][1]) if found else None

    def finish(number: int) -> None:
        tags = {name: KNOWN[name] for name in ("schedd", "site", "pool")}
        made = point(schedd_series.RATES, tags, {"finished": number}, time.time())
        assert made is not None
        newest.update([made])

    def state() -> str:
        return (tmp_path / "log").read_text()[-2000:]

    try:
        seen = "count_over_time(thyme_jobs_finished_total[1m])"
        wait_until(lambda: (ask(seen) or 0) >= 3, "scrapes", 60.0, state=state)
        for number in (3, 0, 4, 5):
            finish(number)
            before = ask(seen) or 0
            wait_until(
                lambda before=before: (ask(seen) or 0) > before, "a scrape", 60.0, state=state
            )
        last = ask(seen) or 0
        wait_until(lambda: (ask(seen) or 0) >= last + 2, "the last scrape", 60.0, state=state)
        # increase() also reckons with the time before the first scrape in the range
        found = ask("increase(thyme_jobs_finished_total[1m])")
        assert found == pytest.approx(12.0, rel=0.15)
        assert ask("max_over_time(thyme_jobs_finished_total[1m])") == 12.0
        assert ask("resets(thyme_jobs_finished_total[1m])") == 0.0
    finally:
        server.end()
        page.close()
