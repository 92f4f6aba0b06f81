"""Asking pilots to end: once, when they hear, written down, and killed in the end."""

from __future__ import annotations

import pytest

from plancton.engine.docker.listing import Asked
from plancton.engine.docker.stops import Ends
from plancton.errors import Conflict, EngineUnavailable, NotThere
from tests.support.container_listing import NAME
from tests.support.fake_node import FakeClock
from tests.support.waiting import wait_until


class FakeSignals:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.errors: list[Exception] = []

    def kill(self, container: str, signal: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.calls.append((signal, container))

    def unpause(self, container: str) -> None:
        self.calls.append(("unpause", container))

    def rename(self, container: str, name: str) -> None:
        self.calls.append((name, container))

    def sent(self) -> list[str]:
        return [what for what, _ in self.calls if what.startswith(("SIG", "unpause"))]


def test_sigterm_is_sent_once_and_sigkill_when_the_grace_is_over() -> None:
    api = FakeSignals()
    ends = Ends(api)
    ends.ask(NAME, "c1", 600.0, paused=False)
    ends.ask(NAME, "c1", 600.0, paused=False)
    assert api.sent() == ["SIGTERM"]
    ends.ask(NAME, "c1", 0.05, paused=False)
    wait_until(lambda: api.sent() == ["SIGTERM", "SIGKILL"], "the kill", state=lambda: api.calls)
    ends.close()


def test_what_was_asked_is_written_down_before_the_daemon_ends() -> None:
    api = FakeSignals()
    ends = Ends(api, wall=lambda: 5000.0)
    ends.ask(NAME, "c1", 600.0, paused=False)
    ends.close()
    assert (f"{NAME}.asked.5000.600", "c1") in api.calls


def test_the_next_daemon_kills_when_the_time_is_over() -> None:
    api = FakeSignals()
    ends = Ends(api, wall=lambda: 5000.0)
    ends.adopt(NAME, "c1", Asked(at=1000, grace=600.0))
    wait_until(lambda: api.sent() == ["SIGKILL"], "the kill")
    assert ends.asked(NAME)
    ends.close()


def test_a_paused_pilot_is_woken_so_that_it_can_hear() -> None:
    api = FakeSignals()
    ends = Ends(api)
    ends.ask(NAME, "c1", 600.0, paused=True)
    assert api.sent() == ["unpause", "SIGTERM"]
    ends.close()


def test_a_kill_that_the_engine_did_not_hear_is_tried_again() -> None:
    api, clock = FakeSignals(), FakeClock()
    api.errors = [EngineUnavailable("hung"), Conflict("Container c1 is paused")]
    ends = Ends(api, now=clock.now)
    ends.ask(NAME, "c1", 0.0, paused=False)

    def killed() -> bool:
        clock.advance(1.0)
        ends._ring()
        return api.sent() == ["unpause", "SIGKILL"]

    wait_until(killed, "the kill", state=lambda: (api.calls, api.errors))
    ends.close()


def test_a_pilot_that_cannot_hear_yet_is_told_as_soon_as_it_can() -> None:
    api, clock, deaf = FakeSignals(), FakeClock(), {7}
    ends = Ends(api, now=clock.now, wall=lambda: 5000.0, deaf=deaf.__contains__)
    ends.ask(NAME, "c1", 600.0, paused=True, pid=7)
    ends.ask(NAME, "c1", 500.0, paused=False, pid=7)
    clock.advance(100.0)
    ends._tell()
    assert ends.asked(NAME)
    assert api.calls == [("unpause", "c1")], "it goes on, so that it comes to hear"
    deaf.clear()
    clock.advance(100.0)
    ends._tell()
    ends._tell()
    assert api.sent() == ["unpause", "SIGTERM"]
    ends.close()
    assert (f"{NAME}.asked.5000.300", "c1") in api.calls, "what is left of its time"


def test_a_pilot_that_never_hears_is_killed_when_its_grace_is_over() -> None:
    api, clock = FakeSignals(), FakeClock()
    ends = Ends(api, now=clock.now, deaf=lambda _pid: True)
    ends.ask(NAME, "c1", 600.0, paused=False, pid=7)
    clock.advance(600.0)
    ends._ring()
    wait_until(lambda: api.sent() == ["SIGKILL"], "the kill", state=lambda: api.calls)
    ends.close()


def test_a_pilot_that_was_never_told_to_end_is_not_marked_as_if_it_had_been() -> None:
    api = FakeSignals()
    ends = Ends(api, deaf=lambda _pid: True)
    ends.ask(NAME, "c1", 600.0, paused=False, pid=7)
    ends.close()
    assert api.calls == []


@pytest.mark.parametrize("error", [NotThere("no such container"), Conflict("is not running")])
def test_a_pilot_that_ended_meanwhile_is_no_error(error: Exception) -> None:
    api = FakeSignals()
    api.errors = [error]
    ends = Ends(api)
    ends.ask(NAME, "c1", 600.0, paused=False)
    ends.over(NAME)
    assert ends.asked(NAME)
    ends.forget(lambda name: True)
    assert not ends.asked(NAME)
    ends.close()


def test_a_pilot_that_somebody_waits_for_gets_the_cpu_to_end() -> None:
    hurried: list[str] = []
    ends = Ends(FakeSignals(), hurried.append)
    ends.ask("patient", "c1", 600.0, paused=False)
    assert hurried == []
    ends.ask("short of memory", "c2", 1.0, paused=False)
    assert hurried == ["c2"]
    ends.close()
