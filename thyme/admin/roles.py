"""The three roles of users on the broker, as RabbitMQ's permissions.

======== ============================ ======================== =================================
role     may make                     may write to             may read
======== ============================ ======================== =================================
vobox    everything of thyme's        the same                 the same
worker   its own inboxes              the workers' exchange    its pool's queues, its own inboxes
monitor  nothing                      nothing                  nothing: depths need no permission
======== ============================ ======================== =================================

Nobody may use the default exchange, through which every queue could be reached
by its name, and nobody is an administrator: users are changed on the broker's
host (``rabbitmqctl``) or by loading new definitions.

The worker has no write permission on the exchange that leads to the job
queues. Topic permissions alone would not keep it from submitting: RabbitMQ
checks them for a message's first routing key only, not for those in its CC
and BCC headers, nor for what a queue of the worker's dead-letters, nor for what
comes through an exchange of the worker's (decision 060).

Each further pool has a worker's user of its own, so that no worker can read another pool's queue.
Permissions cannot keep a worker from purging its own pool's queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from thyme.broker.amqp.topology import (
    EXCHANGE,
    WORK,
    WORKER,
    WORKER_EVENTS,
    make_dead_key,
    make_idle_key,
    make_job_queue_name,
)
from thyme.broker.lanes import SUFFIX_PATTERN, get_pool, is_lane
from thyme.broker.routing_keys import EVENT
from thyme.broker.users import VOBOX, make_worker_user

#: A word of a routing key with no wildcard in it.
_WORD = "[^#*]+"
_NOTHING = "^$"


@dataclass(frozen=True)
class Role:
    """A user; patterns are regular expressions on names.

    ``topics``: exchange → (write, read); ``limits``: RabbitMQ's name of a limit → number.
    """

    user: str
    configure: str
    write: str
    read: str
    tags: str = ""
    topics: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)


def list_roles(pools: Iterable[str]) -> list[Role]:
    """Return all users of a broker with these pools, or queues of their lanes."""
    ours = r"^thyme(\..*)?$"
    queues = list(pools)
    return [
        Role(VOBOX, ours, ours, ours, limits=_make_limits(1000)),
        # the tag opens the management plugin, where somebody has turned it on
        Role("monitor", _NOTHING, _NOTHING, _NOTHING, "monitoring", limits=_make_limits(100)),
        *(
            _make_worker_role(pool, has_lanes=any(is_lane(each, pool) for each in queues))
            for pool in dict.fromkeys(map(get_pool, queues))
        ),
    ]


def _make_worker_role(pool: str, has_lanes: bool) -> Role:
    lanes = SUFFIX_PATTERN if has_lanes else ""
    inboxes = rf"{re.escape(WORKER)}.+"
    events = [rf"{re.escape(EVENT + kind)}" for kind in WORKER_EVENTS]
    reports = [
        *events,
        rf"schedd\.{_WORD}",
        re.escape(make_idle_key(pool)),
        re.escape(make_dead_key(pool)) + lanes,
    ]
    return Role(
        make_worker_user(pool),
        configure=f"^{inboxes}$",
        write=_match_any(re.escape(WORK), inboxes),
        read=_match_any(re.escape(EXCHANGE), inboxes, re.escape(make_job_queue_name(pool)) + lanes),
        topics={
            WORK: (_match_any(*reports), _NOTHING),
            # to bind an inbox is to read; a wildcard would read everybody's mail
            EXCHANGE: (_NOTHING, rf"^worker\.{_WORD}$"),
        },
        limits=_make_limits(20_000),
    )


def _make_limits(connections: int) -> dict[str, int]:
    """Return the limits of a user with at most so many connections, each with some channels."""
    return {"max-connections": connections, "max-channels": 4 * connections}


def _match_any(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"
