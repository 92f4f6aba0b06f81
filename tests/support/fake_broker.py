"""A broker in memory, behind the interface of the real ones.

``FakeBroker(VirtualTime())`` decides when everything happens: waiting moves
the clock to the next thing that was planned with ``at``, or to the end of the
wait. Without a clock of its own it waits in real time, between real threads.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.virtual_time import VirtualTime
from thyme.broker import (
    DeadLetter,
    Delivery,
    Mail,
    QueueState,
    Record,
    Retention,
    Transport,
    routing_keys,
)
from thyme.broker.base import make_dead_letter_id
from thyme.errors import BrokerError, BrokerUnreachable, InboxTaken
from thyme.protocol import codec
from thyme.protocol.events import Message, SharedEvent

#: Real seconds that a virtual wait lasts at least, when real jobs are run in virtual time.
REAL_PAUSE = 0.002


@dataclass
class _Queued:
    body: bytes
    deliveries: int = 0
    owner: FakeTransport | None = None


class FakeBroker:
    """The state that all connections share. ``calls``: the names of all calls, in order."""

    def __init__(self, clock: VirtualTime | None = None, real_jobs: bool = False) -> None:
        self.clock = clock
        self.real_jobs = real_jobs
        self.changed = threading.Condition(threading.RLock())
        self.version = 0
        self.stream: list[Record] = []
        self._last_offset = 0
        self.retention = Retention()
        self.queues: dict[str, dict[int, _Queued]] = defaultdict(dict)
        self.dead: list[DeadLetter] = []
        #: seconds for which a dead connection may keep its inbox
        self.inbox_kept = 0.0
        self.inboxes: dict[str, tuple[object, list[Mail]]] = {}
        #: pool → inboxes that hear what is announced to it
        self.listeners: dict[str, set[str]] = defaultdict(set)
        self.handlers: dict[str, Callable[[Mail], None]] = {}
        self.calls: list[str] = []
        self.down: BrokerError | None = None
        self._breaks: dict[str, int] = {}
        self._tags = itertools.count(1)

    def time(self) -> float:
        return self.clock() if self.clock else time.time()

    def connect(self) -> FakeTransport:
        if self.down:
            raise self.down
        return FakeTransport(self)

    def break_at(self, method: str, call: int = 1) -> None:
        """Lose the connection that makes the ``call``-th next call of ``method``, in that call."""
        self._breaks[method] = call

    def answer(self, inbox: str, handler: Callable[[Mail], None]) -> None:
        """Mail to ``inbox`` goes to ``handler`` at once: a schedd, played by the test."""
        self.inboxes[inbox] = (self, [])
        self.handlers[inbox] = handler

    def deliver(self, to: str, mail: Mail) -> bool:
        with self.changed:
            if to not in self.inboxes:
                return False
            if to in self.handlers:
                self.handlers[to](mail)
            else:
                self.inboxes[to][1].append(mail)
            self.touch()
            return True

    def touch(self) -> None:
        self.version += 1
        self.changed.notify_all()

    def submit(self, pool: str, bodies: Sequence[bytes]) -> None:
        with self.changed:
            for body in bodies:
                self.queues[pool][next(self._tags)] = _Queued(body)
        self.append(bodies, lambda _body: routing_keys.make_submit_key(pool))

    def record(self, bodies: Sequence[bytes]) -> None:
        self.append(bodies, routing_keys.make_event_key)

    def append(
        self,
        bodies: Sequence[bytes],
        key: Callable[[bytes], str],
        reason: str = "",
        user: str | None = None,
    ) -> None:
        with self.changed:
            for body in bodies:
                last = self.stream[-1].offset if self.stream else 0
                self._last_offset = offset = max(last, self._last_offset) + 1
                self.stream.append(Record(offset, self.time(), body, key(body), reason, user))
            self.touch()

    def trim(self, records: int) -> None:
        """Drop the first records of the stream, as retention does."""
        with self.changed:
            del self.stream[:records]

    def messages(self) -> list[Message]:
        """Return what was recorded, of each job by itself; not what was put aside."""
        records = [record for record in self.stream if not routing_keys.parse_dead_pool(record.key)]
        found: list[Message] = []
        for message in (codec.decode(record.body) for record in records):
            found += message.list_events() if isinstance(message, SharedEvent) else [message]
        return found

    def called(self, method: str) -> None:
        self.calls.append(method)
        if method in self._breaks:
            self._breaks[method] -= 1
            if not self._breaks[method]:
                del self._breaks[method]
                raise BrokerUnreachable(f"the line broke in {method}")
        if self.down:
            raise self.down


class FakeTransport(Transport):
    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self._seen = -1
        self._returned: list[Mail] = []
        self._woken = threading.Event()
        self._error: BrokerError | None = None
        self._closed = False

    @contextmanager
    def _call(self, method: str) -> Iterator[FakeBroker]:
        with self._broker.changed:
            if self._error is not None:
                raise AssertionError(f"{method} on a connection lost before: {self._error}")
            try:
                self._broker.called(method)
                yield self._broker
            except BrokerUnreachable as error:
                self._error = error
                raise

    def declare_topology(self, pools: Sequence[str]) -> None:
        with self._call("declare_topology"):
            pass

    def submit(self, pool: str, bodies: Iterable[bytes]) -> None:
        bodies = list(bodies)
        with self._call("submit") as broker:
            broker.submit(pool, bodies)

    def record(self, bodies: Sequence[bytes]) -> None:
        with self._call("record") as broker:
            broker.record(bodies)

    def take(self, pool: str, listen: bool = True) -> Delivery | None:
        with self._call("take") as broker:
            for tag, message in sorted(broker.queues[pool].items()):
                if message.owner is None:
                    message.owner = self
                    message.deliveries += 1
                    return Delivery(tag, message.body, redelivered=message.deliveries > 1)
        return None

    def _mine(self, delivery: Delivery) -> tuple[str, _Queued] | None:
        for pool, queue in self._broker.queues.items():
            message = queue.get(delivery.tag)
            if message is not None and message.owner is self:
                return pool, message
        return None

    def ack(self, delivery: Delivery) -> None:
        with self._call("ack") as broker:
            if found := self._mine(delivery):
                del broker.queues[found[0]][delivery.tag]

    def requeue(self, delivery: Delivery) -> None:
        with self._call("requeue") as broker:
            if found := self._mine(delivery):
                found[1].owner = None
                broker.touch()

    def reject(self, delivery: Delivery, reason: str) -> None:
        with self._call("reject") as broker:
            if found := self._mine(delivery):
                pool, body = found[0], delivery.body
                del broker.queues[pool][delivery.tag]
                letter = DeadLetter(
                    body, reason, broker.time(), pool, make_dead_letter_id(pool, body)
                )
                broker.dead.append(letter)
                broker.append([body], lambda _body: routing_keys.make_dead_key(pool), reason)

    def count_ready(self, pool: str) -> int:
        with self._call("count_ready") as broker:
            return sum(message.owner is None for message in broker.queues[pool].values())

    def list_dead_letters(self) -> list[DeadLetter]:
        with self._call("list_dead_letters") as broker:
            return list(broker.dead)

    def get_queue_state(self, pool: str) -> QueueState:
        return QueueState(self.count_ready(pool), None)

    def get_dead_letter_state(self) -> QueueState:
        with self._call("get_dead_letter_state") as broker:
            return QueueState(len(broker.dead), None)

    def get_stream_state(self) -> QueueState:
        with self._call("get_stream_state") as broker:
            return QueueState(len(broker.stream), None)

    def requeue_dead_letters(self, ids: Sequence[str] | None = None) -> int:
        with self._call("requeue_dead_letters") as broker:
            chosen = [letter for letter in broker.dead if ids is None or letter.id in ids]
            for letter in chosen:
                broker.dead.remove(letter)
                broker.submit(letter.pool, [letter.body])
            return len(chosen)

    def purge_queue(self, pool: str) -> int:
        with self._call("purge_queue") as broker:
            queue = broker.queues[pool]
            free = [tag for tag, message in queue.items() if message.owner is None]
            for tag in free:
                del queue[tag]
            return len(free)

    def purge_dead_letters(self) -> int:
        with self._call("purge_dead_letters") as broker:
            count = len(broker.dead)
            broker.dead.clear()
            return count

    def read(self, after: int, limit: int) -> list[Record]:
        with self._call("read") as broker:
            return [record for record in broker.stream if record.offset > after][:limit]

    def get_first_offset(self) -> int:
        with self._call("get_first_offset") as broker:
            return broker.stream[0].offset if broker.stream else -1

    def get_retention(self) -> Retention:
        return self._broker.retention

    def open_inbox(self, name: str, pools: Sequence[str] = ()) -> None:
        with self._call("open_inbox") as broker:
            owner, _mail = broker.inboxes.get(name, (self, []))
            if owner is not self:
                text = f"another connection already answers as {name!r}"
                raise InboxTaken(text, broker.inbox_kept)
            broker.inboxes[name] = (self, [])
            for pool in pools:
                broker.listeners[pool].add(name)

    def announce(self, pool: str, mail: Mail) -> None:
        with self._call("announce") as broker:
            for inbox in broker.listeners[pool]:
                broker.deliver(inbox, mail)

    def send(self, to: str, mail: Mail) -> bool:
        with self._call("send") as broker:
            return broker.deliver(to, mail)

    def request(self, to: str, mail: Mail) -> None:
        if not self.send(to, mail):
            self._returned.append(mail)

    def receive(self) -> Mail | None:
        with self._call("receive") as broker:
            if self._returned:
                return self._returned.pop(0)
            for owner, mail in broker.inboxes.values():
                if owner is self and mail:
                    return mail.pop(0)
        return None

    def wait(self, timeout: float) -> None:
        with self._call("wait") as broker:
            if broker.clock is not None:
                self._wait_virtually(broker.clock, timeout)
                return
            news = lambda: self._woken.is_set() or broker.version != self._seen  # noqa: E731
            broker.changed.wait_for(news, timeout)
            self._woken.clear()
            self._seen = broker.version

    def _wait_virtually(self, clock: VirtualTime, timeout: float) -> None:
        deadline = clock() + timeout
        while not self._woken.is_set() and self._broker.version == self._seen:
            if not clock.step(deadline):
                if self._broker.real_jobs:
                    self._woken.wait(REAL_PAUSE)
                break
        self._woken.clear()
        self._seen = self._broker.version

    def wake(self) -> None:
        self._woken.set()
        # a real waiter sleeps on the condition; a virtual one is never woken by another thread
        if self._broker.clock is None:
            with self._broker.changed:
                self._broker.changed.notify_all()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._broker.changed:
            for queue in self._broker.queues.values():
                for message in queue.values():
                    if message.owner is self:
                        message.owner = None
            for name, (owner, _mail) in list(self._broker.inboxes.items()):
                if owner is self:
                    del self._broker.inboxes[name]
            self._broker.touch()
