"""Nodes whose clocks are wrong: a job's times are the schedd's."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, ScheddHarness
from thyme.protocol.events import Usage

RAN = 100.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    harness = ScheddHarness(tmp_path)
    yield harness
    harness.close()


def read_time(log: Path, number: str) -> float:
    """Return when the log says that its only event of this number was."""
    (line,) = [one for one in log.read_text().splitlines() if one.startswith(f"{number} ")]
    return time.mktime(time.strptime(" ".join(line.split()[2:4]), "%Y-%m-%d %H:%M:%S"))


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -3600.0, 400 * 86400.0, -400 * 86400.0])
@pytest.mark.parametrize("wiped", [False, True])
def test_completion_and_user_log_are_by_the_schedds_clock(
    bench: ScheddHarness, tmp_path: Path, ahead: float, wiped: bool
) -> None:
    log = tmp_path / "job.log"
    e = Events(attributes={"UserLog": str(log), "Iwd": str(tmp_path)})
    bench.submit(e.submit())
    bench.record(e.started())
    ended = e.now + RAN
    bench.wall.now = ended + 3.0
    event = e.finished()
    usage = replace(event.usage, wall=RAN)
    bench.record(replace(event, time=ended + 1.0 + ahead, usage=usage))

    assert abs(bench.job().ad.number("CompletionDate") - ended) <= 1
    assert abs(read_time(log, "005") - ended) <= 1
    if wiped:
        before = bench.job().ad.number("CompletionDate")
        bench.restart(wiped=True)
        assert bench.job().ad.number("CompletionDate") == before


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 400 * 86400.0])
def test_an_evicted_job_is_idle_from_then_on(
    bench: ScheddHarness, tmp_path: Path, ahead: float
) -> None:
    log = tmp_path / "job.log"
    e = Events(attributes={"UserLog": str(log), "Iwd": str(tmp_path)})
    bench.submit(e.submit())
    bench.record(e.started())
    ended = e.now + RAN
    event = e.evicted(reason="evicted with its pilot", usage=Usage(wall=RAN))
    bench.record(replace(event, time=ended + ahead))
    ad = bench.job().ad
    for name in ("EnteredCurrentStatus", "LastVacateTime"):
        assert abs(ad.number(name) - ended) <= 1, name
    assert abs(read_time(log, "004") - ended) <= 1
