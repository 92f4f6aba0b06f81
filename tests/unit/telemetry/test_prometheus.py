"""The page for Prometheus: the newest points, real HTTP, real client."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from telemetry.points import Field, Point, Series
from telemetry.prometheus import BadAddress, Newest, Page, parse
from tests.support.services.rabbitmq import free_port

WEATHER = Series(
    "weather",
    ("place",),
    (
        Field("warmth", "float", "K", "How warm."),
        Field("rain", "boolean", "", "It rains."),
        Field("sky", "string", "", "Its colour."),
    ),
    "",
)
FLASH = Series("flash", ("place",), (Field("volts", "float", "V", ""),), "")


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


def test_the_newest_points_are_shown_as_gauges() -> None:
    newest = Newest((WEATHER, FLASH), events=("flash",))
    newest.update(
        [
            Point("weather", {"place": "a"}, {"warmth": 280.5, "rain": True, "sky": "grey"}, 1.0),
            Point("weather", {"place": "b"}, {"warmth": 290.0}, 1.0),
            Point("flash", {"place": "b"}, {"volts": 1e9}, 1.0),
        ]
    )
    assert fetch(newest) == {
        "weather_warmth": [({"place": "a"}, 280.5), ({"place": "b"}, 290.0)],
        "weather_rain": [({"place": "a"}, 1.0)],
        "weather_sky": [({"place": "a", "sky": "grey"}, 1.0)],
    }


def test_what_is_not_told_again_is_gone() -> None:
    newest = Newest((WEATHER,))
    newest.update([Point("weather", {"place": "a"}, {"warmth": 280.5}, 1.0)])
    newest.update([Point("weather", {"place": "b"}, {"warmth": 281.5}, 2.0)])
    assert fetch(newest) == {"weather_warmth": [({"place": "b"}, 281.5)]}


def test_addresses() -> None:
    assert parse("127.0.0.1:9095") == ("127.0.0.1", 9095)
    assert parse("[::1]:9095") == ("::1", 9095)
    assert parse(":9095") == ("0.0.0.0", 9095)  # noqa: S104


@pytest.mark.parametrize("address", ["", "9095", "here", "here:", "here:x", "here:0", "here:70000"])
def test_a_wrong_address_is_told(address: str) -> None:
    with pytest.raises(BadAddress, match=r"write ADDRESS:PORT, e\.g\. 127\.0\.0\.1:9095, not"):
        parse(address)


def test_an_address_in_use_is_told() -> None:
    port = free_port()
    page = Page(Newest(()), f"127.0.0.1:{port}")
    try:
        with pytest.raises(BadAddress, match=f"cannot listen at 127.0.0.1:{port}: Address already"):
            Page(Newest(()), f"127.0.0.1:{port}")
    finally:
        page.close()
