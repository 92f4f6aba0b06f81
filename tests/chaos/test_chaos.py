"""A hundred kills on two sites; `make chaos N=...` does as many as one likes."""

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.kills import run_round
from tests.chaos.picture import draw

#: Always the same choices; the moments are still those of a real machine.
SEED, KILLS = 20, 50


@pytest.mark.kill
@pytest.mark.needs("influxdb")
@pytest.mark.parametrize("number", range(2))
def test_killing_what_one_likes_loses_and_doubles_nothing(tmp_path: Path, number: int) -> None:
    one = run_round(tmp_path, f"{SEED}:{number}", KILLS)

    assert one.killed.total() == KILLS
    victims = [event.victim for event in one.events[:-1]]
    assert Counter(victims) == one.killed
    assert draw("kills", one.events).count("<path ") == KILLS
