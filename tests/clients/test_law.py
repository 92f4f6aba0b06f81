"""law: its own job manager submits, follows and cancels."""

import json
from pathlib import Path

from tests.clients.pool import Pool


def test_law_submits_follows_and_cancels(pool: Pool, python: Path, place: Path) -> None:
    got = json.loads(pool.script(python, "use_law.py", place))

    good, bad, long = got["jobs"]
    assert got["version"] >= [25, 0, 0]
    assert got["states"][good][-1] == "finished"
    assert got["states"][bad][-1] == "failed"
    assert got["states"][long][-1] == "running"
    assert got["codes"] == {good: 0, bad: 1, long: 0}
    assert got["cancelled"] == "via condor_rm (by user root)".replace("root", pool.user)
