"""DIRAC's batch plug-in of its newest release: spooled pilots, their states, their output."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.pool import Pool


def test_dirac_submits_follows_and_kills_its_pilots(pool: Pool, python: Path, place: Path) -> None:
    got = json.loads(pool.script(python, "use_dirac.py", place, timeout=120))

    assert got["submitted"]["Status"] == 0
    good, bad, long = got["submitted"]["Jobs"]
    # DIRAC compares a number with a text here, so that a pilot that failed is Aborted, not Failed
    assert got["seen"]["Jobs"] == {good: "Done", bad: "Aborted", long: "Running"}
    assert got["counts"]["Running"] >= 1
    assert got["killed"] == {"Status": 0, "Successful": [long], "Failed": []}
    assert got["after"]["Jobs"][long] in ("Aborted", "Unknown")
