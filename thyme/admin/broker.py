"""What waits at the broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thyme.broker import Transport


@dataclass(frozen=True)
class QueueSummary:
    """``messages``: that nobody has taken. ``consumers``: who waits for one (None: not told)."""

    kind: str
    pool: str
    messages: int
    consumers: int | None


def queues(transport: Transport, pools: Sequence[str]) -> list[QueueSummary]:
    """The pools' queues, the dead letters and the stream; raises BrokerError."""
    found = [("jobs", pool, transport.get_queue_state(pool)) for pool in pools]
    found.append(("dead", "", transport.get_dead_letter_state()))
    found.append(("stream", "", transport.get_stream_state()))
    return [QueueSummary(kind, pool, state.ready, state.consumers) for kind, pool, state in found]
