"""Reads the stream: one consumer that runs ahead of its reader, bounded in messages and bytes.

AMQP does not tell the end of a stream. A reader that goes on where it was gets what has come;
at a new offset it waits for the first record, and takes silence for the end after a while. Then
nothing is lost: the record wakes the reader when it comes.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from thyme.broker.base import Record

from .connection import BasicProperties, Channel, Connection
from .dead_letters import get_reason, get_time
from .errors import make_unreachable
from .topology import STREAM

#: Records that the broker may send before they are acknowledged.
_PREFETCH: Final = 2000
#: Bytes of records that are kept for the reader; one more record may be on top of them.
_MOST_BYTES: Final = 64 * 1024 * 1024
#: Seconds of silence at a new offset that mean that there is nothing.
_FIRST_RECORD_SECONDS: Final = 1.0
#: Seconds of silence after the first record that mean that there are no more now.
_NEXT_RECORD_SECONDS: Final = 0.05


class StreamReader:
    """The stream, read by one consumer. Raises ChannelClosedByBroker, BrokerError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Channel | None = None
        #: records with their delivery tags
        self._records: deque[tuple[Record, int]] = deque()
        self._bytes = 0
        #: offset after which ``_records`` begin
        self._position = -2
        self._prefetch = _PREFETCH
        #: whether records were dropped because there were too many bytes: they are read again
        self._overflowed = False
        self._unacknowledged = 0

    def read(self, after: int, limit: int) -> list[Record]:
        """See ``Transport.read``."""
        if self._channel is None or after != self._position:
            self._consume_from(after, _PREFETCH)
            self._wait_for_records(limit)
        elif not self._records:
            if self._overflowed:
                self._consume_from(after, self._prefetch)
                self._wait_for_records(1)
            else:
                self._connection.pump(0)
        self.check()
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

    def find_first_offset(self) -> int:
        """See ``Transport.get_first_offset``. The reader stays where it is."""
        found: list[int] = []

        def note(_channel: Channel, _method: object, record: BasicProperties, _: bytes) -> None:
            found.append(int(record.headers["x-stream-offset"]))

        channel = self._connection.open_channel()
        self._connection.call(channel.basic_qos, prefetch_count=1)
        arguments = {"x-stream-offset": "first"}
        self._connection.call(channel.basic_consume, STREAM, note, arguments=arguments)
        deadline = time.monotonic() + _FIRST_RECORD_SECONDS
        while not found and (left := deadline - time.monotonic()) > 0:
            self._connection.check(channel)
            self._connection.pump(left)
        self._connection.close_channel(channel)
        return found[0] if found else -1

    def check(self) -> None:
        """Raise ChannelClosedByBroker or BrokerError where no record can come any more."""
        if self._channel is not None:
            self._connection.check(self._channel)

    def _consume_from(self, after: int, prefetch: int) -> None:
        if self._channel is not None:
            self._connection.close_channel(self._channel)
        self._records.clear()
        self._bytes, self._unacknowledged = 0, 0
        self._overflowed = False
        self._prefetch, self._position = prefetch, after
        self._channel = channel = self._connection.open_channel()
        channel.add_on_cancel_callback(self._on_cancel)
        self._connection.call(channel.basic_qos, prefetch_count=prefetch)
        start: int | str = after + 1 if after >= 0 else "first"
        self._connection.call(
            channel.basic_consume, STREAM, self._on_message, arguments={"x-stream-offset": start}
        )

    def _wait_for_records(self, enough: int) -> None:
        """Wait for the first record, and for those that follow it at once."""
        deadline = time.monotonic() + _FIRST_RECORD_SECONDS
        had = 0
        while len(self._records) < enough and not self._overflowed:
            self.check()
            self._connection.pump(max(0.0, deadline - time.monotonic()))
            if len(self._records) > had:
                had = len(self._records)
                deadline = time.monotonic() + _NEXT_RECORD_SECONDS
            elif time.monotonic() >= deadline:
                return

    def _on_cancel(self, _frame: object) -> None:
        text = f"the stream {STREAM!r} was deleted, or its node left"
        self._connection.fail(make_unreachable(self._connection.address, text))

    def _on_message(
        self, channel: Channel, method: Any, properties: BasicProperties, body: bytes
    ) -> None:
        if self._overflowed or channel is not self._channel:
            return
        headers = properties.headers or {}
        offset = int(headers["x-stream-offset"])
        if offset <= self._position:
            return  # the broker sends whole chunks
        key = str(method.routing_key)
        reason = get_reason(headers) if key.startswith("dead.") else ""
        when, user = get_time(properties), self._connection.name_sender(properties)
        record = Record(offset, when, body, key, reason, user)
        self._records.append((record, method.delivery_tag))
        self._connection.news = True
        self._bytes += len(body)
        if self._bytes > _MOST_BYTES:
            self._overflowed = True
            mean = self._bytes // len(self._records)
            self._prefetch = max(1, min(_PREFETCH, _MOST_BYTES // (2 * mean)))

    def _acknowledge(self, tag: int, count: int) -> None:
        """Acknowledge records so that the broker sends more.

        A quarter of the prefetch at once, as each acknowledgement costs.
        """
        self._unacknowledged += count
        if self._unacknowledged * 4 >= self._prefetch and self._channel is not None:
            self._unacknowledged = 0
            self._connection.send(self._channel.basic_ack, tag, multiple=True)
            self._connection.flush()
