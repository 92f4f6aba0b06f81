"""Ends that events report before the engine's list shows them."""

from typing import Any

import pytest

from plancton.engine.docker import listing
from plancton.engine.docker.events import ContainerEvent
from plancton.engine.docker.inspections import BELIEF, Inspections
from plancton.engine.docker.listing import ListedContainer
from tests.support.container_listing import list_container
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
def seen() -> tuple[Inspections, Inspector, FakeClock, ListedContainer]:
    """Return a pilot that runs and was inspected once."""
    inspector, clock = Inspector(), FakeClock()
    lives = Inspections(inspector, clock.now)
    (row,) = listing.parse_list([list_container("running")])
    assert lives.get(row).pid == 7
    return lives, inspector, clock, row


Seen = tuple[Inspections, Inspector, FakeClock, ListedContainer]


def test_what_is_known_is_not_asked_for_again(seen: Seen) -> None:
    lives, inspector, _, row = seen
    lives.get(row)
    assert inspector.asked == 1


def test_an_end_that_an_event_reported_is_known_before_the_list_shows_it(seen: Seen) -> None:
    lives, inspector, _, row = seen
    assert lives.note_event(ContainerEvent("c1", "die", STARTED + 5.0, 3))
    told = lives.get(row)
    assert (told.state, told.exit_code, told.pid) == ("exited", 3, None)
    assert told.finished == STARTED + 5.0
    assert inspector.asked == 1


def test_an_end_for_lack_of_memory_is_reported_as_such(seen: Seen) -> None:
    lives, _, _, row = seen
    lives.note_event(ContainerEvent("c1", "oom"))
    lives.note_event(ContainerEvent("c1", "die", STARTED + 5.0, 137))
    assert lives.get(row).detail == listing.OUT_OF_MEMORY


@pytest.mark.parametrize("later", [0.0, BELIEF + 1.0])
def test_an_end_for_lack_of_memory_may_be_reported_after_the_end(seen: Seen, later: float) -> None:
    """A busy engine may publish the two in any order, and not mark the container."""
    lives, inspector, clock, _ = seen
    inspector.state = "exited"
    (row,) = listing.parse_list([list_container("exited")])
    lives.note_event(ContainerEvent("c1", "die", STARTED + 5.0, 137))
    assert lives.get(row).detail == ""
    lives.note_event(ContainerEvent("c1", "oom"))
    clock.advance(later)
    assert lives.get(row).detail == listing.OUT_OF_MEMORY


def test_a_pilot_that_lacked_memory_and_runs_on_has_not_ended(seen: Seen) -> None:
    lives, _, _, row = seen
    lives.note_event(ContainerEvent("c1", "oom"))
    assert (lives.get(row).state, lives.get(row).detail) == ("running", "")


def test_an_end_that_the_list_never_shows_is_not_believed_for_long(seen: Seen) -> None:
    lives, _, clock, row = seen
    lives.note_event(ContainerEvent("c1", "die", STARTED, 3))
    clock.advance(BELIEF + 1.0)
    assert lives.get(row).state == "running"


@pytest.mark.parametrize("forget", [lambda one: one.note_event(ContainerEvent("c1", "start")),
                                    lambda one: one.forget_all()])  # fmt: skip
def test_a_container_that_was_started_again_is_inspected_again(seen: Seen, forget: Any) -> None:
    lives, inspector, _, row = seen
    lives.note_event(ContainerEvent("c1", "die", STARTED, 3))
    forget(lives)
    assert lives.get(row).state == "running"
    assert inspector.asked == 2


def test_the_end_of_a_pilot_that_was_never_inspected_is_inspected() -> None:
    inspector = Inspector()
    lives = Inspections(inspector)
    inspector.state = "exited"
    lives.note_event(ContainerEvent("c1", "die", STARTED, 3))
    (row,) = listing.parse_list([list_container("running")])
    assert lives.get(row).state == "exited"
    assert inspector.asked == 1
