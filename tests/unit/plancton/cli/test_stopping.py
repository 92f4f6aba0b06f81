"""Asking pilots to end when the deadline of a drain has passed."""

from __future__ import annotations

from pathlib import Path

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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = DeafEngine(FakePilotStore(FakeClock()))
    for letter in "abc":
        engine.start(PilotSpec(f"plancton-worker-{letter}", "node", ("sleep",), {}, Config()))
    monkeypatch.setattr(stopping, "open_last_engine", lambda _document, _paths: engine)
    paths = Paths.choose(logdir=str(tmp_path), rundir=str(tmp_path), confdir=str(tmp_path))

    assert stopping._stop_pilots(paths, {}) is engine

    assert [name for what, name in engine.calls if what == "stop"] == [
        "plancton-worker-b", "plancton-worker-c",
    ]  # fmt: skip
    assert capsys.readouterr().out == (
        "plancton-worker-a: cannot be asked to end: no such process\n"
    )
