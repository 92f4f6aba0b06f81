"""The engine's events: which cause a pass, malformed ones, and reconnecting after an outage."""

import threading
from collections.abc import Iterator
from typing import Any

from plancton.engine.docker import events as docker_events
from plancton.engine.docker.events import ContainerEvent
from plancton.errors import EngineError, EngineUnavailable
from tests.support.waiting import wait_until


class FakeSource:
    """Streams of events, one after the other; the last one waits until it is closed."""

    def __init__(self, *streams: list[dict[str, Any]] | EngineError) -> None:
        self.streams = list(streams)
        self.opened = 0
        self.closed = threading.Event()
        self.drained = threading.Event()

    def open_events(self) -> Any:
        self.opened += 1
        found = self.streams.pop(0) if self.streams else []
        if isinstance(found, EngineError):
            raise found
        return FakeStream(found, None if self.streams else self)


class FakeStream(Iterator[dict[str, Any]]):
    def __init__(self, events: list[dict[str, Any]], last_of: FakeSource | None) -> None:
        self.events, self.last_of = list(events), last_of

    def __next__(self) -> dict[str, Any]:
        if self.events:
            return self.events.pop(0)
        if self.last_of is not None:
            self.last_of.drained.set()
            self.last_of.closed.wait(60)
        raise StopIteration

    def close(self) -> None:
        if self.last_of is not None:
            self.last_of.closed.set()


def event(action: str, kind: str = "container", **attributes: str) -> dict[str, Any]:
    return {"Type": kind, "Action": action, "Actor": {"ID": "c1", "Attributes": attributes}}


def heard(*streams: list[dict[str, Any]] | EngineError) -> tuple[list[str], int]:
    """Return what was told, and how often the stream was opened."""
    told: list[str] = []

    def hear(event: ContainerEvent) -> bool:
        told.append(f"{event.action} {event.container} {event.exit_code}")
        return event.action == "die"

    source = FakeSource(*streams)
    watch = docker_events.EventWatch(
        source.open_events,
        lambda: told.append("wake"),
        hear,
        lambda was_away: told.append("lost, was away" if was_away else "lost"),
        lambda: told.append("image"),
    )
    wait_until(source.drained.is_set, "all streams to be heard", state=lambda: told)
    watch.close()
    return told, source.opened


OPENED = ["lost", "image", "wake"]
OURS = {"plancton.node": "n"}


def test_an_end_of_a_pilot_wakes_and_other_containers_do_not() -> None:
    told, _ = heard([event("die", **OURS, exitCode="3"), event("die"), event("start")])
    assert told == [*OPENED, "die c1 3", "wake"]


def test_a_start_is_noted_and_causes_no_pass() -> None:
    told, _ = heard([event("start", **OURS)])
    assert told == [*OPENED, "start c1 None"]


def test_an_event_that_makes_no_sense_does_not_end_the_listening() -> None:
    strange = {"Type": "container", "Actor": "nobody"}
    told, _ = heard([strange, event("die", **OURS, exitCode="many")])
    assert told == [*OPENED, "die c1 None", "wake"]


def test_after_an_outage_events_are_read_again_and_a_pass_is_made() -> None:
    told, opened = heard([], EngineUnavailable("no engine"), [])
    assert opened == 3
    assert told.count("wake") >= 3, "when it broke, and when it was there again"
    assert [one for one in told if "lost" in one] == ["lost", "lost, was away"]


def test_an_image_that_came_in_by_other_means_wakes() -> None:
    told, _ = heard([event("load", "image"), event("pull", "image")])
    assert told == [*OPENED, "image", "wake", "image"]
