"""Pilots are told of changes beside the loop, the last change last."""

import io
import logging
import tarfile
import threading

import pytest

from plancton.engine.docker.feature_updates import FeatureUpdates
from plancton.errors import EngineTimeout, EngineUnavailable
from tests.support.few_threads import refuse_threads
from tests.support.waiting import wait_until


def test_an_engine_that_is_kept_busy_by_one_pilot_keeps_neither_the_loop_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "plancton")
    is_busy, may_go_on = threading.Event(), threading.Event()
    put: list[tuple[str, list[str]]] = []

    def put_files(container: str, archive: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            files = [entry.name for entry in tar.getmembers() if entry.isfile()]
        if container == "bad" and not may_go_on.is_set():
            is_busy.set()
            assert may_go_on.wait(60)
            raise EngineTimeout("no answer in time")
        put.append((container, files))

    updates = FeatureUpdates(put_files)
    updates.add("bad", "pilot-1", {"a": "1"})
    assert is_busy.wait(60)
    for name in ("a", "b"):
        updates.add("bad", "pilot-1", {name: "2"})
    updates.add("good", "pilot-2", {"a": "1"})
    wait_until(lambda: put == [("good", ["plancton-pilot/a"])], "the other pilot")
    may_go_on.set()
    wait_until(lambda: len(put) > 1, "what came later, at once")
    assert put[1:] == [("bad", ["plancton-pilot/a", "plancton-pilot/b"])]
    assert caplog.messages == ["pilot-1 is not told of a change: no answer in time"]


def test_what_could_not_be_told_for_lack_of_a_thread_does_not_count_as_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put: list[str] = []
    updates = FeatureUpdates(lambda container, _archive: put.append(container))
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        with pytest.raises(EngineUnavailable):
            updates.add("c1", "pilot-1", {"a": "1"})
    updates.add("c1", "pilot-1", {"a": "1"})
    wait_until(lambda: put == ["c1"], "the second try")
