"""Which lane of its pool a worker takes a job from, in virtual time."""

import math
from collections import Counter
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.engine.job_features import make_features, make_variables
from plancton.model import HostFacts
from tests.support.virtual_worker import POOL, Site, job
from thyme.broker.lanes import parse_bounds
from thyme.protocol.codec import encode
from thyme.worker.lanes import LaneReader, read_life

LANES = parse_bounds("10m,1h")
SHORT, HOUR, LONG, OVERDUE = (f"{POOL}.lane.{name}" for name in ("600", "3600", "long", "overdue"))


def tell(site: Site, monkeypatch: pytest.MonkeyPatch, life: float) -> Path:
    """Write how long the pilot may live, as Plancton does."""
    features = site.workdir.parent / "jobfeatures"
    features.mkdir(exist_ok=True)
    file = features / "shutdowntime_job"
    file.write_text(f"{site.clock() + life:.0f}\n")
    monkeypatch.setenv("JOBFEATURES", str(features))
    return file


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("JOBFEATURES", "MACHINEFEATURES"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    return Site(tmp_path / "work")


def put(site: Site, queue: str, name: str, seconds: float = 1.0) -> None:
    site.broker.submit(queue, [encode(job(name=name, seconds=seconds))])


def started(site: Site) -> list[str]:
    return [str(message.job) for message in site.told() if message.kind == "started"]  # type: ignore[attr-defined]


def run(site: Site, **options: object) -> int:
    return site.run(lanes=LANES, **options)  # type: ignore[arg-type]


def test_the_time_that_is_left_grows_less_from_job_to_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(site, monkeypatch, 4000.0)
    put(site, HOUR, "1.0", seconds=1000.0)
    put(site, HOUR, "2.0")
    put(site, SHORT, "3.0")

    assert run(site, max_jobs=0) == 0

    assert started(site) == ["1.0", "3.0"]


def test_a_file_that_says_something_else_later_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tell(site, monkeypatch, 60.0)
    put(site, HOUR, "1.0")
    site.after(50, lambda: file.write_text(f"{site.clock() + 1e6:.0f}\n"))

    assert run(site, timeout=100.0) == 0

    assert 50 <= site.clock() - site.start <= 60


def test_overdue_jobs_come_before_all_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(site, monkeypatch, 60.0)
    put(site, POOL, "1.0")
    put(site, OVERDUE, "2.0")

    assert run(site) == 0

    assert started(site) == ["2.0"]


def test_after_the_fallback_what_does_not_fit_is_taken_the_shortest_first(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(site, monkeypatch, 60.0)
    put(site, LONG, "1.0")
    put(site, HOUR, "2.0")

    assert run(site, timeout=100.0, lane_fallback=40.0) == 0

    assert started(site) == ["2.0"]
    assert 40 <= site.clock() - site.start <= 47


def test_a_worker_that_is_not_told_its_life_gives_each_lane_the_first_place_as_often() -> None:
    reader = LaneReader(POOL, LANES, math.inf, {}, lambda: 0.0, lambda: 0.0)
    reader._rng.seed(1)
    orders = [reader.list_queues(0.0) for _ in range(1000)]
    assert {tuple(sorted(order)) for order in orders} == {
        tuple(sorted([OVERDUE, POOL, SHORT, HOUR, LONG]))
    }
    assert {order[0] for order in orders} == {OVERDUE}
    # a quarter each: 250, with a standard deviation of 14
    assert all(180 < number < 320 for number in Counter(order[1] for order in orders).values())


def test_an_idle_worker_looks_every_few_seconds_and_a_busy_one_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(site, monkeypatch, 1e6)
    site.after(100, lambda: put(site, SHORT, "1.0"))
    site.after(100, lambda: put(site, SHORT, "2.0"))
    assert run(site, timeout=120.0, max_jobs=2) == 0
    assert 100 <= site.clock() - site.start <= 108
    # five queues every five seconds, for a hundred seconds; then once more for each job
    assert site.broker.calls.count("take") <= 5 * 23


def test_a_worker_of_a_pool_without_lanes_looks_at_its_one_queue(site: Site) -> None:
    put(site, SHORT, "1.0")
    put(site, POOL, "2.0")

    assert site.run(max_jobs=0, timeout=30.0) == 0

    assert started(site) == ["2.0"]


# --- how long it may live ------------------------------------------------------------------


def environment(tmp_path: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        place = tmp_path / ("machine" if name == "shutdowntime" else "job")
        place.mkdir(exist_ok=True)
        (place / name).write_text(text)
    return {"MACHINEFEATURES": f"{tmp_path}/machine", "JOBFEATURES": f"{tmp_path}/job"}


def test_the_earlier_of_the_ends_of_pilot_and_node_counts(tmp_path: Path) -> None:
    env = environment(tmp_path, shutdowntime_job="5000\n", shutdowntime="4000\n")
    assert read_life(env, 1000.0) == 3000.0
    assert read_life(env, 4500.0) == 0.0


@pytest.mark.parametrize("text", ["", "soon\n", "nan\n", "inf\n", "\xff"])
def test_what_is_no_moment_says_nothing(tmp_path: Path, text: str) -> None:
    assert read_life(environment(tmp_path, shutdowntime_job=text), 1000.0) is None


def test_no_file_and_no_variable_say_nothing(tmp_path: Path) -> None:
    assert read_life({}, 1000.0) is None
    assert read_life({"JOBFEATURES": ""}, 1000.0) is None
    assert read_life({"JOBFEATURES": f"{tmp_path}/none"}, 1000.0) is None


def test_a_worker_reads_what_plancton_writes(tmp_path: Path) -> None:
    config, facts = Config(drain_lead=600), HostFacts("n", ncpus=8, ram_bytes=2**36, swap_bytes=0)
    for life, closes, left in (
        (7200.0, None, 7200.0), (7200.0, 5000.0, 4000.0), (None, 5000.0, 4000.0), (None, None, None)
    ):  # fmt: skip
        place = tmp_path / f"{life} {closes}"
        files = make_features(config, facts, "p1", wall=1000.0, life=life, closes=closes)
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
        assert read_life(make_variables(str(place), {}), 1000.0) == left
