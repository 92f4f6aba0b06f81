"""A configuration that changes while the daemon runs."""

import pytest

from plancton.config.reload import ConfigWatch
from plancton.preflight import parse_config
from tests.support.fake_node import FACTS, FakeClock


def test_a_bad_new_configuration_keeps_the_last_good_one_and_says_so() -> None:
    clock, text = FakeClock(), "max_docks: 1"
    watch = ConfigWatch(lambda: parse_config(text, "c.yaml", FACTS), clock.now, clock.wall)
    text = "max_dokcs: 2"
    watch.refresh()
    assert watch.problem == "", "read again before updateconfig was over"
    clock.advance(60)
    watch.refresh()
    assert watch.config.max_docks == 1
    assert watch.problem == "c.yaml:1: unknown key 'max_dokcs'; did you mean 'max_docks'?"
    text = "max_docks: 2"
    watch.refresh(force=True)
    assert (watch.config.max_docks, watch.problem) == (2, "")


def test_a_remote_source_is_asked_on_request_and_read_when_it_has_changed() -> None:
    clock, text, asked = FakeClock(), "max_docks: 1", []
    watch = ConfigWatch(
        lambda: parse_config(text, "c.yaml", FACTS),
        clock.now,
        clock.wall,
        first=lambda: parse_config("max_docks: 9", "kept.json", FACTS),
        ask=lambda: asked.append("now"),
    )
    assert watch.config.max_docks == 9
    watch.refresh()
    assert watch.config.max_docks == 1, "what came first may have been an old one"
    text = "max_docks: 2"
    watch.refresh()
    assert (watch.config.max_docks, asked) == (1, [])
    watch.mark_changed()
    watch.refresh()
    assert watch.config.max_docks == 2
    watch.refresh(force=True)
    assert asked == ["now"]


def test_a_new_configuration_says_in_the_log_what_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, text = FakeClock(), "max_docks: 1\nmain_sleep: 30"
    watch = ConfigWatch(lambda: parse_config(text, "c.yaml", FACTS), clock.now, clock.wall)
    text = "max_docks: 2\nmain_sleep: 5"
    with caplog.at_level("INFO", "plancton"):
        watch.refresh(force=True)
        watch.refresh(force=True)
    assert caplog.messages == ["new configuration: main_sleep, max_docks changed"]
