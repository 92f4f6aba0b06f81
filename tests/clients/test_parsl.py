"""Parsl's HighThroughputExecutor: its blocks are our jobs."""

import json
from pathlib import Path

from tests.clients.pool import Pool

REMOVED = 3


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
