"""What waits at the broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..transport import Transport


@dataclass(frozen=True)
class Waiting:
    """``messages``: that nobody has taken. ``consumers``: workers that wait (None: not told)."""

    kind: str
    pool: str
    messages: int | None
    consumers: int | None


def queues(transport: Transport, pools: Sequence[str]) -> list[Waiting]:
    """The pools' queues, and the dead letters where the user may look at them."""
    found = []
    for pool in pools:
        state = transport.queue_state(pool)
        found.append(Waiting("jobs", pool, state.ready, state.consumers))
    return found
