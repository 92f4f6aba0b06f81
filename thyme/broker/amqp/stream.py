"""Reads the stream: one consumer that runs ahead of its reader, bounded in messages and bytes.

AMQP has no word for the end of a stream. A reader that goes on where it was gets what has come;
at a new place it waits for the first record, and takes silence for the end after a while. Then
nothing is lost: the record wakes the reader when it comes.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from thyme.broker.base import Record
from thyme.errors import BrokerUnreachable

from .channel import Channel
from .connection import Line
from .dead_letters import reason_of
from .errors import unreachable
from .frames import Content, spec
from .topology import STREAM

#: Records that the broker may send ahead of us.
_AHEAD: Final = 2000
#: Bytes of records that we keep; one more record may be on top of them.
_KEPT: Final = 64 * 1024 * 1024
#: Seconds of silence at a new place that mean that there is nothing.
_SILENCE: Final = 1.0
#: Seconds of silence after the first record that mean that there are no more now.
_PAUSE: Final = 0.05


class StreamReader:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._channel: Channel | None = None
        self._cancelled = False
        self._records: deque[tuple[Record, int]] = deque()
        self._bytes = 0
        #: offset after which ``_records`` begin
        self._position = -2
        self._ahead = _AHEAD
        self._too_much = False
        self._unacknowledged = 0

    def read(self, after: int, limit: int) -> list[Record]:
        """See ``Transport.read``; raises ChannelClosed, BrokerError."""
        if self._channel is None or after != self._position:
            self._seek(after, _AHEAD)
            self._settle(limit)
        elif not self._records:
            if self._too_much:
                self._seek(after, self._ahead)
                self._settle(1)
            else:
                self._line.pump(0)
        self._check()
        found: list[Record] = []
        tag = 0
        while self._records and len(found) < limit:
            record, tag = self._records.popleft()
            self._bytes -= len(record.body)
            found.append(record)
        if found:
            self._position = found[-1].offset
            self._acknowledge(tag, len(found))
        return found

    def _seek(self, after: int, ahead: int) -> None:
        if self._channel is not None:
            self._channel.close()
        self._records.clear()
        self._bytes, self._unacknowledged = 0, 0
        self._cancelled = self._too_much = False
        self._ahead, self._position = ahead, after
        self._channel = channel = self._line.channel()
        channel.contents, channel.methods = self._record, self._method
        channel.listening = True
        channel.ask(spec.Basic.Qos(prefetch_count=ahead))
        start: int | str = after + 1 if after >= 0 else "first"
        channel.ask(spec.Basic.Consume(queue=STREAM, arguments={"x-stream-offset": start}))

    def _settle(self, enough: int) -> None:
        """Wait for the first record, and for those that follow it at once."""
        deadline = time.monotonic() + _SILENCE
        had = 0
        while len(self._records) < enough and not self._too_much:
            self._check()
            self._line.pump(max(0.0, deadline - time.monotonic()))
            if len(self._records) > had:
                had = len(self._records)
                deadline = time.monotonic() + _PAUSE
            elif time.monotonic() >= deadline:
                return

    def _check(self) -> None:
        if self._channel is not None and self._channel.ended is not None:
            raise self._channel.ended
        if self._cancelled:
            raise self._line.fail(self._gone())

    def _gone(self) -> BrokerUnreachable:
        return unreachable(self._line.place, f"the stream {STREAM!r} was deleted, or its node left")

    def _method(self, method: Any) -> None:
        if isinstance(method, spec.Basic.Cancel):
            self._cancelled = self._line.news = True

    def _record(self, content: Content) -> None:
        if self._too_much:
            return  # read again, once there is room
        properties = content.properties
        headers = properties.headers or {}
        offset = int(headers["x-stream-offset"])
        if offset <= self._position:
            return
        body, key = content.body, str(content.method.routing_key)
        reason = reason_of(headers) if key.startswith("dead.") else ""
        record = Record(offset, float(properties.timestamp or 0), body, key, reason)
        self._records.append((record, content.method.delivery_tag))
        self._bytes += len(body)
        if self._bytes > _KEPT:
            self._too_much = True
            mean = self._bytes // len(self._records)
            self._ahead = max(1, min(_AHEAD, _KEPT // (2 * mean)))

    def _acknowledge(self, tag: int, count: int) -> None:
        """That lets the broker send on; not for each batch, as it costs."""
        self._unacknowledged += count
        if self._unacknowledged * 4 >= self._ahead and self._channel is not None:
            self._unacknowledged = 0
            self._channel.send(spec.Basic.Ack(delivery_tag=tag, multiple=True))
            self._line.pump(0)
