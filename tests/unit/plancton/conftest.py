"""Fixtures of the tests in this directory."""

from pathlib import Path

import pytest

from plancton.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.choose(
        logdir=str(tmp_path / "log"), rundir=str(tmp_path / "run"), confdir=str(tmp_path / "conf")
    )
