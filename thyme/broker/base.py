"""The interface to a broker: what every transport can do.

A transport is one connection of one process and belongs to one thread; only
``wake`` may be called from others (and from signal handlers). It carries bytes:
what they mean is in ``protocol/codec.py``. A broker has:

* a *job queue* per pool, or several (``lanes.py``): each message goes to one worker, stays *taken*
  until it is acknowledged, and is queued again when the process that took it dies;
* one *stream* of records in one order, which each reader reads from any offset, as often as it
  wants;
* *inboxes*: mail for one living process (claims and their replies, control messages,
  heartbeats). Mail is transient: it may be lost, and nothing relies on it.

Implementations: ``amqp/`` (RabbitMQ) and ``sqlite/`` (the embedded default); the contract that
all must pass is ``tests/contract/test_transport*.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True)
class Delivery:
    """A message of a job queue, taken and not yet acknowledged.

    ``redelivered``: whether a process took it before and died.
    """

    tag: int
    body: bytes
    redelivered: bool


class Record(NamedTuple):
    """One entry of the stream. Offsets grow, not always by one.

    ``time``: seconds since the epoch, when it was published, for display only. ``key`` says who may
    have written it, as only the broker knows that: ``submit.<pool>``, ``event.<kind>`` (see
    ``routing_keys.py``) or ``dead.<pool>``: put aside because of ``reason``. ``user``: the
    broker's user who wrote it, see ``users.may_report``.
    """

    offset: int
    time: float
    body: bytes
    key: str = ""
    reason: str = ""
    user: str | None = None


@dataclass(frozen=True)
class Mail:
    """A message for an inbox.

    ``reply_to``: the sender's inbox or ""; ``correlation``: the sender's, repeated in the reply;
    ``user``: of mail that was received, the broker's user who sent it (see ``users.may_report``).
    """

    body: bytes
    reply_to: str = ""
    correlation: str = ""
    user: str | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A message that no worker could read, or at which each of its workers died.

    ``time``: seconds since the epoch, when it was put aside (0: unknown). ``id`` names it for
    ``requeue_dead``: the same for the same message, if it is put aside again.
    """

    body: bytes
    reason: str
    time: float
    pool: str = ""
    id: str = ""


#: End of the reason of a dead letter that workers took again and again, and never acknowledged.
TAKEN_TOO_OFTEN: Final = "times, and each time its worker died"


def make_dead_letter_id(pool: str, body: bytes) -> str:
    """Return the ``id`` of a dead letter."""
    import hashlib  # late: workers never need it, and it takes some MB

    return hashlib.sha256(pool.encode() + b"\n" + body).hexdigest()[:16]


@dataclass(frozen=True)
class QueueState:
    """A queue's messages that nobody has taken, and its waiting consumers (None: unknown)."""

    ready: int
    consumers: int | None


@dataclass(frozen=True)
class Retention:
    """How long, and how many bytes of them, a stream keeps its records."""

    seconds: float = 7 * 86400.0
    bytes: float = 20e9


