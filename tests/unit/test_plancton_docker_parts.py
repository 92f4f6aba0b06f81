"""The parts of the Docker engine that need no Docker: what it lists, starts, ends and removes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from plancton.config import Config
from plancton.engine import docker_events, docker_list, docker_removals, docker_starts
from plancton.engine.docker_ends import Ends
from plancton.engine.docker_events import Event
from plancton.engine.docker_list import Asked, Phase, Row
from plancton.engine.docker_lives import BELIEF, Lives
from plancton.engine.docker_removals import Removals
from plancton.engine.docker_starts import NotStarted, Starts
from plancton.engine.docker_usage import from_stats
from plancton.errors import (
    Conflict,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    NoSuchImage,
    NotThere,
)
from plancton.launch import PilotSpec, spec
from tests.plancton_fakes import FACTS, FakeClock
from tests.waiting import wait_until

NAME = "plancton-worker-abc123"


def one(name: str = NAME) -> PilotSpec:
    return spec(Config(docker_cmd=("sleep",)), FACTS, name)


# The list


def listed(state: str, names: tuple[str, ...] = (f"/{NAME}",), **labels: str) -> dict[str, Any]:
    return {
        "Id": "c1",
        "Names": list(names),
        "State": state,
        "ImageID": "sha256:i",
        "Labels": {"plancton.node": "n", "plancton.pilot": NAME, **labels},
    }


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("created", Phase.MADE),
        ("configured", Phase.MADE),
        ("running", Phase.ALIVE),
        ("restarting", Phase.ALIVE),
        ("stopping", Phase.ALIVE),
        ("something-new", Phase.ALIVE),
        ("paused", Phase.PAUSED),
        ("exited", Phase.OVER),
        ("dead", Phase.OVER),
        ("removing", Phase.OVER),
    ],
)
def test_every_state_of_docker_and_podman_has_a_meaning(state: str, phase: Phase) -> None:
    (row,) = docker_list.rows([listed(state)])
    assert (row.phase, row.name, row.id) == (phase, NAME, "c1")


def test_a_container_without_our_labels_is_no_pilot() -> None:
    others = [
        {"Id": "x", "Names": [f"/{NAME}"], "State": "running", "Labels": {}},
        {"Id": "y", "Names": ["/b"], "State": "running", "Labels": None},
        {"Id": "z", "Names": ["/c"], "State": "running", "Labels": {"plancton.node": "n"}},
    ]
    assert docker_list.rows(others) == []


def test_the_digest_of_the_label_comes_before_the_id_of_the_image() -> None:
    (row,) = docker_list.rows([listed("running", **{"plancton.image.digest": "sha256:d"})])
    assert row.image == "sha256:d"
    (row,) = docker_list.rows([listed("running")])
    assert row.image == "sha256:i"


def test_that_a_pilot_was_asked_is_read_from_its_containers_name() -> None:
    renamed = docker_list.mark(NAME, Asked(at=1000, grace=30.0))
    (row,) = docker_list.rows([listed("running", (f"/{renamed}",))])
    assert row.name == NAME
    assert row.asked == Asked(1000, 30.0)


@pytest.mark.parametrize(
    ("wall", "left"), [(1000.0, 30.0), (1010.0, 20.0), (1100.0, 0.0), (5.0, 30.0), (9e9, 0.0)]
)
def test_the_time_left_stays_within_the_grace_whatever_the_clock_did(
    wall: float, left: float
) -> None:
    assert Asked(1000, 30.0).left(wall) == left


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T15:32:42.267260003Z", 1795361562.26726),
        ("2026-11-22T15:32:42Z", 1795361562.0),
        ("2026-11-22T16:32:42.5+01:00", 1795361562.5),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_moments_of_the_api(text: str, seconds: float | None) -> None:
    assert docker_list.moment(text) == (seconds and pytest.approx(seconds))


def test_what_an_inspection_tells() -> None:
    state = {"Status": "exited", "Pid": 0, "ExitCode": 137, "OOMKilled": True}
    times = {"StartedAt": "2026-11-22T15:32:42Z", "FinishedAt": "2026-11-22T15:32:44Z"}
    told = docker_list.life({"State": {**state, **times}})
    assert (told.exit_code, told.pid) == (137, None)
    assert told.started is not None and told.finished is not None
    assert told.finished - told.started == 2.0
    assert told.detail.startswith("killed for lack of memory")
    never = docker_list.life({"State": {"Status": "created", "ExitCode": 0}})
    assert never.exit_code is None, "what never ran has no exit code, and 0 would say success"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'OCI runtime create failed: runc: exec: "/x/y": stat /x/y: no such file or directory',
            (127, "cannot run '/x/y': No such file or directory"),
        ),
        (
            'runc: exec: "y": executable file not found in $PATH: unknown',
            (127, "cannot run 'y': No such file or directory"),
        ),
        ('exec: "/etc": permission denied', (126, "cannot run '/etc': Permission denied")),
        (
            "invalid mount config for type \"bind\": bind source path does not exist: /x",
            (None, 'not started: invalid mount config for type "bind": '
                   "bind source path does not exist: /x"),
        ),
    ],
)  # fmt: skip
def test_why_a_container_did_not_start(text: str, expected: tuple[int | None, str]) -> None:
    assert docker_list.why_not_started(text) == expected


def test_statistics_that_say_nothing_are_unknown() -> None:
    assert from_stats({"cpu_stats": {"cpu_usage": {"total_usage": 0}}}) is None
    told = {"cpu_stats": {"cpu_usage": {"total_usage": 5e9}}, "memory_stats": {"usage": 7}}
    used = from_stats(told)
    assert used is not None
    assert (used.cpu_seconds, used.memory_bytes) == (5.0, 7)


# Starts


class Gate:
    """A launch that waits until it is told how to end."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.go = threading.Event()
        self.error: Exception | None = None
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()

    def launch(self, spec: PilotSpec) -> None:
        with self._lock:
            self.names.append(spec.name)
            self._inside += 1
            self.most = max(self.most, self._inside)
        assert self.go.wait(60), "the test lets it go on"
        with self._lock:
            self._inside -= 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.go.set()


