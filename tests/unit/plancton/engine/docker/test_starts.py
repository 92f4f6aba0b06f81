"""Starts of containers in threads: how many at once, failed, in doubt, asked to end."""

import threading
from collections.abc import Iterator

import pytest

from plancton.config.model import Config
from plancton.engine.docker import starts as docker_starts
from plancton.engine.docker.starts import NotStarted, Starts
from plancton.engine.pilot_spec import PilotSpec, make_spec
from plancton.errors import EngineRefused, EngineTimeout, EngineUnavailable, NoSuchImage
from tests.support.container_listing import NAME
from tests.support.fake_node import FACTS
from tests.support.few_threads import refuse_threads
from tests.support.waiting import wait_until


def one(name: str = NAME) -> PilotSpec:
    return make_spec(Config(docker_cmd=("sleep",)), FACTS, name)


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


def fail(made: Starts, gate: Gate, error: Exception) -> None:
    """Have a start end with an error."""
    gate.error = error
    made.add(one())
    gate.go.set()
    wait_until(lambda: not made.busy(), "the end")


def names(made: Starts) -> set[str]:
    return set(made.snapshot()[0])


def test_where_no_further_thread_can_be_had_one_starts_all(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, done = starts(gate)
    made.add(one())
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        made.add(one(f"{NAME}2"))
    gate.go.set()
    wait_until(lambda: len(done) == 2, "both starts", state=lambda: done)
    assert gate.most == 1


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
    (failed,) = made.snapshot()[1]
    assert (failed.name, failed.exit_code, failed.detail, failed.asked) == (
        NAME, 127, "cannot run 'x'", False,
    )  # fmt: skip
    assert made.drop_failed(NAME) and not made.drop_failed(NAME)
    assert made.snapshot() == ({}, [])


def test_an_engine_that_refuses_a_start_makes_it_a_failure(gate: Gate) -> None:
    made, _ = starts(gate)
    fail(made, gate, EngineRefused("boom"))
    (failed,) = made.snapshot()[1]
    assert (failed.name, failed.detail) == (NAME, "not started: boom")


def test_a_start_for_which_there_is_no_image_is_no_failure(gate: Gate) -> None:
    made, _ = starts(gate)
    fail(made, gate, NoSuchImage("gone"))
    assert made.snapshot() == ({}, [])


def test_a_start_without_an_answer_counts_until_the_engine_has_answered(gate: Gate) -> None:
    made, _ = starts(gate)
    fail(made, gate, EngineTimeout("no answer in time"))
    now = next(iter(made._starts.values())).doubted
    assert now is not None
    made.note_listed(set(), now + 1.0)
    assert names(made) == {NAME}, "it may still come up: another one would be one too many"
    made.note_listed(set(), now + docker_starts.DOUBT_TIME + 1.0)
    assert names(made) == set()


def test_a_start_in_doubt_that_is_listed_is_no_longer_pending(gate: Gate) -> None:
    made, _ = starts(gate)
    fail(made, gate, EngineUnavailable("gone"))
    made.note_listed({NAME}, 0.0)
    assert names(made) == set()


def test_asked_to_end_before_it_began_it_never_begins(gate: Gate) -> None:
    made, _ = starts(gate, parallel=1)
    made.add(one("first"))
    made.add(one(NAME))
    wait_until(lambda: gate.names == ["first"], "the first at work")
    assert made.request_stop(NAME, 5.0)
    (failed,) = made.snapshot()[1]
    assert failed.asked
    gate.go.set()
    wait_until(lambda: not made.busy(), "the end")
    assert gate.names == ["first"]


def test_asked_to_end_while_it_starts_it_is_asked_when_it_runs(gate: Gate) -> None:
    made, done = starts(gate)
    made.add(one())
    wait_until(lambda: gate.names == [NAME], "it starts")
    assert made.request_stop(NAME, 5.0) and made.request_stop(NAME, 1.0)
    assert made.snapshot()[0] == {NAME: True}
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
