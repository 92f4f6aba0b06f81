"""A hundred kills on one site; `make chaos N=...` does as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kills import KILLS, run_round

#: Always the same choices; the moments are still those of a real machine.
SEED = 20


@pytest.mark.kill
def test_killing_what_one_likes_loses_and_doubles_nothing(tmp_path: Path) -> None:
    assert run_round(tmp_path, f"{SEED}:0", KILLS, None).killed.total() == KILLS