def starts(gate: Gate, parallel: int = 4) -> tuple[Starts, list[tuple[str, float | None]]]:
    done: list[tuple[str, float | None]] = []
    return Starts(gate.launch, lambda name, asked: done.append((name, asked)), parallel), done


def names(made: Starts) -> set[str]:
    return set(made.view()[0])


def test_many_start_at_once_and_no_more_than_allowed(gate: Gate) -> None:
    made, _ = starts(gate, parallel=3)
    for n in range(10):
        made.add(one(f"{NAME}{n}"))
    wait_until(lambda: len(gate.names) == 3, "three at work")
    assert len(names(made)) == 10, "all are pilots that start"
    gate.go.set()
    wait_until(lambda: not made.busy(), "the end")
    assert gate.most == 3
    assert sorted(gate.names) == [f"{NAME}{n}" for n in range(10)]


def test_a_start_that_fails_is_an_end_with_its_reason(gate: Gate) -> None:
    made, _ = starts(gate)
    woken = threading.Event()
    made.wake = woken.set
    gate.error = NotStarted(127, "cannot run 'x'")
    made.add(one())
    gate.go.set()
    wait_until(woken.is_set, "to be woken")
    (failed,) = made.view()[1]
    assert (failed.name, failed.exit_code, failed.detail, failed.asked) == (
        NAME, 127, "cannot run 'x'", False,
    )  # fmt: skip
    assert made.forget(NAME) and not made.forget(NAME)
    assert made.view() == ({}, [])


def test_a_start_for_which_there_is_no_image_is_no_failure(gate: Gate) -> None:
    made, _ = starts(gate)
    gate.error = NoSuchImage("gone")
    made.add(one())
    gate.go.set()
    wait_until(lambda: not made.busy(), "the end")
    assert made.view() == ({}, [])


def test_a_start_without_an_answer_counts_until_the_engine_has_told(gate: Gate) -> None:
    made, _ = starts(gate)
    gate.error = EngineTimeout("no answer in time")
    made.add(one())
    gate.go.set()
    wait_until(lambda: not made.busy(), "the end")
    now = next(iter(made._starts.values())).doubted
    assert now is not None
    made.listed(set(), now + 1.0)
    assert names(made) == {NAME}, "it may still come up: another one would be one too many"
    made.listed(set(), now + docker_starts.DOUBT + 1.0)
    assert names(made) == set()


def test_a_doubted_start_that_is_listed_is_the_lists_affair(gate: Gate) -> None:
    made, _ = starts(gate)
    gate.error = EngineUnavailable("gone")
    made.add(one())
    gate.go.set()
    wait_until(lambda: not made.busy(), "the end")
    made.listed({NAME}, 0.0)
    assert names(made) == set()


