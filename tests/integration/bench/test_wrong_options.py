"""Wrong variables of benches and `make chaos` end in one line before anything is started."""

import subprocess
import sys

import pytest

from tests.support.schedd_process import ROOT


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tests.bench", "--only", ","], "bench: no such id: an empty one, an empty one; "),
        (["tests.bench", "--only", "nope"], "bench: no such id: nope; there are: "),
        (["tests.chaos.kills", "--kills", "0"],
         "argument --kills (N of `make chaos`): at least 1, not 0"),
        (["tests.chaos.kills", "--kills-per-round", "0"],
         "argument --kills-per-round: at least 1, not 0"),
        (["tests.chaos.kills", "--broker", "mysql"],
         "argument --broker: invalid choice: 'mysql' (choose from 'embedded', 'rabbitmq')"),
        (["tests.bench.busy_hour", "--seconds", "nan"],
         "argument --seconds (SECONDS of `make busy-hour`): 10 to 1e6, not nan"),
        (["tests.chaos.kills", "--engine", "podman"],
         "argument --engine: invalid choice: 'podman' (choose from 'process', 'docker')"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_said(words: list[str], says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
