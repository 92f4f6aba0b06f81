"""The page for Prometheus: the newest points, real HTTP, real client."""

import logging
import socket
import sys
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from telemetry import prometheus
from telemetry.points import Field, Point, Series
from telemetry.prometheus import MAX_READERS, Newest, Page
from telemetry.reporter import Reporter
from telemetry.targets import BadTarget, parse_address
from tests.support.services.rabbitmq import free_port
from tests.support.waiting import wait_until

WEATHER = Series(
    "weather",
    ("place",),
    (
        Field("warmth", "float", "K", "Temperature of the air."),
        Field("rain", "boolean", "", "It rains."),
        Field("sky", "string", "", "Colour of the sky."),
        Field("wet", "float", "%", "Humidity."),
        Field("flashes", "integer", "", "Flashes.", "since"),
        Field("turned", "integer", "", "Turns of the vane.", "total"),
    ),
    "",
)
FLASH = Series(
    "flash",
    ("place", "kind"),
    (Field("count", "integer", "", "Flashes, by kind.", "since", "flashes_total"),),
    "",
    values=("ball", "line"),
)


def new(known: dict[str, str] | None = None) -> Newest:
    return Newest("weather", (WEATHER, FLASH), known or {}, lambda: 77.0)


def fetch(newest: Newest) -> dict[str, list[tuple[dict[str, str], float]]]:
    port = free_port()
    page = Page(newest, f"127.0.0.1:{port}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    finally:
        page.close()
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_the_newest_points_are_shown_as_gauges_with_base_units() -> None:
    newest = new()
    newest.update(
        [
            Point("weather", {"place": "a"}, {"warmth": 280.5, "rain": True, "sky": "grey"}, 1.0),
            Point("weather", {"place": "b"}, {"warmth": 290.0, "wet": 40.0}, 1.0),
        ]
    )
    told = fetch(newest)
    assert told["weather_warmth"] == [({"place": "a"}, 280.5), ({"place": "b"}, 290.0)]
    assert told["weather_rain"] == [({"place": "a"}, 1.0)]
    assert told["weather_sky_info"] == [({"place": "a", "sky": "grey"}, 1.0)]
    assert told["weather_wet_ratio"] == [({"place": "b"}, 0.4)]
    assert told["weather_last_update_timestamp_seconds"] == [({}, 77.0)]


def test_counts_are_added_up_whenever_the_page_is_read() -> None:
    newest = new({"place": "a"})
    told = fetch(newest)
    assert told["weather_flashes"] == [({"place": "a"}, 0.0)], "known from the start"
    assert told["flashes"] == [
        ({"kind": "ball", "place": "a"}, 0.0), ({"kind": "line", "place": "a"}, 0.0),
    ]  # fmt: skip
    for number in (3, 0, 4):
        newest.update([
            Point("weather", {"place": "a"}, {"flashes": number, "turned": 10 + number}, 1.0)
        ])  # fmt: skip
    newest.update([Point("flash", {"place": "a", "kind": "ball"}, {"count": 2}, 1.0)])
    for _ in range(3):
        told = fetch(newest)
        assert told["weather_flashes"] == [({"place": "a"}, 7.0)]
        assert told["weather_turned"] == [({"place": "a"}, 14.0)]
        assert told["flashes"][0] == ({"kind": "ball", "place": "a"}, 2.0)


def test_a_gauge_that_is_not_told_again_is_gone() -> None:
    newest = new()
    newest.update([Point("weather", {"place": "a"}, {"warmth": 280.5}, 1.0)])
    newest.update([Point("weather", {"place": "b"}, {"warmth": 281.5}, 2.0)])
    assert fetch(newest)["weather_warmth"] == [({"place": "b"}, 281.5)]


def test_addresses() -> None:
    assert parse_address("127.0.0.1:9095") == ("127.0.0.1", 9095)
    assert parse_address("[::1]:9095") == ("::1", 9095)
    assert parse_address(":9095") == ("0.0.0.0", 9095)  # noqa: S104


@pytest.mark.parametrize(
    "address", ["", "9095", "here", "here:", "here:x", "here:0", "here:70000", "here:" + "9" * 5000]
)
def test_a_wrong_address_is_told(address: str) -> None:
    with pytest.raises(BadTarget, match=r"write ADDRESS:PORT, e\.g\. 127\.0\.0\.1:9095, not"):
        parse_address(address)


def test_readers_who_say_nothing_take_few_threads_and_no_long_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prometheus, "READER_SECONDS", 0.2)
    port = free_port()
    page = Page(new(), f"127.0.0.1:{port}")
    before = threading.active_count()
    silent = []
    try:
        for _ in range(MAX_READERS + 4):
            silent.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            assert threading.active_count() <= before + MAX_READERS
        wait_until(lambda: threading.active_count() <= before, "the end of their threads")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            assert answer.status == 200
    finally:
        for each in silent:
            each.close()
        page.close()
    assert capsys.readouterr().err == ""


def test_an_address_in_use_is_told() -> None:
    port = free_port()
    page = Page(new(), f"127.0.0.1:{port}")
    try:
        with pytest.raises(BadTarget, match=f"cannot listen at 127.0.0.1:{port}: Address already"):
            Page(new(), f"127.0.0.1:{port}")
    finally:
        page.close()


def test_without_the_library_the_extra_that_brings_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "telemetry.prometheus", None)
    said = Reporter("plancton", [], logging.getLogger()).show("127.0.0.1:9095", {})
    assert said == (
        "the Python library 'prometheus_client' is not installed; "
        "install plancton-grid with the extra `prometheus`, which brings it"
    )