def test_asked_to_end_before_it_began_it_never_begins(gate: Gate) -> None:
    made, _ = starts(gate, parallel=1)
    made.add(one("first"))
    made.add(one(NAME))
    wait_until(lambda: gate.names == ["first"], "the first at work")
    assert made.ask_to_end(NAME, 5.0)
    (failed,) = made.view()[1]
    assert failed.asked
    gate.go.set()
    wait_until(lambda: not made.busy(), "the end")
    assert gate.names == ["first"]


def test_asked_to_end_while_it_starts_it_is_asked_when_it_runs(gate: Gate) -> None:
    made, done = starts(gate)
    made.add(one())
    wait_until(lambda: gate.names == [NAME], "it starts")
    assert made.ask_to_end(NAME, 5.0) and made.ask_to_end(NAME, 1.0)
    assert made.view()[0] == {NAME: True}
    gate.go.set()
    wait_until(lambda: done == [(NAME, 1.0)], "to be told")


def test_closing_drops_what_has_not_begun_and_waits_for_the_rest(gate: Gate) -> None:
    made, done = starts(gate, parallel=1)
    made.add(one("first"))
    made.add(one("second"))
    wait_until(lambda: gate.names == ["first"], "the first at work")
    threading.Timer(0.05, gate.go.set).start()
    made.close()
    assert done == [("first", None)]


# Ends


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


# Removals


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
    assert made.hides("c1")
    made.close()
    assert remover.removed == ["c1"]
    assert remover.yielded in ([], [docker_removals.YIELD])
    made.listed(set())
    assert not made.hides("c1")


def test_a_stuck_removal_is_shown_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    remover, woken = FakeRemover(), threading.Event()
    remover.error = EngineRefused("device or resource busy")
    made = removals(remover)
    made.wake = woken.set
    made.add("c1")
    wait_until(woken.is_set, "to be woken")
    assert not made.hides("c1"), "it is there still, so it is listed"
    with pytest.raises(EngineError, match="cannot be removed: device or resource busy"):
        made.add("c1")
    monkeypatch.setattr(docker_removals, "RETRY", 0.0)
    remover.error = None
    made.add("c1")
    wait_until(lambda: remover.removed == ["c1"], "the second try")


def test_a_container_that_is_still_there_after_its_removal_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remover = FakeRemover()
    remover.error = Conflict("removal of container c1 is already in progress")
    made = removals(remover)
    made.add("c1")
    made.close()
    assert made.hides("c1")
    monkeypatch.setattr(docker_removals, "RETRY", -1.0)
    made.listed({"c1"})
    assert not made.hides("c1")


# Events


class FakeSource:
    """Streams of events, one after the other; the last one waits until it is closed."""

    def __init__(self, *streams: list[dict[str, Any]] | EngineError) -> None:
        self.streams = list(streams)
        self.opened = 0
        self.closed = threading.Event()
        self.drained = threading.Event()

    def events(self) -> Any:
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
    """What was told, and how often the stream was opened."""
    told: list[str] = []

    def hear(event: Event) -> bool:
        told.append(f"{event.action} {event.container} {event.exit_code}")
        return event.action == "die"

    source = FakeSource(*streams)
    watch = docker_events.EventWatch(
        source,
        lambda: told.append("wake"),
        hear,
        lambda: told.append("lost"),
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


def test_a_start_is_told_and_wakes_nobody() -> None:
    told, _ = heard([event("start", **OURS)])
    assert told == [*OPENED, "start c1 None"]


def test_an_event_that_makes_no_sense_does_not_end_the_listening() -> None:
    strange = {"Type": "container", "Actor": "nobody"}
    told, _ = heard([strange, event("die", **OURS, exitCode="many")])
    assert told == [*OPENED, "die c1 None", "wake"]


def test_after_the_engine_was_away_it_is_listened_to_again_and_looked_at() -> None:
    told, opened = heard([], EngineUnavailable("no engine"), [])
    assert opened == 3
    assert told.count("wake") >= 3, "when it broke, and when it was there again"
    assert told.count("lost") == 2


def test_an_image_that_came_in_by_other_means_wakes() -> None:
    told, _ = heard([event("load", "image"), event("pull", "image")])
    assert told == [*OPENED, "image", "wake", "image"]


# What events tell before the list does


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
    (row,) = docker_list.rows([listed("running")])
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
    assert lives.of(row).detail == docker_list.OUT_OF_MEMORY


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
    (row,) = docker_list.rows([listed("running")])
    assert lives.of(row).state == "exited"
    assert inspector.asked == 1
