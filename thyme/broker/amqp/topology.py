"""The exchanges, queues, bindings and routing keys in RabbitMQ. No I/O.

Two exchanges, because a broker user who may publish to an exchange under *some* keys can reach
every queue that is bound to it: ``CC`` headers are not checked, and a queue of the user's own may
dead-letter to the exchange under any key. So workers may publish to ``thyme.work`` alone, and
nothing is bound to that but what workers may say (decision 060).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from thyme.broker import routing_keys
from thyme.broker.base import Retention
from thyme.errors import BadInvocation

#: Exchange of the schedd and the operator.
EXCHANGE: Final = "thyme"
#: Exchange of workers: for their events, and mail to schedds.
WORK: Final = "thyme.work"
STREAM: Final = "thyme.events"
DEAD: Final = "thyme.dead"

#: The kinds of event that a worker records.
WORKER_EVENTS: Final = ("finished", "evicted")
#: Prefixes of inbox names.
SCHEDD: Final = "thyme.schedd."
WORKER: Final = "thyme.worker."
_QUEUE: Final = "thyme.jobs."
_INBOX: Final = "thyme.inbox."

#: Deliveries of a message after which it is put aside: each worker that took it died.
DELIVERY_LIMIT: Final = 20
#: Dead letters must not vanish by being read: RabbitMQ 4 counts that, with a limit of 20.
#: RabbitMQ 3 has no limit of -1 (none).
DEAD_DELIVERY_LIMIT: Final = 1_000_000
#: Bytes of dead letters; then the oldest are dropped. The schedd has a copy of each job's message.
MAX_DEAD_BYTES: Final = 1_000_000_000
#: Age that the stream is kept.
MAX_AGE: Final = "7D"
#: Bytes on the disk that the stream may take, on each node that has a copy.
MAX_BYTES: Final = 20_000_000_000
_AGE_UNITS: Final = {"Y": 365 * 86400, "M": 30 * 86400, "D": 86400, "h": 3600, "m": 60, "s": 1}
#: Bytes of one file of the stream: only whole files are trimmed away.
SEGMENT_BYTES: Final = 100_000_000
#: Bytes that AMQP allows for a name or a key.
MAX_NAME: Final = 255
#: Arguments that an operator may have chosen otherwise: they are taken as they are.
OPERATORS_CHOICE: Final = frozenset(
    {
        "x-max-age",
        "x-max-length-bytes",
        "x-stream-max-segment-size-bytes",
        "x-delivery-limit",
        "x-quorum-initial-group-size",
        "x-initial-cluster-size",
    }
)


@dataclass(frozen=True)
class Exchange:
    """An exchange to declare."""

    name: str
    type: str = "topic"
    durable: bool = True


@dataclass(frozen=True)
class Queue:
    """A queue to declare."""

    name: str
    arguments: dict[str, str | int]
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False


@dataclass(frozen=True)
class Binding:
    """A binding of a queue to an exchange, for a routing key."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True)
class Inbox:
    """Where mail for an inbox goes; ``queue`` lives as long as its owner's connection."""

    exchange: str
    key: str
    queue: Queue


@dataclass(frozen=True)
class Topology:
    """All that is declared for some pools, in the order in which it is to be declared.

    The stream comes last but for the pools' queues: where it is, all before it is.
    """

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    pools: tuple[str, ...] = ()


def build_topology(pools: Sequence[str]) -> Topology:
    """Return all that these pools need; raises BadInvocation for a name that is too long."""
    bindings = [
        Binding(EXCHANGE, DEAD, routing_keys.DEAD + "#"),
        Binding(WORK, DEAD, routing_keys.DEAD + "#"),
        *(
            Binding(EXCHANGE, STREAM, prefix + "#")
            for prefix in (routing_keys.SUBMIT, routing_keys.EVENT)
        ),
        Binding(EXCHANGE, STREAM, routing_keys.DEAD + "#"),
        Binding(WORK, STREAM, routing_keys.DEAD + "#"),
        *(Binding(WORK, STREAM, routing_keys.EVENT + kind) for kind in WORKER_EVENTS),
    ]
    for pool in pools:
        bindings.append(Binding(EXCHANGE, make_job_queue_name(pool), make_submit_key(pool)))
    return Topology(
        exchanges=(Exchange(EXCHANGE), Exchange(WORK)),
        queues=(
            make_dead_letter_queue(),
            make_stream_queue(),
            *(make_pool_queue(pool) for pool in pools),
        ),
        bindings=tuple(bindings),
        pools=tuple(pools),
    )


