"""pulsar and Galaxy's runner: they know a job by substrings of its log."""

import json
from pathlib import Path

from tests.clients.pool import Pool


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
