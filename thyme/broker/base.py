"""The one way to a broker: what every transport can do.

A transport is one connection of one process and belongs to one thread; only
``wake`` may be called from others (and from signal handlers). It carries bytes:
what they mean is in ``codec.py``. Three things live in a broker:

* a *job queue* per pool: each message goes to one worker, stays *taken* until
  it is acknowledged, and comes back when the process that took it dies;
* one *stream* of records in one order, read from any offset, by anyone, again;
* *inboxes*: mail for one living process (claims, verdicts, control,
  heartbeats). Mail is transient: it may be lost, and nothing relies on it.

Implementations: ``amqp.py`` (RabbitMQ) and ``sqlite.py`` (the embedded default); the contract that
all must pass is ``tests/contract/test_transport*.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Delivery:
    """A message of a job queue, taken and not yet acknowledged.

    ``redelivered`` is true when somebody took it before and died.
    """

    tag: int
    body: bytes
    redelivered: bool


class Record(NamedTuple):
    """One entry of the stream. Offsets grow, not always by one.

    ``time``: seconds since the epoch, when it was published, for display only. ``key`` says who may
    have written it, as only the broker knows that: ``submit.<pool>``, ``event.<kind>`` (see
    ``keys.py``) or ``dead.<pool>``: put aside because of ``reason``. A record of version 1 of the
    embedded broker has the key "".
    """

    offset: int
    time: float
    body: bytes
    key: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Mail:
    """``reply_to`` is the sender's inbox or ""; ``correlation`` is the sender's, to be returned."""

    body: bytes
    reply_to: str = ""
    correlation: str = ""


@dataclass(frozen=True)
class DeadLetter:
    """A message that nobody could read, or that each of its workers died of.

    ``time``: seconds since the epoch, when it was put aside (0: unknown). ``id`` names it for
    ``requeue_dead``: the same for the same message, if it is put aside again.
    """

    body: bytes
    reason: str
    time: float
    pool: str = ""
    id: str = ""


def dead_letter_id(pool: str, body: bytes) -> str:
    """The ``id`` of a dead letter."""
    import hashlib  # late: it costs a worker, who never asks, 4 MB

    return hashlib.sha256(pool.encode() + b"\n" + body).hexdigest()[:16]


@dataclass(frozen=True)
class QueueState:
    """``ready``: messages that nobody has taken; ``consumers``: who waits (None: unknown)."""

    ready: int
    consumers: int | None


class Transport(ABC):
    """Every method raises BrokerUnreachable or BrokerRefused (see ``thyme.errors``).

    After an error the connection is of no more use: close it and make another.
    What was being published may or may not have been recorded.
    """

    # --- topology ---------------------------------------------------------------

    @abstractmethod
    def declare_topology(self, pools: Sequence[str]) -> None:
        """Make what is missing for these pools and the stream, and check what is there.

        Raises BrokerRefused where something is there that cannot serve. Whoever comes first does
        this by itself; it is called to check, and to mend what somebody deleted.
        """

    # --- publishing -------------------------------------------------------------

    @abstractmethod
    def submit(self, pool: str, bodies: Iterable[bytes]) -> None:
        """Put messages into a pool's queue *and* the stream; returns once all are durable.

        Whoever makes ``bodies`` one by one may ``read`` meanwhile: earlier ones may be there.
        """

    @abstractmethod
    def record(self, bodies: Sequence[bytes]) -> None:
        """Append to the stream, in this order; returns once all are durable.

        The key of each is ``event.`` and its kind.
        """

    # --- job queue --------------------------------------------------------------

    @abstractmethod
    def take(self, pool: str) -> Delivery | None:
        """The oldest free message, or None at once. One process takes one at a time."""

    def record_and_take(self, pool: str, bodies: Sequence[bytes]) -> Delivery | None:
        """``record``, and then ``take``: one journey to the broker where there is one."""
        self.record(bodies)
        return self.take(pool)

    @abstractmethod
    def ack(self, delivery: Delivery) -> None:
        """Done with it: it will not come back."""

    def ack_later(self, delivery: Delivery) -> None:
        """As ``ack``, with what is said next; until then it may come back, as if not done."""
        self.ack(delivery)

    @abstractmethod
    def requeue(self, delivery: Delivery) -> None:
        """Not by me: it goes back to the head of the queue."""

    @abstractmethod
    def reject(self, delivery: Delivery, reason: str) -> None:
        """Unreadable: keep it aside among the dead letters, and tell so in the stream."""

    @abstractmethod
    def count_ready(self, pool: str) -> int:
        """How many messages of the pool's queue nobody has taken."""

    # --- for the operator -------------------------------------------------------

    @abstractmethod
    def get_queue_state(self, pool: str) -> QueueState:
        """What waits in the pool's queue, and who waits for it; makes no queue."""

    @abstractmethod
    def get_dead_letter_state(self) -> QueueState:
        """How many dead letters there are, without looking at them."""

    @abstractmethod
    def get_stream_state(self) -> QueueState:
        """How many records the stream has. RabbitMQ's count may be some seconds old."""

    @abstractmethod
    def list_dead_letters(self) -> list[DeadLetter]:
        """What was put aside, oldest first; it stays there. Two must not look at once."""

    @abstractmethod
    def requeue_dead_letters(self, ids: Sequence[str] | None = None) -> int:
        """Submit dead letters (None: all) to their pools again; how many.

        To the queue and to the stream, as ``submit`` does: whoever holds such a job because of its
        dead letter learns from that record that it is queued again.
        """

    @abstractmethod
    def purge_queue(self, pool: str) -> int:
        """Throw away what waits in the pool's queue; how many messages. The stream stays."""

    @abstractmethod
    def purge_dead_letters(self) -> int:
        """Throw away the dead letters; how many."""

    # --- stream -----------------------------------------------------------------

    @abstractmethod
    def read(self, after: int, limit: int) -> list[Record]:
        """At most ``limit`` records with an offset over ``after`` (-1: all); may be []."""

    # --- mail -------------------------------------------------------------------

    @abstractmethod
    def open_inbox(self, name: str, pools: Sequence[str] = ()) -> None:
        """Receive mail under this name, and what is announced to ``pools``, while we live.

        Raises BrokerRefused while another living process has it.
        """

    @abstractmethod
    def send(self, to: str, mail: Mail) -> bool:
        """Leave mail; False when nobody has that inbox."""

    @abstractmethod
    def announce(self, pool: str, mail: Mail) -> None:
        """Leave mail in every inbox that listens to ``pool``; nobody may be there."""

    def send_unconfirmed(self, to: str, mail: Mail) -> None:
        """As ``send``, where nobody waits to hear whether it arrived."""
        self.send(to, mail)

    def send_all_unconfirmed(self, letters: Sequence[tuple[str, Mail]]) -> None:
        """``send_unconfirmed`` each of these (to whom, mail)."""
        for to, mail in letters:
            self.send_unconfirmed(to, mail)

    @abstractmethod
    def request(self, to: str, mail: Mail) -> None:
        """Leave mail, and wait for nothing; it has a ``correlation``.

        Where nobody has that inbox, it comes back: ``receive`` then gives it as it was.
        """

    @abstractmethod
    def receive(self) -> Mail | None:
        """The next mail of my inboxes, or None at once."""

    # --- waiting ----------------------------------------------------------------

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Return when something may have come, on ``wake``, or after ``timeout`` seconds."""

    def pause(self, timeout: float) -> None:
        """Return on ``wake`` or after ``timeout`` seconds; what comes meanwhile may wait."""
        self.wait(timeout)

    @abstractmethod
    def wake(self) -> None:
        """End the present or the next ``wait``; for other threads and signal handlers."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back; never raises. What was taken goes back to its queue."""
