"""COBalD/TARDIS: drones are submitted on stdin, suspended and removed."""

import json
from pathlib import Path

from tests.clients.pool import Pool


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
