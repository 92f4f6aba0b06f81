"""Ending the daemon and its pilots, and what is said of pilots that are not known."""

import argparse

import pytest

from plancton.cli import stopping
from plancton.config.model import Config
from plancton.engine.pilot_spec import PilotSpec
from plancton.errors import EngineError
from plancton.paths import Paths
from tests.support.fake_node import FakeClock, FakeEngine, FakePilotStore


class DeafEngine(FakeEngine):
    """An engine that cannot ask one of its pilots to end."""

    def stop(self, pilot_id: str, grace: float) -> None:
        if pilot_id == "plancton-worker-a":
            raise EngineError(f"{pilot_id}: cannot be asked to end: no such process")
        super().stop(pilot_id, grace)


def test_a_pilot_that_cannot_be_asked_to_end_does_not_keep_the_others(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = DeafEngine(FakePilotStore(FakeClock()))
    for letter in "abc":
        engine.start(PilotSpec(f"plancton-worker-{letter}", "node", ("sleep",), {}, Config()))
    monkeypatch.setattr(stopping, "open_last_engine", lambda _document, _paths: engine)

    assert stopping._stop_pilots(paths, {}) is engine

    assert [name for what, name in engine.calls if what == "stop"] == [
        "plancton-worker-b", "plancton-worker-c",
    ]  # fmt: skip
    assert capsys.readouterr().out == (
        "plancton-worker-a: cannot be asked to end: no such process\n"
    )


@pytest.mark.parametrize(
    ("document", "left"),
    [({"pilots": None}, "not known"), (None, "not known"), ({"pilots": []}, "0")],
)
def test_stop_calls_no_pilots_none_only_where_the_engine_said_so(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    document: object,
    left: str,
) -> None:
    monkeypatch.setattr(stopping, "running_pid", lambda _paths: 7)
    monkeypatch.setattr(stopping, "_signal", lambda _pid, _number: None)
    monkeypatch.setattr(stopping, "_wait_for_end", lambda *_arguments: None)
    monkeypatch.setattr(stopping, "read_document", lambda _paths: document)

    assert stopping.stop(paths, argparse.Namespace()) == 0

    assert capsys.readouterr().out == f"stopped; pilots that go on: {left}\n"
