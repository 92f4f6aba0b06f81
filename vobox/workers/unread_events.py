"""What the schedd has said in the stream and not read back yet.

Half of a job's records are our own: its start and its delivery. They come back
by the stream like everybody's, and are then known by their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from thyme.broker import Transport
from thyme.protocol import codec
from thyme.protocol.events import JobMessage

#: Records that are remembered; more than are ever on their way at once.
_KEPT: Final = 10_000


class Spoken:
    def __init__(self) -> None:
        self._events: dict[bytes, JobMessage] = {}

    def record(self, transport: Transport, events: Sequence[JobMessage]) -> bytes:
        """Record these; the bytes of the last, which is read back last. Raises BrokerError,
        BadMessage."""
        if not events:
            return b""
        bodies = [codec.encode(event) for event in events]
        transport.record(bodies)
        self._events.update(zip(bodies, events, strict=True))
        while len(self._events) > _KEPT:
            del self._events[next(iter(self._events))]
        return bodies[-1]

    def is_awaited(self, body: bytes) -> bool:
        """Whether we recorded this and have not read it back yet."""
        return body in self._events

    def heard(self, body: bytes) -> JobMessage | None:
        """The event that we recorded as these bytes, once."""
        return self._events.pop(body, None)
