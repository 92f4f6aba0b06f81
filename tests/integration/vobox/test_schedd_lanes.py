"""Jobs that say how long they are go to workers that live so long, on both brokers."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_on_rabbitmq import SHELL, asked, until
from tests.support.schedd_process import LiveSchedd
from thyme.broker import Transport, connect

LANES = "--lanes=10m,1h"


@pytest.fixture(params=["sqlite", pytest.param("amqp", marks=pytest.mark.needs("rabbitmq"))])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveSchedd]:
    url = request.getfixturevalue("rabbitmq").url if request.param == "amqp" else ""
    made = LiveSchedd(tmp_path / "schedd", url=url)
    yield made
    made.close()


@pytest.fixture
def broker(live: LiveSchedd) -> Iterator[Transport]:
    transport = connect(live.url)
    yield transport
    transport.close()


def submit(live: LiveSchedd, line: str) -> int:
    return live.submit(f"{SHELL}arguments = \"-c 'date'\"\n{line}\nqueue\n")


def worker(live: LiveSchedd, life: float, *options: str) -> subprocess.Popen[bytes]:
    """Start a worker whose pilot may live for ``life`` seconds."""
    features = live.home / f"features-{life:.0f}"
    features.mkdir(exist_ok=True)
    (features / "shutdowntime_job").write_text(f"{time.time() + life:.0f}\n")
    return live.worker(LANES, *options, JOBFEATURES=str(features))


def test_a_worker_takes_the_longest_job_that_fits_into_its_life(
    live: LiveSchedd, broker: Transport
) -> None:
    live.start(LANES)
    submit(live, "+MaxRuntime = 300")  # 1.0
    submit(live, "+MaxWallTimeMins = 60")  # 2.0
    submit(live, "allowed_execute_duration = 86400")  # 3.0
    submit(live, "")  # 4.0
    queues = [f"alien_jobs{lane}" for lane in ("", ".lane.600", ".lane.3600", ".lane.long")]

    def count() -> list[int]:
        return [broker.count_ready(queue) for queue in queues]

    until(lambda: count() == [1, 1, 1, 1], "a job in each", live)
    assert (
        asked(live, "condor_q", "-allusers", "-totals")
        .splitlines()[-1]
        .startswith("Total for all users: 4 jobs; 0 completed, 0 removed, 4 idle")
    )

    assert worker(live, 4000.0).wait(60) == 0
    until(lambda: live.states()["2.0"] == 4, "the job of an hour to be completed", live)
    assert live.states() == {"1.0": 1, "2.0": 4, "3.0": 1, "4.0": 1}

    assert worker(live, 300.0).wait(60) == 0  # none fits: the one that says nothing
    until(lambda: live.states()["4.0"] == 4, "the job that says nothing to be completed", live)
    assert worker(live, 300.0, "--timeout", "7").wait(60) == 3
    assert live.states() == {"1.0": 1, "2.0": 4, "3.0": 1, "4.0": 4}

    assert worker(live, 300.0, "--lane-fallback", "0").wait(60) == 0
    until(lambda: live.states()["1.0"] == 4, "the shortest that does not fit", live)
    until(lambda: count() == [0, 0, 0, 1], "one left", live)


def test_a_waiting_worker_takes_a_job_of_a_lane_that_comes_later(live: LiveSchedd) -> None:
    live.start(LANES)
    waiting = worker(live, 1e6, "--timeout", "60")
    until(lambda: asked(live, "condor_status"), "the worker to wait", live)
    submit(live, "+MaxRuntime = 300")
    assert waiting.wait(60) == 0
    until(lambda: live.states() == {"1.0": 4}, "it to be completed", live)


def test_a_lane_that_no_worker_fits_is_served_after_the_patience(live: LiveSchedd) -> None:
    live.start(LANES, "--lane-patience=2")
    submit(live, "+MaxRuntime = 86400")
    assert worker(live, 300.0, "--timeout", "60").wait(60) == 0
    until(lambda: live.states() == {"1.0": 4}, "it to be completed", live)
    assert "is queued before all others" in live.said()


def test_a_schedd_without_its_lanes_queues_their_jobs_in_the_pool(live: LiveSchedd) -> None:
    live.start(LANES)
    submit(live, "+MaxRuntime = 300")
    assert live.end() == 0
    live.start()
    assert live.worker("--timeout", "60").wait(60) == 0
    until(lambda: live.states() == {"1.0": 4}, "it to be completed", live)
    assert "alien_jobs.lane.600 is no lane any more: they are queued again" in live.said()
