"""The list of pilots while containers come and go between two questions to the engine."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.engine.docker.engine import DockerEngine
from plancton.engine.docker.starts import Starts
from plancton.engine.pilot_spec import make_spec
from plancton.errors import EngineRefused, NotThere
from plancton.model import PilotState
from tests.support.container_listing import NAME, list_container
from tests.support.fake_node import FACTS


def test_a_failed_start_whose_container_goes_between_two_questions_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)
    go = threading.Event()

    def inspect(container: str) -> None:
        raise NotThere(container)

    monkeypatch.setattr(engine._api, "list_containers", lambda _label: [list_container("removing")])
    monkeypatch.setattr(engine._inspections, "_inspect", inspect)
    engine._starts = Starts(lambda _spec: go.wait(60) and None, lambda _name, _grace: None, 1)
    engine.start(make_spec(Config(docker_cmd=("sleep",)), FACTS, NAME))
    try:
        (pilot,) = engine.list_pilots()
        assert (pilot.name, pilot.state) == (NAME, PilotState.STARTING)
    finally:
        go.set()
        engine._starts.close()


def test_a_container_that_takes_no_files_is_started_and_the_log_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)
    put: list[str] = []

    def refuse(container: str, archive: bytes) -> None:
        put.append(container)
        raise EngineRefused("no space left on device")

    monkeypatch.setattr(engine._api, "put_files", refuse)
    told = {"life": "1700007200\n"}
    engine._put_features("abc", make_spec(Config(), FACTS, NAME, told))
    assert put == ["abc"]
    assert f"{NAME} runs without Machine/Job Features" in caplog.text
    assert "cannot be put into its container: no space left on device" in caplog.text
