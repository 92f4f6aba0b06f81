"""The list of pilots while containers come and go between two questions to the engine."""

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plancton.config.model import Config
from plancton.engine.docker.container_body import EngineFacts
from plancton.engine.docker.engine import DockerEngine
from plancton.engine.docker.image_schedule import LocalImage
from plancton.engine.docker.starts import Starts
from plancton.engine.pilot_outputs import PilotOutputs
from plancton.engine.pilot_spec import make_spec
from plancton.errors import Conflict, EngineError, EngineRefused, EngineUnavailable, NotThere
from plancton.model import PilotState
from tests.support.container_listing import NAME, list_container
from tests.support.fake_node import FACTS
from tests.support.few_threads import NO_THREAD, refuse_threads
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("listed", "state"),
    [(state, state) for state in ("created", "exited", "dead", "removing")]
    + [("running", "exited"), ("running", "dead")],
)
@pytest.mark.parametrize("gone", [False, True])
def test_a_pilot_whose_first_container_did_not_start_is_still_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str, state: str, gone: bool
) -> None:
    """The engine shows it until it is removed; its start may be repeated in another way.

    One that ended at once may be listed as running a little longer: it was shown as ended, and as
    starting again by the next look.
    """
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)
    go = threading.Event()

    def inspect(container: str) -> dict[str, Any]:
        if gone:
            raise NotThere(container)
        times = {"StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "2026-11-22T15:32:52Z"}
        return {"State": {"Status": state, "Pid": 0, "ExitCode": 128, **times}}

    monkeypatch.setattr(engine._api, "list_containers", lambda **_filters: [list_container(listed)])
    monkeypatch.setattr(engine._inspections, "_inspect", inspect)
    engine._starts = Starts(lambda _spec: go.wait(60) and None, lambda _name, _grace: None, 1)
    engine.start(make_spec(Config(docker_cmd=("sleep",)), FACTS, NAME))
    try:
        (pilot,) = engine.list_pilots()
        assert (pilot.name, pilot.state) == (NAME, PilotState.STARTING)
    finally:
        go.set()
        engine._starts.close()


@pytest.mark.parametrize(
    ("state", "shown"), [("running", PilotState.RUNNING), ("dead", PilotState.EXITED)]
)
def test_a_container_that_the_engine_cannot_inspect_is_as_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, shown: PilotState
) -> None:
    """As when its files are damaged; all others go on."""
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)

    def refuse(container: str) -> dict[str, Any]:
        raise EngineRefused(f"open /var/lib/docker/overlay2/{container}: no such file or directory")

    monkeypatch.setattr(engine._api, "list_containers", lambda **_filters: [list_container(state)])
    monkeypatch.setattr(engine._inspections, "_inspect", refuse)

    (pilot,) = engine.list_pilots()

    assert (pilot.state, pilot.exit_code) == (shown, None)
    assert not pilot.never_ran, "its end says nothing about the node"


@pytest.mark.parametrize("names", [("debug", "bob"), ("bob", "debug")])
def test_of_containers_with_the_labels_of_one_pilot_the_one_with_its_host_name_is_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Somebody renamed it to bob, and runs what ``docker commit`` made of it."""
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)
    listed = [{**list_container("running", (f"/{name}",)), "Id": name} for name in names]
    hosts = {"bob": make_spec(Config(), FACTS, NAME).hostname, "debug": "1a2b3c4d5e6f"}
    monkeypatch.setattr(engine._api, "list_containers", lambda **_filters: listed)
    monkeypatch.setattr(
        engine._api, "inspect_container", lambda one: {"Config": {"Hostname": hosts[one]}}
    )
    assert [(row.id, row.name) for row in engine._list_labelled()] == [("bob", NAME)]
    found = engine._find(NAME)
    assert found is not None and found.id == "bob"


def test_a_renamed_container_that_the_engine_cannot_inspect_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)
    renamed = {**list_container("running", ("/bob",)), "Id": "bob"}
    listed = [renamed, list_container("running")]

    def refuse(container: str) -> dict[str, Any]:
        raise EngineRefused(f"open /var/lib/docker/overlay2/{container}: no such file or directory")

    monkeypatch.setattr(engine._api, "list_containers", lambda **_filters: listed)
    monkeypatch.setattr(engine._api, "inspect_container", refuse)
    assert [row.name for row in engine._list_labelled()] == [NAME]


def test_a_node_that_gives_no_thread_is_tried_again_in_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of what could not be begun counts as begun; the pilots that run are listed."""
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)
    ended = {**list_container("exited"), "Id": "ended"}
    removed: list[str] = []
    started = threading.Event()

    def inspect(container: str) -> dict[str, Any]:
        times = {"StartedAt": "2026-11-22T15:32:52Z", "FinishedAt": "2026-11-22T15:42:52Z"}
        return {"State": {"Status": "exited", "Pid": 0, "ExitCode": 0, **times}}

    monkeypatch.setattr(engine._api, "list_containers", lambda **_filters: [ended])
    monkeypatch.setattr(engine._inspections, "_inspect", inspect)
    monkeypatch.setattr(
        engine._api, "inspect_image", lambda _name: {"Id": "sha256:1", "RepoDigests": []}
    )
    engine._removals._remove = removed.append
    engine._starts = Starts(lambda _spec: started.set(), lambda _name, _grace: None, 1)
    spec = make_spec(Config(docker_cmd=("sleep",)), FACTS, f"{NAME}2")
    config = Config(docker_cmd=("sleep",), docker_image="site/worker:1")
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        assert [pilot.name for pilot in engine.list_pilots()] == [NAME]
        with pytest.raises(EngineUnavailable, match=re.escape(NO_THREAD)):
            engine.start(spec)
        with pytest.raises(EngineError, match=re.escape(NO_THREAD)):
            engine.remove(NAME)
        status = engine._images.update(config.docker_image, 0.1, "")
        assert [pilot.name for pilot in engine.list_pilots()] == [NAME]
    assert status.problem == NO_THREAD and not status.pulling
    engine.start(spec)
    assert started.wait(60)
    engine.remove(NAME)
    wait_until(lambda: removed == ["ended"], "the removal")
    engine._starts.close()
    engine._removals.close()


