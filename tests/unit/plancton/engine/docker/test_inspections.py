"""What events tell before the engine's list does."""

from __future__ import annotations

from typing import Any

import pytest

from plancton.engine.docker import listing
from plancton.engine.docker.events import Event
from plancton.engine.docker.inspections import BELIEF, Lives
from plancton.engine.docker.listing import Row
from tests.support.container_listing import listed
from tests.support.fake_node import FakeClock


def inspected(state: str, code: int = 0) -> dict[str, Any]:
    times = {"StartedAt": "2026-11-22T15:32:42Z", "FinishedAt": "2026-11-22T15:32:52Z"}
    return {"State": {"Status": state, "Pid": 7, "ExitCode": code, **times}}


STARTED = 1795361562.0


class Inspector:
    def __init__(self) -> None:
        self.state, self.asked = "running", 0

    def __call__(self, container: str) -> dict[str, Any]:
        self.asked += 1
        return inspected(self.state)


@pytest.fixture
def seen() -> tuple[Lives, Inspector, FakeClock, Row]:
    """A pilot that runs, and was looked at once."""
    inspector, clock = Inspector(), FakeClock()
    lives = Lives(inspector, clock.now)
    (row,) = listing.rows([listed("running")])
    assert lives.of(row).pid == 7
    return lives, inspector, clock, row


Seen = tuple[Lives, Inspector, FakeClock, Row]


def test_what_is_known_is_not_asked_for_again(seen: Seen) -> None:
    lives, inspector, _, row = seen
    lives.of(row)
    assert inspector.asked == 1


def test_an_end_that_was_heard_of_is_known_before_the_list_shows_it(seen: Seen) -> None:
    lives, inspector, _, row = seen
    assert lives.hear(Event("c1", "die", STARTED + 5.0, 3))
    told = lives.of(row)
    assert (told.state, told.exit_code, told.pid) == ("exited", 3, None)
    assert told.finished == STARTED + 5.0
    assert inspector.asked == 1


def test_an_end_for_lack_of_memory_is_told_as_such(seen: Seen) -> None:
    lives, _, _, row = seen
    lives.hear(Event("c1", "oom"))
    lives.hear(Event("c1", "die", STARTED + 5.0, 137))
    assert lives.of(row).detail == listing.OUT_OF_MEMORY


def test_an_end_that_the_list_never_shows_is_not_believed_for_long(seen: Seen) -> None:
    lives, _, clock, row = seen
    lives.hear(Event("c1", "die", STARTED, 3))
    clock.advance(BELIEF + 1.0)
    assert lives.of(row).state == "running"


@pytest.mark.parametrize("forget", [lambda one: one.hear(Event("c1", "start")),
                                    lambda one: one.lost()])  # fmt: skip
def test_a_container_that_somebody_started_again_is_asked_about(seen: Seen, forget: Any) -> None:
    lives, inspector, _, row = seen
    lives.hear(Event("c1", "die", STARTED, 3))
    forget(lives)
    assert lives.of(row).state == "running"
    assert inspector.asked == 2


def test_an_end_of_a_pilot_that_was_never_looked_at_is_asked_about() -> None:
    inspector = Inspector()
    lives = Lives(inspector)
    inspector.state = "exited"
    lives.hear(Event("c1", "die", STARTED, 3))
    (row,) = listing.rows([listed("running")])
    assert lives.of(row).state == "exited"
    assert inspector.asked == 1
