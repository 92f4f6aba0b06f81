"""Batch clients that are Python libraries: each runs jobs its own way, and sees how they end.

What they do is in ``programs/``, which runs in an environment of theirs.
"""

import json
from pathlib import Path

from tests.clients.pool import Pool

REMOVED = 3


def test_b2luigi_runs_its_tasks_as_jobs(pool: Pool, python: Path, place: Path) -> None:
    said = pool.script(python, "use_b2luigi.py", place)

    results = {
        int(path.parent.name.partition("=")[2]): path.read_text().split()
        for path in place.glob("result_dir/**/square.txt")
    }
    assert {number: int(words[0]) for number, words in results.items()} == {1: 1, 2: 4}
    assert all(words[1].startswith(str(pool.root / "scratch")) for words in results.values())
    assert "Failed task Square(number=3)" in said


def test_dask_computes_on_the_pool_and_takes_its_workers_away(
    pool: Pool, python: Path, place: Path
) -> None:
    got = json.loads(pool.script(python, "use_dask.py", place))

    assert got["sum"] == sum(n * n for n in range(100))
    assert len(got["jobs"]) == 2
    scratches = {scratch for scratch, _pid in got["workers"]}
    assert len(scratches) == 2
    assert all(Path(scratch).is_relative_to(pool.root / "scratch") for scratch in scratches)
    for job in got["jobs"]:
        pool.wait_for(job, REMOVED)
        # what its job description asked for with expressions of other attributes
        assert pool.attributes(job, "RequestCpus", "RequestMemory", "DaskWorkerName") == [
            "1",
            "488",
            f"htcondor--{job}--",
        ]


def test_law_submits_follows_and_cancels(pool: Pool, python: Path, place: Path) -> None:
    got = json.loads(pool.script(python, "use_law.py", place))

    good, bad, long = got["jobs"]
    assert got["version"] >= [25, 0, 0]
    assert got["states"][good][-1] == "finished"
    assert got["states"][bad][-1] == "failed"
    assert got["states"][long][-1] == "running"
    assert got["codes"] == {good: 0, bad: 1, long: 0}
    assert got["cancelled"] == "via condor_rm (by user root)".replace("root", pool.user)


def test_parsl_runs_apps_on_the_pool_and_scales_in(pool: Pool, python: Path, place: Path) -> None:
    got = json.loads(pool.script(python, "use_parsl.py", place, str(python.parent)))

    assert got["squares"] == [n * n for n in range(8)]
    [scratch] = got["scratches"]
    assert Path(scratch).is_relative_to(pool.root / "scratch")
    assert got["before"] == "RUNNING"
    # it counts a cancel as done only when the last of its commands, condor_rm -forcex, returns 0
    assert sorted(got["cancelled"]) == ["0", "1"]
    assert got["after"] == "CANCELLED"
    for job in (got["job"], got["second"]):
        pool.wait_for(job, REMOVED)
        # no longer in the queue in spite of leave_in_queue
        assert pool.ask("condor_q", job, "-af", "JobStatus") == ""


def test_pulsar_follows_its_jobs_by_the_log_and_stops_one(
    pool: Pool, python: Path, place: Path
) -> None:
    # condor_rm prints on the same stdout
    got = json.loads(pool.script(python, "use_pulsar.py", place).splitlines()[-1])

    # started, evicted, failed, ended, aborted
    assert got["good"] == [True, False, False, True, False]
    assert got["running"] == [True, False, False, False, False]
    assert got["stop"] is None
    # HTCondor writes of a running job that is removed that it was evicted, and then that it left
    assert got["stopped"] == [True, True, False, False, True]
    assert got["again"] == "condor_rm failed"


def test_tardis_runs_suspends_and_removes_its_drones(pool: Pool, python: Path, place: Path) -> None:
    got = json.loads(pool.script(python, "use_tardis.py", place))

    first, second = got["jobs"]
    assert first.partition(".")[0] == second.partition(".")[0]
    # a job that is not there counts as 4 with tardis
    assert got["running"] == ["2", "2", "4"]
    assert got["suspended"] == [True, False]
    assert got["stopped"] == ["7", "2", "4"]
    assert got["removed"] == [True, True, False]
    assert got["after"] == ["4", "4", "4"]
    assert got["nothing"] == [False]