def test_a_restarted_engine_is_asked_for_its_settings_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``daemon.json`` may name another cgroup driver, with which groups have other names."""
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)
    drivers = ["cgroupfs", "systemd"]
    monkeypatch.setattr(
        engine._api, "read_facts", lambda: EngineFacts(cgroup_driver=drivers.pop(0))
    )
    assert engine._find_parent() == "/plancton"
    group = engine._find_group()
    engine._note_lost_events(False)
    assert engine._find_group() is group
    engine._note_lost_events(True)
    assert engine._find_parent() == "plancton.slice"
    assert engine._find_group() is not group


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


@pytest.mark.parametrize(
    ("start", "removal"),
    [
        (NotThere("No such container: c1"), NotThere("No such container: c1")),
        (
            Conflict("container is marked for removal and cannot be started"),
            Conflict("removal of container c1 is already in progress"),
        ),
    ],
)
def test_a_pilot_whose_container_somebody_removes_before_it_runs_did_not_fail(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    start: EngineRefused,
    removal: EngineRefused,
) -> None:
    """``docker container prune`` takes what is made and not started yet, too."""
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path)

    def fail(error: EngineRefused) -> Callable[[str], None]:
        def raise_it(_container: str) -> None:
            raise error

        return raise_it

    monkeypatch.setattr(engine._images, "get_usable", lambda: LocalImage("worker", "i1", ""))
    monkeypatch.setattr(engine._api, "read_facts", EngineFacts)
    monkeypatch.setattr(engine._api, "create", lambda _name, _body: "c1")
    monkeypatch.setattr(engine._api, "start", fail(start))
    monkeypatch.setattr(engine._api, "remove", fail(removal))

    engine.start(make_spec(Config(docker_cmd=("sleep",)), FACTS, NAME))
    engine._starts.wait_while_busy(60)

    assert engine._starts.snapshot() == ({}, [])
    assert caplog.messages[-1] == f"{NAME}: somebody removed its container before it ran"


def test_the_output_of_a_pilot_is_kept_before_it_is_removed_and_not_asked_for_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a container is removed Docker answers 409, and Podman 500."""
    outputs = PilotOutputs(tmp_path / "outputs")
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path, outputs)
    go, removed = threading.Event(), threading.Event()
    monkeypatch.setattr(
        engine._api, "list_containers", lambda **_filters: [list_container("exited")]
    )
    monkeypatch.setattr(engine._api, "read_output", lambda _container, _most: b"the end\n")
    monkeypatch.setattr(engine._api, "remove", lambda _one: (go.wait(60), removed.set()))

    assert engine.read_output(NAME) == b"the end\n"
    engine.remove(NAME)
    try:
        assert engine.read_output(NAME) is None
    finally:
        go.set()
    assert removed.wait(60)
    assert outputs.read(NAME) == b"the end\n"


def test_a_container_whose_output_cannot_be_read_is_removed_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plancton")
    outputs = PilotOutputs(tmp_path / "outputs")
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", "plancton", tmp_path, outputs)
    removed = threading.Event()

    def refuse(_container: str, _most: int) -> bytes:
        raise EngineRefused("the logging driver does not support reading")

    monkeypatch.setattr(
        engine._api, "list_containers", lambda **_filters: [list_container("exited")]
    )
    monkeypatch.setattr(engine._api, "read_output", refuse)
    monkeypatch.setattr(engine._api, "remove", lambda _one: removed.set())

    engine.remove(NAME)

    assert removed.wait(60)
    assert f"output of {NAME} is not kept: the logging driver does not" in caplog.text
    assert outputs.read(NAME) is None