def make_dead_letter_queue() -> Queue:
    """Return the queue of dead letters."""
    return Queue(
        DEAD,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": DEAD_DELIVERY_LIMIT,
            "x-max-length-bytes": MAX_DEAD_BYTES,
        },
    )


def make_stream_queue() -> Queue:
    """Return the stream."""
    return Queue(
        STREAM,
        {
            "x-queue-type": "stream",
            "x-max-age": MAX_AGE,
            "x-max-length-bytes": MAX_BYTES,
            "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
        },
    )


def parse_retention(arguments: Mapping[str, str | int]) -> Retention:
    """Return how long a stream with these arguments keeps its records."""
    age = str(arguments.get("x-max-age", ""))
    seconds = int(age[:-1]) * _AGE_UNITS[age[-1]] if age else math.inf
    return Retention(float(seconds), float(arguments.get("x-max-length-bytes", math.inf)))


def make_pool_queue(pool: str) -> Queue:
    """Return a pool's job queue."""
    return Queue(
        make_job_queue_name(pool),
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": EXCHANGE,
            "x-dead-letter-routing-key": make_dead_key(pool),
            # the default may lose a message on its way to the dead letters
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def make_inbox(name: str) -> Inbox:
    """Return where mail for ``name`` goes: workers reach ``thyme.schedd.<name>`` and no other."""
    if name.startswith(SCHEDD):
        exchange, queue, key = WORK, name, "schedd." + _quote(name.removeprefix(SCHEDD))
    elif name.startswith(WORKER):
        exchange, queue, key = EXCHANGE, name, "worker." + _quote(name.removeprefix(WORKER))
    else:
        exchange, queue, key = EXCHANGE, _INBOX + name, "inbox." + _quote(name)
    check_name_length(queue, f"inbox {name[:60]!r}")
    check_name_length(key, f"inbox {name[:60]!r}")
    # exclusive: ends with the connection, whatever ends that; 4.x knows no other transient queue
    return Inbox(exchange, key, Queue(queue, {}, durable=False, exclusive=True))


def make_job_queue_name(pool: str) -> str:
    """Return the name of a pool's job queue; raises BadInvocation where it is too long."""
    return check_name_length(_QUEUE + _quote(pool), f"pool {pool[:60]!r}")


def make_submit_key(pool: str) -> str:
    """Return the routing key of a pool's submits."""
    return routing_keys.make_submit_key(_quote(pool))


def make_dead_key(pool: str) -> str:
    """Return the routing key of a pool's dead letters."""
    return routing_keys.make_dead_key(_quote(pool))


def make_idle_key(pool: str) -> str:
    """Return the key of what is announced to the inboxes that listen to a pool."""
    return "idle." + _quote(pool)


def unquote_pool(word: str) -> str:
    """Return the pool whose name is ``word`` in keys and queue names."""
    return unquote(word)


def _quote(name: str) -> str:
    """Quote ``name`` for a routing key, so that it has no wildcard (``*``, ``#``) of a binding."""
    return quote(name, safe=" !$&'()+,:;=@[]{}|~^/")


def check_name_length(name: str, what: str) -> str:
    """Return ``name`` if it is short enough for AMQP; raises BadInvocation. ``what`` names it."""
    if len(name.encode()) > MAX_NAME:
        raise BadInvocation(f"{what}: its name is too long for RabbitMQ ({MAX_NAME} bytes in all)")
    return name
