"""Dead letters, and what may be done with them. Nothing of a body is ever shown but its job.

A queue cannot be browsed: all dead letters are taken and given back. The queue's delivery limit
is therefore very high. ``purge`` puts a pool's messages aside as dead letters instead of deleting
them, so that the schedd holds their jobs instead of showing them idle for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thyme.broker import DeadLetter, Transport
from thyme.errors import BadMessage, BrokerRefused
from thyme.protocol import codec
from thyme.protocol.events import JobMessage

#: Reason of the dead letters that ``thyme-admin purge`` makes.
PUT_ASIDE = "put aside by an administrator"

#: Seconds between looks for a message that is on its way to us.
_PAUSE = 0.2


@dataclass(frozen=True)
class QueueSummary:
    """How many ``messages`` nobody has taken, and how many ``consumers`` wait (None: unknown).

    ``kind``: ``jobs`` (of ``pool``), ``dead`` or ``stream``.
    """

    kind: str
    pool: str
    messages: int
    consumers: int | None


@dataclass(frozen=True)
class DeadLetterSummary:
    """A dead letter without its body; ``job`` is "" where it cannot be read.

    ``time``: seconds since the epoch; ``bytes``: the size of its body.
    """

    id: str
    time: float
    pool: str
    schedd: str
    job: str
    bytes: int
    reason: str


def list_missing(transport: Transport, pools: Sequence[str]) -> list[str]:
    """List the pools that have no queue on the broker yet."""
    missing = []
    for pool in pools:
        try:
            transport.get_queue_state(pool)
        except BrokerRefused:
            missing.append(pool)
    return missing


def describe_topology(made: Sequence[str]) -> str:
    """Return what `topology` did; ``made``: the pools that had no queue before."""
    if not made:
        return "all there, and as it should be"
    return (
        f"made queues for {', '.join(made)}; the rest is as it should be (a name that was not "
        "meant: `rabbitmqctl delete_queue thyme.jobs.NAME` on the broker)"
    )


def summarize_queues(transport: Transport, pools: Sequence[str]) -> list[QueueSummary]:
    """Summarize the pools' queues, the dead letters and the stream; raises BrokerError."""
    found = [("jobs", pool, transport.get_queue_state(pool)) for pool in pools]
    found.append(("dead", "", transport.get_dead_letter_state()))
    found.append(("stream", "", transport.get_stream_state()))
    return [QueueSummary(kind, pool, state.ready, state.consumers) for kind, pool, state in found]


def summarize_letter(letter: DeadLetter) -> DeadLetterSummary:
    """Summarize a dead letter."""
    schedd = job = ""
    try:
        message = codec.decode(letter.body, with_files=False)
    except BadMessage:
        pass  # that is why it is here
    else:
        if isinstance(message, JobMessage):
            schedd, job = message.schedd, str(message.job)
    return DeadLetterSummary(
        letter.id, letter.time, letter.pool, schedd, job, len(letter.body), letter.reason
    )


def put_pool_aside(transport: Transport, pool: str) -> int:
    """Make dead letters of all that waits in a pool now; return how many.

    If they were deleted, their jobs would stay idle for ever: the schedd has them as queued. A dead
    letter is in the stream too, and the schedd holds its job, with the reason.
    """
    count = 0
    wanted = transport.get_queue_state(pool).ready  # what is queued meanwhile is not meant
    while count < wanted:
        delivery = transport.take(pool)
        if delivery is not None:
            transport.reject(delivery, PUT_ASIDE)
            count += 1
        elif transport.get_queue_state(pool).ready == 0:
            break  # workers were faster
        else:
            transport.wait(_PAUSE)
    return count


def describe_purge(pool: str, count: int) -> str:
    """Return what purging ``count`` messages of a pool would do."""
    if not count:
        return f"no message waits in {pool}: there is nothing to do"
    return (
        f"{pool} has {count_of(count, 'message')}: --yes makes dead letters of all, and the schedd "
        "holds their jobs (condor_release queues them again); running jobs go on"
    )


def describe_dead_letter_purge(count: int) -> str:
    """Return what purging ``count`` dead letters would do."""
    if not count:
        return "no dead letters: there is nothing to do"
    there = f"there {'is' if count == 1 else 'are'} {count_of(count, 'dead letter')}"
    return (
        f"{there}: --yes deletes all; jobs held because of them stay held "
        "(condor_release queues them again, condor_rm removes them)"
    )


def count_of(count: int, what: str) -> str:
    """Return ``1 dead letter``, ``2 dead letters`` and the like."""
    return f"{count} {what}{'' if count == 1 else 's'}"
