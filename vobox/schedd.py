"""The schedd: follows the stream, keeps the ledger, and does what the ledger asks for.

One thread owns the broker's line and writes the ledger; RPC threads read the
ledger by themselves and hand everything else in through ``call``. Nothing is
decided here that could be lost: every decision is an event in the stream, and
what it changes is changed when the event is read back (``fold.py``).
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TypeVar

from thyme import codec
from thyme.errors import BadMessage, BrokerError
from thyme.job import JobId
from thyme.message import (
    Delivered,
    Finished,
    Held,
    HoldReason,
    JobMessage,
    Lost,
    Marker,
    Recorded,
    Released,
    Removed,
    Submit,
    expect,
)
from thyme.transport import Transport
from thyme.worker import schedd_inbox

from . import delivery, logtext, policy
from .fold import Job, leave_queue
from .follower import Follower
from .leases import Leases
from .ledger import Ledger
from .mailroom import Mailroom
from .rpc_types import SubmitRefused
from .status import COMPLETED

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds between looks at leases.
TICK = 0.5
#: Seconds that a command waits for the schedd's own thread before it says so.
CALL_TIMEOUT = 30.0
#: Seconds until the broker is tried again, after the first failure and at most.
BACKOFF = (0.2, 5.0)
#: Seconds that an ended job stays in condor_history.
HISTORY = 30 * 86400.0
#: HoldReasonCode "system policy": the site's rule, not the job's, holds it.
SYSTEM_POLICY = 26


@dataclass(frozen=True)
class Settings:
    """``lease`` and ``policy_interval`` in seconds."""

    name: str
    pool: str = "alien_jobs"
    lease: float = 300.0
    policy_interval: float = 60.0
    max_attempts: int = 5


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
        self.trouble = "starting"
        self._connect = connect
        self._ledger = ledger
        self.clock = clock
        self.wall = wall
        self._leases = Leases(settings.lease)
        self._follower = Follower(settings.name, ledger, self._leases, clock)
        self._mailroom = Mailroom(settings.name, ledger, self._leases, clock)
        self._transport: Transport | None = None
        self._calls: queue.SimpleQueue[tuple[Callable[[Transport], object], Future[object]]]
        self._calls = queue.SimpleQueue()
        self._stop = False
        self._next_tick = 0.0
        self._next_policy = 0.0

    # --- from other threads -----------------------------------------------------------

    def call(self, what: Callable[[Transport], T]) -> T:
        """Run ``what`` in the schedd's own thread; raises what it raises, or SubmitRefused."""
        answer: Future[object] = Future()
        self._calls.put((what, answer))
        self._wake()
        try:
            return answer.result(CALL_TIMEOUT)  # type: ignore[return-value]
        except FutureTimeout:
            answer.cancel()
            raise SubmitRefused(
                f"the schedd is not ready: {self.trouble or 'busy'}; try again"
            ) from None

    def stop(self) -> None:
        self._stop = True
        self._wake()

    def _wake(self) -> None:
        if (transport := self._transport) is not None:
            transport.wake()

    # --- the thread -------------------------------------------------------------------

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Until ``stop``. ``on_ready`` is called each time the ledger has become current."""
        backoff = BACKOFF[0]
        while not self._stop:
            try:
                transport = self._go_live()
                on_ready()
                backoff = BACKOFF[0]
                while not self._stop:
                    self._step(transport)
            except (BrokerError, sqlite3.Error, OSError) as error:
                self._set_trouble(self._described(error))
                self._disconnect()
                deadline = self.clock() + backoff
                backoff = min(backoff * 2, BACKOFF[1])
                while not self._stop and self.clock() < deadline:
                    time.sleep(0.05)
        self._disconnect()

    def _set_trouble(self, text: str) -> None:
        if text != self.trouble:
            log.warning("%s", text) if text else log.info("all well")
        self.trouble = text

    def _described(self, error: Exception) -> str:
        if isinstance(error, BrokerError):
            return str(error)
        return f"spool {self._ledger.path.parent}: {error}"

    def _disconnect(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _go_live(self) -> Transport:
        """Connect, and read the stream up to a mark of our own: then the ledger is current."""
        transport = self._connect()
        self._transport = transport
        transport.open_inbox(schedd_inbox(self.settings.name))
        self._follower.check_same_stream(transport)
        token = os.urandom(16).hex()
        next_cluster = int(self._ledger.meta("next_cluster", "1"))
        transport.record([codec.encode(Marker(self.settings.name, token, next_cluster))])
        if self.trouble == "starting":
            self.trouble = "the ledger is being rebuilt from the stream"
        while self._follower.last_marker != token:
            if not self._follower.catch_up(transport, replaying=True) and not self._stop:
                transport.wait(1.0)
        self._leases.renew_all(self.clock())
        for reason, job_id in self._follower.write_waiting_logs():
            self._hold(transport, job_id, reason)
        self.settle(transport)
        self._set_trouble("")
        return transport

    def _step(self, transport: Transport) -> None:
        transport.wait(max(0.0, min(self._next_tick - self.clock(), TICK)))
        self._answer_calls(transport)
        while (mail := transport.receive()) is not None:
            self._mailroom.read(transport, mail)
        self.settle(transport)
        now = self.clock()
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._end_leases(transport)
        if now >= self._next_policy:
            self._next_policy = now + self.settings.policy_interval
            self._apply_policies(transport)

    def _answer_calls(self, transport: Transport) -> None:
        while True:
            try:
                what, answer = self._calls.get_nowait()
            except queue.Empty:
                return
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(what(transport))
            except (BrokerError, sqlite3.Error, OSError) as error:
                answer.set_exception(SubmitRefused(self._described(error)))
                raise
            except Exception as error:
                answer.set_exception(error)

    def settle(self, transport: Transport) -> None:
        """Read what is new and do what follows from it, until nothing more follows."""
        while True:
            self._follower.catch_up(transport, replaying=False)
            for tell in self._follower.take_tells():
                self._mailroom.tell(transport, *tell)
            for reason, job_id in self._follower.take_log_failures():
                self._hold(transport, job_id, reason)
            events = [self._delivered(job) for job in self._ledger.to_deliver()]
            if events:
                transport.record([codec.encode(event) for event in events])
            again = self._ledger.to_queue()
            for job in again:
                self._queue_again(transport, job)
            if not events and not again:
                return

    # --- what the ledger asks for ---------------------------------------------------------

    def _delivered(self, job: Job) -> JobMessage:
        """Write the output and the last log event; the event that says so, or that it failed."""
        body = self._ledger.body(job.id, "result")
        if body is None:
            reason = HoldReason(delivery.OUTPUT_ERROR, 2, "the result is no longer known")
            return Held(self.settings.name, job.id, self.wall(), reason)
        result = expect(codec.decode(body), Finished)
        failed = delivery.write_output(job, result) or delivery.write_log(
            job, logtext.terminated(job.id, result, job.ad), job.id in self._follower.recovered
        )
        if failed:
            return Held(self.settings.name, job.id, self.wall(), failed)
        return Delivered(self.settings.name, job.id, self.wall())

    def _queue_again(self, transport: Transport, job: Job) -> None:
        body = self._ledger.body(job.id, "task")
        if body is None:
            self._hold(transport, job.id, HoldReason(16, 0, "its input is no longer known"))
            return
        first = codec.decode(body)
        if not isinstance(first, (Submit, Recorded)):
            raise BadMessage(f"job {job.id}: a {first.kind} message where its task should be")
        again = Submit(
            schedd=self.settings.name, job=job.id, time=self.wall(), pool=job.pool,
            uid=job.uid, gid=job.gid, attempt=job.attempt + 1, ad={}, task=first.task,
        )  # fmt: skip
        transport.submit(job.pool, [codec.encode(again)])

    def _hold(self, transport: Transport, job: JobId, reason: HoldReason) -> None:
        transport.record([codec.encode(Held(self.settings.name, job, self.wall(), reason))])

    def _end_leases(self, transport: Transport) -> None:
        over = self._leases.expired(self._ledger.worked_on(), self.clock())
        for job_id, attempt, lease in over:
            self._leases.forget(job_id)
            job = self._ledger.get(job_id)
            if job is None or job.attempt != attempt:
                continue
            text = f"no news of its worker for {lease:g} s"
            events: list[JobMessage] = [
                Lost(self.settings.name, job_id, self.wall(), attempt, text)
            ]
            if job.losses + 1 >= self.settings.max_attempts:
                text = f"lost {job.losses + 1} times: {text} each time"
                hold = HoldReason(SYSTEM_POLICY, 0, text)
                events.append(Held(self.settings.name, job_id, self.wall(), hold))
            log.info("job %s attempt %d: %s", job_id, attempt, text)
            transport.record([codec.encode(event) for event in events])

    def _apply_policies(self, transport: Transport) -> None:
        now, name = self.wall(), self.settings.name
        left = []
        for job in self._ledger.with_policy():
            if job.status == COMPLETED and not policy.stays_in_queue(job.ad, now):
                leave_queue(job, now)
                left.append(job)
                continue
            verdict = policy.periodic(job.ad, job.status, now)
            event: JobMessage | None = None
            if verdict.hold is not None:
                event = Held(name, job.id, now, verdict.hold)
            elif verdict.release:
                event = Released(name, job.id, now, verdict.release)
            elif verdict.remove:
                event = Removed(name, job.id, now, verdict.remove, False)
            if event is not None:
                transport.record([codec.encode(event)])
        with self._ledger.transaction():
            for job in left:
                self._ledger.put(job)
            self._ledger.forget_before(now - HISTORY)
