"""The newest points as a page for Prometheus: the only importer of ``prometheus_client``.

What a point counts since the one before is added up to a counter here, so that a page that is
read at any interval, or seldom, tells the same. Counters whose labels are known beforehand begin
with 0: Prometheus takes no increase from the first value that it sees. A text is a gauge of 1
with the text as one more label of the field's name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from .points import Field, Point, Series, metric_name
from .targets import BadTarget, parse_address

#: Readers of the page at once; whoever comes then is cut off.
MAX_READERS = 16
#: Seconds without a byte of a reader's after which it is cut off.
READER_SECONDS = 10.0

_Labels = tuple[tuple[str, str], ...]


class Newest(Collector):
    """A collector of the last points, and of the totals of what they count; for several threads.

    A gauge that was not told again with the last ``update`` is gone.
    """

    def __init__(
        self,
        namespace: str,
        series: Iterable[Series],
        known: Mapping[str, str],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin counters with 0 where their labels are known.

        namespace  what the name of the time of the last points begins with
        series     what is shown
        known      values of tags that are known beforehand
        wall       seconds since 1970
        """
        self._series = {one.name: one for one in series}
        self._wall = wall
        self._lock = threading.Lock()
        self._points: list[Point] = []
        self._updated = 0.0
        self._name = f"{namespace}_last_update_timestamp_seconds"
        #: by series and field, and by labels
        self._totals: dict[tuple[str, str], dict[_Labels, float]] = {}
        for one in self._series.values():
            tags = one.tags[:-1] if one.values else one.tags
            if set(tags) <= set(known):
                labels = {tag: known[tag] for tag in tags}
                last = [{one.tags[-1]: value} for value in one.values] or [{}]
                for more in last:
                    self._count(Point(one.name, {**labels, **more}, {}, 0.0))

    def update(self, points: Iterable[Point]) -> None:
        """Take in the points of one moment."""
        with self._lock:
            self._points = [point for point in points if point.series in self._series]
            self._updated = self._wall()
            for point in self._points:
                self._count(point)

    def _count(self, point: Point) -> None:
        labels = tuple(sorted(point.tags.items()))
        for field in self._series[point.series].fields:
            if field.kind == "gauge":
                continue
            totals = self._totals.setdefault((point.series, field.name), {})
            value = float(point.fields.get(field.name, 0.0))
            before = totals.get(labels, 0.0)
            if field.kind == "since":
                totals[labels] = before + value
            elif field.name in point.fields or labels not in totals:
                totals[labels] = value

    def collect(self) -> Iterator[Any]:
        """Yield the metrics for the Prometheus client library."""
        with self._lock:
            points = list(self._points)
            totals = {key: dict(of_labels) for key, of_labels in self._totals.items()}
            updated = self._updated
        families: dict[str, Any] = {}
        for point in points:
            for field in self._series[point.series].fields:
                if field.kind == "gauge" and field.name in point.fields:
                    _add_gauge(families, self._series[point.series], field, point)
        yield from families.values()
        for (name, field_name), of_labels in totals.items():
            series = self._series[name]
            (field,) = [one for one in series.fields if one.name == field_name]
            labels = sorted(series.tags)
            counter = CounterMetricFamily(metric_name(series, field), field.text, labels=labels)
            for values, total in of_labels.items():
                counter.add_metric([value for _, value in values], total)
            yield counter
        if updated:
            text = "Time of the last figures on this page, since 1970."
            yield GaugeMetricFamily(self._name, text, value=updated)


def _add_gauge(families: dict[str, Any], series: Series, field: Field, point: Point) -> None:
    value = point.fields[field.name]
    labels = sorted(point.tags)
    shown = [point.tags[label] for label in labels]
    if isinstance(value, str):
        labels, shown, value = [*labels, field.name], [*shown, value], 1.0
    number = float(value) / 100.0 if field.unit == "%" else float(value)
    name = metric_name(series, field)
    family = families.setdefault(name, GaugeMetricFamily(name, field.text, labels=labels))
    family.add_metric(shown, number)


class Page:
    """A server of ``/metrics`` at an address, in a thread of its own."""

    def __init__(self, newest: Newest, address: str) -> None:
        """Start it.  Raises BadTarget, also for one that cannot be used here."""
        host, port = parse_address(address)
        registry = CollectorRegistry()
        registry.register(newest)
        try:
            started = start_http_server(port, host, registry)
        except OSError as error:
            raise BadTarget(f"cannot listen at {address}: {error.strerror}") from None
        self._server: WSGIServer = started[0]
        self._thread: threading.Thread = started[1]
        _bound_readers(self._server)

    def close(self) -> None:
        """Stop answering, and wait until the thread has ended."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _bound_readers(server: Any) -> None:
    """Let readers who say nothing hold neither threads nor files of ours without end.

    The library gives each a thread of its own, for as long as he likes.
    """
    free = threading.BoundedSemaphore(MAX_READERS)
    begin, answer = server.process_request, server.process_request_thread

    def begin_if_free(request: Any, address: object) -> None:
        if not free.acquire(blocking=False):
            server.shutdown_request(request)
            return
        request.settimeout(READER_SECONDS)
        begin(request, address)

    def answer_and_free(request: Any, address: object) -> None:
        try:
            answer(request, address)
        finally:
            free.release()

    server.process_request, server.process_request_thread = begin_if_free, answer_and_free
    # whoever goes away: it would print a traceback for each
    server.handle_error = lambda _request, _address: None
