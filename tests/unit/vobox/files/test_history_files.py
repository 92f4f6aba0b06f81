"""Per-job history files, as ARC reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import JOB, Events, Expression, ScheddHarness
from thyme.protocol.job import JobId
from vobox.files.history_files import HistoryFiles


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path)
    (tmp_path / "history").mkdir()
    made.state.history = HistoryFiles(tmp_path / "history")
    yield made
    made.close()


def files(bench: ScheddHarness) -> dict[str, str]:
    return {path.name: path.read_text() for path in (bench.directory / "history").iterdir()}


def test_a_job_that_left_has_a_file_with_its_ad_and_no_other_has(bench: ScheddHarness) -> None:
    e = Events()
    bench.submit(e.submit(), Events(JobId(39, 0)).submit())
    bench.record(e.started())
    assert files(bench) == {}
    bench.record(e.finished(code=3))
    (name, text), *rest = files(bench).items()
    assert (name, rest) == ("history.38.0", [])
    lines = text.splitlines()
    assert lines == sorted(lines)
    for line in (
        "JobStatus = 4",
        "ExitCode = 3",
        'LastRemoteHost = "slot1_1@w1"',
        'Owner = "games"',
    ):
        assert line in lines
    # no banner: what ARC greps are attributes alone
    assert all(" = " in line for line in lines)


def test_removed_jobs_and_those_that_stayed_for_a_while_have_one_too(bench: ScheddHarness) -> None:
    bench.submit(Events(JobId(1, 0)).submit())
    bench.record(Events(JobId(1, 0)).removed())
    stays = Expression("CurrentTime - CompletionDate < 5000")
    e = Events(JobId(2, 0), attributes={"LeaveJobInQueue": stays})
    bench.submit(e.submit())
    bench.record(e.started(), e.finished())
    bench.policies()
    assert sorted(files(bench)) == ["history.1.0"]
    bench.wall.now += 10000
    bench.policies()
    assert sorted(files(bench)) == ["history.1.0", "history.2.0"]


def test_missing_ones_are_written_at_a_start_and_the_others_left_alone(
    bench: ScheddHarness,
) -> None:
    for cluster in (1, 2):
        bench.submit(Events(JobId(cluster, 0)).submit())
        bench.record(Events(JobId(cluster, 0)).removed())
    directory = bench.directory / "history"
    (directory / "history.1.0").unlink()
    (directory / "history.2.0").write_text("mine")
    assert bench.state.history is not None
    bench.state.history.complete(bench.ledger.iterate_left())
    assert (
        files(bench)["history.2.0"] == "mine" and "JobStatus = 3\n" in files(bench)["history.1.0"]
    )


def test_a_directory_that_is_gone_is_said_once_and_stops_nothing(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    os.rmdir(bench.directory / "history")  # noqa: PTH106
    for cluster in (1, 2):
        bench.submit(Events(JobId(cluster, 0)).submit())
        bench.record(Events(JobId(cluster, 0)).removed())
    assert not bench.job(JobId(2, 0)).in_queue
    said = [record.getMessage() for record in caplog.records if "history" in record.getMessage()]
    assert said == [
        f"history file {bench.directory}/history/history.1.0: No such file or directory"
    ]


def test_what_is_no_utf8_is_written_as_it_is(bench: ScheddHarness) -> None:
    e = Events(attributes={"Odd": Expression('"caf\udce9"')})
    bench.submit(e.submit())
    bench.record(e.removed())
    text = (bench.directory / "history" / f"history.{JOB}").read_bytes()
    assert b'Odd = "caf\xe9"\n' in text
