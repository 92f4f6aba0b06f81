"""The model of the job protocol, searched by spin: all that it is asked in configurations.txt.

``make model`` runs every configuration, ``make test`` the quick ones.
"""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Seconds for one configuration: a few on a quiet machine, minutes for the largest.
QUICK, LONG = 120, 1200
EXIT = {"holds": 0, "violated": 1}


def read_configurations() -> list[object]:
    """Return a parameter for each line of configurations.txt: what must come out, and switches."""
    found: list[object] = []
    for line in (HERE / "configurations.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        size, result, *switches = line.split()
        assert size in ("quick", "long"), line
        marks = [pytest.mark.timeout(2 * (QUICK if size == "quick" else LONG))]
        if size == "long":
            marks.append(pytest.mark.long)
        name = "-".join(switches).replace("-D", "") or "no-fault"
        found.append(pytest.param(result, switches, marks=marks, id=name))
    return found


@pytest.mark.needs("spin")
@pytest.mark.parametrize(("result", "switches"), read_configurations())
def test_the_protocol_has_its_properties_under_faults(
    result: str, switches: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_long = request.node.get_closest_marker("long") is not None
    bounds = {"LIMIT": str(LONG if is_long else QUICK), "OPTIMIZE": "2" if is_long else "0"}
    done = subprocess.run(
        [HERE / "run.sh", *switches], cwd=tmp_path, env={**os.environ, **bounds},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    trail = tmp_path / "trail.txt"
    steps = (
        [line for line in trail.read_text().splitlines() if "proc " in line]
        if trail.exists()
        else []
    )
    shown = "" if result == "violated" else "\n".join(steps[-200:])
    assert done.returncode == EXIT[result], f"{done.stdout}{done.stderr}\n{shown}"
