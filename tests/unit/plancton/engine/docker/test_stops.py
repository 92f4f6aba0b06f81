"""Stops of pilots: asked once, when they can receive it; marked; and killed in the end."""

import pytest

from plancton.engine.docker.api import DockerApi
from plancton.engine.docker.listing import StopRequest
from plancton.engine.docker.stops import Stops
from plancton.errors import Conflict, EngineUnavailable, NotThere
from tests.support.container_listing import NAME
from tests.support.fake_node import FakeClock
from tests.support.few_threads import NO_THREAD, refuse_threads
from tests.support.waiting import wait_until


class FakeSignals(DockerApi):
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
    ends = Stops(api)
    ends.request(NAME, "c1", 600.0, paused=False)
    ends.request(NAME, "c1", 600.0, paused=False)
    assert api.sent() == ["SIGTERM"]
    ends.request(NAME, "c1", 0.05, paused=False)
    wait_until(lambda: api.sent() == ["SIGTERM", "SIGKILL"], "the kill", state=lambda: api.calls)
    ends.close()


def test_what_was_asked_is_written_down_before_the_daemon_ends() -> None:
    api = FakeSignals()
    ends = Stops(api, wall=lambda: 5000.0)
    ends.request(NAME, "c1", 600.0, paused=False)
    ends.close()
    assert (f"{NAME}.asked.5000.600", "c1") in api.calls


def test_the_next_daemon_kills_when_the_time_is_over() -> None:
    api = FakeSignals()
    ends = Stops(api, wall=lambda: 5000.0)
    ends.adopt(NAME, "c1", StopRequest(at=1000, grace=600.0))
    wait_until(lambda: api.sent() == ["SIGKILL"], "the kill")
    assert ends.was_requested(NAME)
    ends.close()


def test_a_pilot_is_asked_to_end_without_a_thread_and_killed_when_there_is_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeSignals()
    ends = Stops(api)
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        ends.request(NAME, "c1", 0.05, paused=False)
        ends.forget_gone(lambda _name: False)
    assert api.sent() == ["SIGTERM"]
    assert caplog.messages[0] == f"pilots that do not end cannot be killed yet: {NO_THREAD}"
    ends.forget_gone(lambda _name: False)
    wait_until(lambda: api.sent() == ["SIGTERM", "SIGKILL"], "the kill", state=lambda: api.calls)
    ends.close()


def test_a_paused_pilot_is_unpaused_so_that_it_receives_the_signal() -> None:
    api = FakeSignals()
    ends = Stops(api)
    ends.request(NAME, "c1", 600.0, paused=True)
    assert api.sent() == ["unpause", "SIGTERM"]
    ends.close()


def test_a_kill_that_the_engine_did_not_answer_is_tried_again() -> None:
    api, clock = FakeSignals(), FakeClock()
    api.errors = [EngineUnavailable("hung"), Conflict("Container c1 is paused")]
    ends = Stops(api, now=clock.now)
    ends.request(NAME, "c1", 0.0, paused=False)

    def killed() -> bool:
        clock.advance(1.0)
        ends._wake_thread()
        return api.sent() == ["unpause", "SIGKILL"]

    wait_until(killed, "the kill", state=lambda: (api.calls, api.errors))
    ends.close()


def test_a_pilot_gets_sigterm_as_soon_as_it_can_receive_it() -> None:
    api, clock, deaf = FakeSignals(), FakeClock(), {7}
    ends = Stops(api, now=clock.now, wall=lambda: 5000.0, deaf=deaf.__contains__)
    ends.request(NAME, "c1", 600.0, paused=True, pid=7)
    ends.request(NAME, "c1", 500.0, paused=False, pid=7)
    clock.advance(100.0)
    ends._signal_ready()
    assert ends.was_requested(NAME)
    assert api.calls == [("unpause", "c1")], "it goes on, so that it comes to hear"
    deaf.clear()
    clock.advance(100.0)
    ends._signal_ready()
    ends._signal_ready()
    assert api.sent() == ["unpause", "SIGTERM"]
    ends.close()
    assert (f"{NAME}.asked.5000.300", "c1") in api.calls, "what is left of its time"


def test_a_pilot_that_never_receives_sigterm_is_killed_after_its_grace() -> None:
    api, clock = FakeSignals(), FakeClock()
    ends = Stops(api, now=clock.now, deaf=lambda _pid: True)
    ends.request(NAME, "c1", 600.0, paused=False, pid=7)
    clock.advance(600.0)
    ends._wake_thread()
    wait_until(lambda: api.sent() == ["SIGKILL"], "the kill", state=lambda: api.calls)
    ends.close()


def test_a_pilot_without_sigterm_is_not_marked_as_asked_to_end() -> None:
    api = FakeSignals()
    ends = Stops(api, deaf=lambda _pid: True)
    ends.request(NAME, "c1", 600.0, paused=False, pid=7)
    ends.close()
    assert api.calls == []


@pytest.mark.parametrize("error", [NotThere("no such container"), Conflict("is not running")])
def test_a_pilot_that_ended_meanwhile_is_no_error(error: Exception) -> None:
    api = FakeSignals()
    api.errors = [error]
    ends = Stops(api)
    ends.request(NAME, "c1", 600.0, paused=False)
    ends.mark_ended(NAME)
    assert ends.was_requested(NAME)
    ends.forget_gone(lambda name: True)
    assert not ends.was_requested(NAME)
    ends.close()


def test_a_pilot_with_a_short_grace_gets_the_cpu_to_end() -> None:
    hurried: list[str] = []
    ends = Stops(FakeSignals(), hurried.append)
    ends.request("patient", "c1", 600.0, paused=False)
    assert hurried == []
    ends.request("short of memory", "c2", 1.0, paused=False)
    assert hurried == ["c2"]
    ends.close()
