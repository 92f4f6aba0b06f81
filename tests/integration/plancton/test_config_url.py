"""A configuration from a real web server over time: it changes, is bad, is away, is kept."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plancton import preflight
from plancton.config import remote
from plancton.config.http import FetchedText
from plancton.config.model import Config
from plancton.config.reload import ConfigWatch
from plancton.config.remote import ConfigUrl, RemoteConfig
from plancton.errors import ConfigError
from tests.support.config_server import ConfigServer
from tests.support.fake_node import FACTS, FakeClock
from tests.support.waiting import wait_until


class Source:
    """A watch over a web server; ``news`` is what wakes the loop."""

    def __init__(self, web: ConfigServer, kept: Path) -> None:
        self.web, self.clock = web, FakeClock()
        self.mark_changed = threading.Event()
        self.url = RemoteConfig(
            ConfigUrl(web.url, every=600.0),
            lambda text: preflight.parse_config(text, web.url, FACTS),
            kept,
            self.on_news,
        )
        self.watches: list[ConfigWatch] = []
        self.watch = ConfigWatch(
            self.url.read_newest,
            self.clock.now,
            self.clock.wall,
            first=self.url.fetch_first,
            ask=self.url.ask_now,
            is_asking=self.url.is_asking,
        )
        self.watches.append(self.watch)
        self.mark_changed.clear()

    def on_news(self) -> None:
        for watch in self.watches:
            watch.mark_changed()
        self.mark_changed.set()

    def ask(self) -> None:
        """As SIGHUP does, and the look after the news."""
        self.watch.refresh(force=True)
        assert self.watch.asking
        wait_until(lambda: not self.url.is_asking(), "an answer", state=lambda: self.web.asked)
        assert self.mark_changed.wait(60)
        self.mark_changed.clear()
        self.watch.refresh()

    def serve(self, text: str) -> None:
        """Have the server hold another text, and look after the news."""
        self.web.text, self.web.etag = text, f'"{len(self.web.asked) + 1}"'
        self.ask()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return the file of what was kept; its directory is not there yet."""
    return tmp_path / "state" / "kept.json"


@pytest.fixture
def sources(kept: Path) -> Iterator[Callable[[ConfigServer], Source]]:
    made: list[Source] = []

    def make(web: ConfigServer) -> Source:
        made.append(Source(web, kept))
        return made[-1]

    yield make
    for source in made:
        source.url.close()
        source.url._thread.join(60)
        assert not source.url._thread.is_alive()


Sources = Callable[[ConfigServer], Source]


def test_a_new_configuration_is_taken_over(web: ConfigServer, sources: Sources) -> None:
    source = sources(web)
    assert source.watch.config.max_docks == 3
    source.serve("engine: process\nmax_docks: 5\n")
    assert (source.watch.config.max_docks, source.watch.problem) == (5, "")


def test_a_bad_configuration_keeps_the_last_good_one_and_says_so(
    web: ConfigServer, sources: Sources
) -> None:
    source = sources(web)
    source.serve("max_dokcs: 5\n")
    assert source.watch.config.max_docks == 3
    assert source.watch.problem == (
        f"{web.url}:1: unknown key 'max_dokcs'; did you mean 'max_docks'?"
    )
    # The server says "unchanged": it still is a bad one.
    source.watch.refresh(force=True)
    wait_until(lambda: len(web.asked) == 3, "the next question", state=lambda: web.asked)
    source.watch.refresh(force=True)
    assert "max_dokcs" in source.watch.problem
    source.serve("max_docks: 7\n")
    assert (source.watch.config.max_docks, source.watch.problem) == (7, "")


def test_a_fault_in_reading_a_page_does_not_end_the_reading(
    web: ConfigServer, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sources(web)
    with monkeypatch.context() as broken:
        broken.setattr(preflight, "parse_config", lambda *_: 1 // 0)
        source.serve("max_docks: 5\n")
    assert source.watch.problem == (
        f"{web.url}: cannot be read: ZeroDivisionError: integer division or modulo by zero"
    )

    source.serve("engine: process\nmax_docks: 7\n")

    assert (source.watch.config.max_docks, source.watch.problem) == (7, "")


def test_a_server_that_goes_away_changes_nothing_and_is_reported(
    web: ConfigServer, sources: Sources
) -> None:
    source = sources(web)
    web.answer = lambda request: request.send_error(503)
    source.ask()
    assert source.watch.config.max_docks == 3
    assert source.watch.problem.startswith(f"{web.url}: cannot be fetched: the server answers 503")
    web.answer = web.as_usual
    source.ask()
    assert source.watch.problem == ""


def test_a_daemon_that_starts_while_the_server_is_away_uses_the_one_it_kept(
    web: ConfigServer, sources: Sources, kept: Path
) -> None:
    sources(web)
    assert kept.stat().st_mode & 0o777 == 0o600, "it may hold passwords"
    web.answer = lambda request: request.send_error(503)
    again = sources(web)
    again.watch.refresh()
    assert again.watch.config.max_docks == 3
    assert "cannot be fetched: the server answers 503" in again.watch.problem


def test_a_daemon_that_starts_with_a_bad_one_on_the_server_uses_the_one_it_kept(
    web: ConfigServer, sources: Sources
) -> None:
    sources(web)
    web.text, web.etag = "max_dokcs: 5\n", '"2"'
    again = sources(web)
    again.watch.refresh()
    assert again.watch.config.max_docks == 3
    assert "did you mean 'max_docks'?" in again.watch.problem


def test_what_was_kept_of_another_url_is_not_used(
    web: ConfigServer, sources: Sources, kept: Path
) -> None:
    kept.parent.mkdir()
    kept.write_text(json.dumps({"url": "http://other/", "etag": "", "text": "max_docks: 9"}))
    web.answer = lambda request: request.send_error(503)
    with pytest.raises(ConfigError, match="cannot be fetched: the server answers 503"):
        sources(web)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"url": 1}', "null", "[" * 100_000])
def test_a_damaged_file_of_what_was_kept_is_reported_and_not_used(
    web: ConfigServer,
    sources: Sources,
    kept: Path,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept.parent.mkdir()
    kept.write_text(damage)
    with caplog.at_level(logging.ERROR, "plancton"):
        source = sources(web)
    assert source.watch.config.max_docks == 3
    assert damage == '{"url": 1}' or "cannot be used" in caplog.text


def test_a_disk_that_is_full_does_not_keep_the_configuration_from_being_used(
    web: ConfigServer, tmp_path: Path, sources: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file, where a directory should be")
    with caplog.at_level(logging.ERROR, "plancton"):
        assert sources(web).watch.config.max_docks == 3
    assert "cannot be written" in caplog.text


def test_the_loop_never_waits_for_the_server(
    web: ConfigServer, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sources(web)
    hold, asked = threading.Event(), threading.Event()

    def hang(*_args: object, **_options: object) -> FetchedText | None:
        asked.set()
        hold.wait(60)
        return None

    source.url._ask = hang
    source.watch.refresh(force=True)
    assert asked.wait(60)
    source.watch.refresh(force=True)
    assert isinstance(source.url.read_newest(), Config), "answers at once with what it has"
    monkeypatch.setattr(remote, "STUCK", -1.0)
    with pytest.raises(ConfigError, match="cannot be fetched: the answer does not end"):
        source.url.read_newest()
    hold.set()
