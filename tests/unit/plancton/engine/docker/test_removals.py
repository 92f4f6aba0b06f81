"""Removals of containers in a thread: hidden at once, after starts, tried again, reported."""

import threading

import pytest

from plancton.engine.docker import removals as docker_removals
from plancton.engine.docker.removals import Removals
from plancton.errors import Conflict, EngineError, EngineRefused
from tests.support.waiting import wait_until


class FakeRemover:
    def __init__(self) -> None:
        self.removed: list[str] = []
        self.error: EngineError | None = None
        self.yielded: list[float] = []

    def remove(self, container: str) -> None:
        if self.error is not None:
            raise self.error
        self.removed.append(container)


def removals(remover: FakeRemover) -> Removals:
    return Removals(remover.remove, remover.yielded.append)


def test_a_removal_is_hidden_at_once_and_lets_starts_go_first() -> None:
    remover = FakeRemover()
    made = removals(remover)
    made.add("c1")
    assert made.is_hidden("c1")
    made.close()
    assert remover.removed == ["c1"]
    assert remover.yielded in ([], [docker_removals.YIELD_TIME])
    made.note_listed(set())
    assert not made.is_hidden("c1")


def test_a_stuck_removal_is_shown_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    remover, woken = FakeRemover(), threading.Event()
    remover.error = EngineRefused("device or resource busy")
    made = removals(remover)
    made.wake = woken.set
    made.add("c1")
    wait_until(woken.is_set, "to be woken")
    assert not made.is_hidden("c1"), "it is there still, so it is listed"
    with pytest.raises(EngineError, match="cannot be removed: device or resource busy"):
        made.add("c1")
    monkeypatch.setattr(docker_removals, "RETRY", 0.0)
    remover.error = None
    made.add("c1")
    wait_until(lambda: remover.removed == ["c1"], "the second try")


def test_a_container_that_is_still_there_after_its_removal_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remover = FakeRemover()
    remover.error = Conflict("removal of container c1 is already in progress")
    made = removals(remover)
    made.add("c1")
    made.close()
    assert made.is_hidden("c1")
    monkeypatch.setattr(docker_removals, "RETRY", -1.0)
    made.note_listed({"c1"})
    assert not made.is_hidden("c1")
