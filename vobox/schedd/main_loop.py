"""The schedd: follows the stream, keeps the ledger, and does what the ledger asks for.

One thread owns the broker's line and writes the ledger; RPC threads read the
ledger by themselves and hand everything else in through ``call``. Nothing is
decided here that could be lost: every decision is an event in the stream, and
what it changes is changed when the event is read back (``transitions.py``).
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from thyme.broker import Transport
from thyme.errors import BrokerError, BrokerRefused
from thyme.protocol import codec
from thyme.protocol.events import JobMessage, Marker
from thyme.protocol.job import JobId
from thyme.protocol.mail import schedd_inbox
from vobox.classad.ad import Ad
from vobox.files.history_files import HistoryFiles
from vobox.ledger.writer import Ledger
from vobox.metrics.points import ScheddNow, Tally
from vobox.rpc.types import SubmitRefused
from vobox.workers.leases import Leases
from vobox.workers.mail import WorkerMail
from vobox.workers.slot_ads import slot_ads

from .health import Health
from .reconciler import Reconciler
from .settings import Settings
from .stream_reader import StreamReader
from .thread_calls import TIMEOUT, ThreadCalls

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds between looks at leases.
TICK = 0.5
#: Seconds between questions to the broker that only show that it still answers.
PROBE = 5.0
#: Seconds between two looks at a stream that goes on: a look at one record costs 160 us, at
#: twenty 50 us each, and of a short job only what became of it is written. No worker waits for
#: it, and whoever asks for a change is served at once.
LOOK_PAUSE = 0.1
#: Seconds from one turn to the next while there is much to do: what comes within them costs one
#: turn, and the starts that are granted in it one record. Nobody waits who comes alone.
TURN = 0.003
#: Seconds until the broker is tried again, after the first failure and at most.
BACKOFF = (0.2, 5.0)


class Schedd:
    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Transport],
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._connect = connect
        self._ledger = ledger
        self.clock = clock
        self.wall = wall
        self._health = Health(ledger.path.parent, clock)
        self._leases = Leases(settings.lease)
        self._reader = StreamReader(settings.name, ledger, self._leases, clock, wall)
        if settings.history_dir is not None:
            self._reader.history = HistoryFiles(settings.history_dir)
        spoken = self._reader.spoken
        self._mail = WorkerMail(settings.name, ledger, self._leases, clock, wall, spoken)
        self._reconciler = Reconciler(
            settings, ledger, self._leases, self._reader, self._mail, clock, wall
        )
        self._transport: Transport | None = None
        self._calls = ThreadCalls()
        self._failed: Exception | None = None
        self._stop = False
        self._next_tick = 0.0
        self._next_policy = 0.0
        self._next_probe = 0.0
        self._settle_in = 0.0
        self._next_look = 0.0
        self._next_turn = 0.0
        #: messages of the pool that nobody has taken; None: not known
        self._queued: int | None = None

    # --- from other threads -----------------------------------------------------------

    def call(self, what: Callable[[Transport], T]) -> T:
        """Run ``what`` in the schedd's own thread; raises what it raises, or SubmitRefused."""
        return self._calls.ask(what, self._wake, self._health.not_ready)

    @property
    def mail(self) -> WorkerMail:
        """For calls, in the schedd's own thread."""
        return self._mail

    def live(self, job: JobId) -> Mapping[str, str]:
        """What the job's present run has used so far: attribute → ClassAd text."""
        return self._leases.live.attributes(job)

    def slot_ads(self, busy: Iterable[tuple[str, Ad]]) -> Iterator[Ad]:
        """The slots, given the workers that have a job, with the job's ad."""
        slots = self._mail.slots
        return slot_ads(slots, busy, self.settings.name, self.clock(), self.wall())

    def tell(self, tally: Tally) -> None:
        """Count there what happens to jobs from now on."""
        self._reader.tally = tally

    def now(self) -> ScheddNow:
        """How things stand, for the figures; from any thread."""
        return ScheddNow(
            broker_ok=not self.doubt(),
            rebuilding=self._health.is_rebuilding,
            unreadable=self._reader.unreadable,
            queued=self._queued,
            pool=self.settings.pool,
            waiting=self._mail.slots.waiting(self.clock()),
        )

    def refuse(self, cluster: int) -> None:
        """For calls: the submitter is told of an error; what was taken of it is to be removed."""
        self._reconciler.refused.add(cluster)

    @property
    def trouble(self) -> str:
        """One line on what is wrong; "" when all is well."""
        return self._health.trouble

    def doubt(self) -> str:
        """Why the ledger may be out of date and how old it is; "" when it can be trusted."""
        return self._health.doubt()

    def fail_later(self, error: Exception) -> None:
        """For calls: what was asked for is done, and then the line or the disk failed."""
        self._health.failed(error)
        self._failed = error

    def stop(self) -> None:
        self._stop = True
        self._wake()

    def _wake(self) -> None:
        if (transport := self._transport) is not None:
            transport.wake()

    # --- the thread -------------------------------------------------------------------

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Until ``stop``. ``on_ready`` is called each time the ledger has become current.

        Raises BrokerRefused if the broker's first answer is no.
        """
        backoff = BACKOFF[0]
        was_live = False
        while not self._stop:
            try:
                transport = self._go_live()
                if transport is None:
                    break
                on_ready()
                was_live = True
                backoff = BACKOFF[0]
                while not self._stop:
                    self._step(transport)
            except (BrokerError, sqlite3.Error, OSError) as error:
                self._disconnect()
                if isinstance(error, BrokerRefused) and not was_live:
                    raise  # waiting will not help: another schedd has our name, or no permission
                self._health.failed(error)
                # jitter: what one broker's end has cut off must not come back in one moment
                deadline = self.clock() + backoff * random.uniform(0.5, 1.0)  # noqa: S311
                backoff = min(backoff * 2, BACKOFF[1])
                while not self._stop and self.clock() < deadline:
                    self._calls.refuse(self._health.not_ready())
                    time.sleep(0.05)
        self._disconnect()
        self._health.ends()
        self._calls.refuse(self._health.not_ready())

    def _disconnect(self) -> None:
        transport, self._transport = self._transport, None
        self._queued = None
        if transport is not None:
            transport.close()

    def _go_live(self) -> Transport | None:
        """Connect, and read the stream up to a mark of our own: then the ledger is current.

        None when it is to stop.
        """
        transport = self._connect()
        self._transport = transport
        pools = (self.settings.pool,)
        transport.declare_topology(pools)
        transport.open_inbox(schedd_inbox(self.settings.name), pools)
        self._reader.check_same_stream(transport)
        token = os.urandom(16).hex()
        next_cluster = int(self._ledger.meta("next_cluster", "1"))
        transport.record([codec.encode(Marker(self.settings.name, token, next_cluster))])
        starting = self._health.is_starting
        while self._reader.last_marker != token:
            if self._stop:
                return None
            if starting:
                self._health.rebuilds(self._reader.records_read)
            if not self._reader.catch_up(transport, replaying=True):
                transport.wait(1.0)
        self._leases.renew_all(self._ledger.worked_on(), self.clock())
        for reason, job_id in self._reader.end_replay():
            self._reconciler.hold(transport, job_id, reason)
        if self._reader.history is not None:
            self._reader.history.complete(self._ledger.left())
        self._reconciler.remove_refused(transport)
        self.settle(transport)
        self._health.restored()
        return transport

    def _step(self, transport: Transport) -> None:
        pause = max(0.0, min(self._next_tick - self.clock(), TICK))
        transport.wait(min(pause, self._settle_in))
        if (early := self._next_turn - self.clock()) > 0:
            time.sleep(min(early, TURN))
        self._next_turn = self.clock() + TURN
        self._mail.answer_claims(transport)
        self._answer_calls(transport)
        now = self.clock()
        if now >= self._next_look:
            self._settle_in = self._reconciler.settle_some(transport)
            self._mail.read_rest(transport)
            now = self.clock()
            self._next_look = now + min(self._settle_in, LOOK_PAUSE)
        else:
            self._settle_in = self._next_look - now
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._reconciler.remove_refused(transport)
            self._reconciler.end_leases(transport)
        if now >= self._next_policy:
            more = self._reconciler.apply_policies(transport)
            self._next_policy = now if more else now + self.settings.policy_interval
        if now >= self._next_probe:
            self._probe(transport)

    def _answer_calls(self, transport: Transport) -> None:
        for what, answer in self._calls.begun():
            began = self.clock()
            try:
                with self._health.in_call():
                    answer.set_result(what(transport))
            except (BrokerError, sqlite3.Error, OSError) as error:
                # first, so that whoever asks next is told as well
                self._health.failed(error)
                answer.set_exception(SubmitRefused(self.trouble))
                raise
            except Exception as error:
                answer.set_exception(error)
            failed, self._failed = self._failed, None
            if failed is not None:
                raise failed
            if self.clock() - began > PROBE:  # before anybody doubts
                self._probe(transport)

    def _probe(self, transport: Transport) -> None:
        """Ask the broker something."""
        self._queued = transport.count_ready(self.settings.pool)
        self._next_probe = self.clock() + PROBE
        self._health.renewed()

    def knowing(self, own: dict[bytes, JobMessage]) -> AbstractContextManager[None]:
        """For calls: meanwhile, records of these bytes are these messages, which we made."""
        return self._reader.knowing(own)

    def read_some(self, transport: Transport) -> None:
        """For calls: take what has come of the stream into the ledger; what follows can wait."""
        self._reader.catch_up(transport, replaying=False, at_most=1)

    def record(self, transport: Transport, events: Sequence[JobMessage]) -> None:
        """For calls: record these, and return when the ledger has them, or when that takes too
        long: the broker confirms a record before it hands it to those who read the stream."""
        spoken = self._reader.spoken
        last = spoken.record(transport, events)
        self.settle(transport)
        deadline = self.clock() + TIMEOUT / 2
        while spoken.is_awaited(last) and self.clock() < deadline:
            transport.wait(0.1)
            self.settle(transport)

    def settle(self, transport: Transport) -> None:
        """Read what is new and do what follows from it; for calls, in this thread."""
        self._reconciler.settle(transport)
