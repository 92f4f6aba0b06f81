"""The newest points as a page for Prometheus: the only importer of ``prometheus_client``.

A field is the gauge ``SERIES_FIELD`` with the series' tags as labels; a text is a
gauge of 1 with the text as one more label of the field's name. Series with one
point for each event have no newest value and are left out.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .points import Point, Series


class BadAddress(ValueError):
    """One sentence for the admin."""


def parse(address: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``:PORT`` (every address).  Raises BadAddress."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadAddress(f"write ADDRESS:PORT, e.g. 127.0.0.1:9095, not {address!r}")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104


class Newest(Collector):
    """Keeps the last point of each series and tags; safe in several threads.

    What was not told again with the last ``update`` is gone: a node without evictions
    in this interval shows none.
    """

    def __init__(self, series: Iterable[Series], events: Collection[str] = ()) -> None:
        """``events``: names of series with one point for each event."""
        self._series = {one.name: one for one in series if one.name not in events}
        self._lock = threading.Lock()
        self._points: list[Point] = []

    def update(self, points: Iterable[Point]) -> None:
        with self._lock:
            self._points = [point for point in points if point.series in self._series]

    def collect(self) -> Iterator[Any]:
        with self._lock:
            points = list(self._points)
        families: dict[str, Any] = {}
        for point in points:
            for field in self._series[point.series].fields:
                if (value := point.fields.get(field.name)) is None:
                    continue
                name = f"{point.series}_{field.name}"
                labels = sorted(point.tags)
                shown = [point.tags[label] for label in labels]
                if isinstance(value, str):
                    labels, shown, value = [*labels, field.name], [*shown, value], 1.0
                text = f"{field.text} [{field.unit}]" if field.unit else field.text
                family = families.setdefault(name, GaugeMetricFamily(name, text, labels=labels))
                family.add_metric(shown, float(value))
        yield from families.values()


class Page:
    """``/metrics`` at an address, in a thread of its own."""

    def __init__(self, newest: Newest, address: str) -> None:
        """Raises BadAddress, also for one that cannot be used here."""
        host, port = parse(address)
        registry = CollectorRegistry()
        registry.register(newest)
        try:
            started = start_http_server(port, host, registry)
        except OSError as error:
            raise BadAddress(f"cannot listen at {address}: {error.strerror}") from None
        self._server: WSGIServer = started[0]
        self._thread: threading.Thread = started[1]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