class Transport(ABC):
    """One connection to a broker. Every method raises BrokerUnreachable or BrokerRefused.

    After an error the connection cannot be used: close it and make another.
    What was being published may or may not have been recorded.
    """

    # --- topology ---------------------------------------------------------------

    @abstractmethod
    def declare_topology(self, pools: Sequence[str]) -> None:
        """Make the queues of these pools and the stream where missing, and check what is there.

        Raises BrokerRefused where something is there that cannot be used. The other methods do
        this as needed; call it to check, and to make again what was deleted.
        """

    # --- publishing -------------------------------------------------------------

    @abstractmethod
    def submit(self, pool: str, bodies: Iterable[bytes]) -> None:
        """Put messages into a pool's queue *and* the stream; returns once all are durable.

        ``bodies`` may be a generator that calls ``read``: earlier messages may be there already.
        """

    @abstractmethod
    def record(self, bodies: Sequence[bytes]) -> None:
        """Append to the stream, in this order; returns once all are durable.

        The key of each is ``event.`` and its kind.
        """

    # --- job queue --------------------------------------------------------------

    @abstractmethod
    def take(self, pool: str, listen: bool = True) -> Delivery | None:
        """Take the oldest free message, or return None at once. A process takes one at a time.

        ``listen``: where there is none, the next one ends ``wait`` and may be kept for this
        process, which has to take it. So a process listens to one queue only.
        """

    @abstractmethod
    def ack(self, delivery: Delivery) -> None:
        """Acknowledge a message: it is removed."""

    @abstractmethod
    def requeue(self, delivery: Delivery) -> None:
        """Give a message back to the head of its queue."""

    @abstractmethod
    def reject(self, delivery: Delivery, reason: str) -> None:
        """Move an unreadable message to the dead letters, and record that in the stream."""

    @abstractmethod
    def count_ready(self, pool: str) -> int:
        """Return how many messages of the pool's queue nobody has taken."""

    # --- for the operator -------------------------------------------------------

    @abstractmethod
    def get_queue_state(self, pool: str) -> QueueState:
        """Return the state of the pool's queue; makes no queue."""

    @abstractmethod
    def get_dead_letter_state(self) -> QueueState:
        """Return the state of the queue of dead letters, without looking at them."""

    @abstractmethod
    def get_stream_state(self) -> QueueState:
        """Return how many records the stream has. RabbitMQ's count may be some seconds old."""

    @abstractmethod
    def list_dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first; they stay. Two must not do this at once."""

    @abstractmethod
    def requeue_dead_letters(self, ids: Sequence[str] | None = None) -> int:
        """Submit the dead letters of these ids (None: all) again; return how many.

        To the queue and to the stream, as ``submit`` does: the schedd, which holds a job because
        of its dead letter, learns from that record that the job is queued again.
        """

    @abstractmethod
    def purge_queue(self, pool: str) -> int:
        """Delete what waits in the pool's queue; return how many messages. The stream stays."""

    @abstractmethod
    def purge_dead_letters(self) -> int:
        """Delete the dead letters; return how many."""

    # --- stream -----------------------------------------------------------------

    @abstractmethod
    def read(self, after: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records with an offset over ``after`` (-1: all); may be []."""

    @abstractmethod
    def get_first_offset(self) -> int:
        """Return the offset of the oldest record that the stream has; -1: none, or not known."""

    def get_retention(self) -> Retention:
        """Return how long the stream keeps records, as it was declared by ``declare_topology``."""
        return Retention()

    # --- mail -------------------------------------------------------------------

    @abstractmethod
    def open_inbox(self, name: str, pools: Sequence[str] = ()) -> None:
        """Receive mail under this name, and what is announced to ``pools``, until ``close``.

        Raises InboxTaken while another connection has the inbox.
        """

    @abstractmethod
    def send(self, to: str, mail: Mail) -> bool:
        """Send mail; returns False when nobody has that inbox."""

    @abstractmethod
    def announce(self, pool: str, mail: Mail) -> None:
        """Send mail to every inbox that listens to ``pool``; there may be none."""

    def send_unconfirmed(self, to: str, mail: Mail) -> None:
        """Send mail without waiting to learn whether it arrived."""
        self.send(to, mail)

    def send_all_unconfirmed(self, letters: Sequence[tuple[str, Mail]]) -> None:
        """Send each (to whom, mail) without waiting to learn whether it arrived."""
        for to, mail in letters:
            self.send_unconfirmed(to, mail)

    @abstractmethod
    def request(self, to: str, mail: Mail) -> None:
        """Send mail that has a ``correlation``, without waiting for its reply.

        Where nobody has that inbox, it is returned: ``receive`` then returns it as it was.
        """

    @abstractmethod
    def receive(self) -> Mail | None:
        """Return the next mail of our inboxes, or None at once."""

    # --- waiting ----------------------------------------------------------------

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Return when something may have come, on ``wake``, or after ``timeout`` seconds."""

    @abstractmethod
    def wake(self) -> None:
        """End the present or the next ``wait``; for other threads and signal handlers."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; never raises. What was taken is queued again."""
