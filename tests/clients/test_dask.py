"""dask-jobqueue's HTCondorCluster: its workers are our jobs."""

import json
from pathlib import Path

from tests.clients.pool import Pool

REMOVED = 3


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
