"""The schedd: follows the stream, keeps the ledger, and carries out commands.

One thread owns the connection to the broker and writes the ledger; the threads
of the commands read the ledger themselves and hand everything else in through
``call``. No decision is made here that could be lost: every decision is an event
in the stream, and what it changes is changed when the event is read back
(``vobox/jobs/transitions.py``).
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from commandline.parser import describe_no_thread
from thyme.broker import Transport
from thyme.errors import BrokerError, BrokerRefused
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.ledger.schema import is_damage
from vobox.ledger.writer import Ledger
from vobox.metrics.points import ScheddNow, Tally
from vobox.rpc.connection_limit import OwnerSlots
from vobox.rpc.types import CommandRefused
from vobox.workers.slot_ads import slot_ads

from .session import Session
from .state import ScheddState, Settings
from .thread_calls import ThreadCalls
from .timers import Task

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds between checks of the leases.
LEASE_CHECK_SECONDS: Final = 0.5
#: Seconds between questions to the broker that only show that it still answers.
PROBE_SECONDS: Final = 5.0
#: Seconds between two reads of a stream that goes on: reading many records at once is cheaper, and
#: of a short job only the end is then written. No worker waits for it, and a command that changes
#: something reads at once.
RECONCILE_SECONDS: Final = 0.1
#: Seconds from one round to the next while there is much to do: claims that arrive within them
#: share one round, and the starts that are granted in it share one record.
ROUND_SECONDS: Final = 0.003
#: Seconds between two looks at what the history should forget, and while it forgets much.
TRIM_SECONDS: Final = 60.0
MORE_TO_TRIM_SECONDS: Final = 0.2
#: Seconds until the next connection is tried: after the first failure, and at most.
MIN_BACKOFF_SECONDS: Final = 0.2
MAX_BACKOFF_SECONDS: Final = 5.0


class Schedd:
    """The schedd without its sockets; ``run`` is its own thread."""

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Transport],
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``connect`` raises BrokerError; ``clock``: monotonic, ``wall``: epoch seconds."""
        self.settings = settings
        self.clock = clock
        self.wall = wall
        self._connect = connect
        self._state = ScheddState(settings, ledger, clock, wall)
        self.failed_submits = self._state.failed_submits
        #: the users whose jobs are being queued
        self.submits = OwnerSlots(1)
        self._calls = ThreadCalls()
        self._session: Session | None = None
        self._stop = False
        #: of the ledger's content, that a query found; None where there is none
        self._damage: sqlite3.Error | None = None
        #: whether the ledger was made again: damage that comes back is a fault of ours
        self._made_again = False
        #: seconds until there may be something to do, if nothing arrives
        self._idle = 0.0

    # --- from other threads -----------------------------------------------------------

    def call(self, what: Callable[[Session], T]) -> T:
        """Run ``what`` in the schedd's own thread; raises what it raises, or CommandRefused."""
        return self._calls.call(what, self._wake, self._state.health.explain_refusal)

    def live_attributes(self, job: JobId) -> Mapping[str, str]:
        """Return what the job's present run has used so far: attribute → ClassAd text."""
        return self._state.leases.live.attributes(job)

    def file_waits(self) -> Mapping[int, str]:
        """Map each uid whose files do not answer to which file that is, and since when."""
        return self._state.owner_threads.list_waits()

    def slot_ads(self, busy: Iterable[tuple[str, Ad]]) -> Iterator[Ad]:
        """Return the slots, given the workers that have a job, with the job's ad."""
        return slot_ads(self._state.slots, busy, self.settings.name, self.clock(), self.wall())

    def list_pilots(self) -> Iterator[Mapping[str, str]]:
        """Yield the ads of the pilots that are known."""
        return self._state.list_pilots()

    def count_in(self, tally: Tally) -> None:
        """Count in ``tally`` what happens to jobs from now on."""
        self._state.tally = tally

    def metrics_snapshot(self) -> ScheddNow:
        """Return how things stand, for the metrics."""
        state = self._state
        # the copy is one step for the thread that asks, whatever the loop does meanwhile
        held = None if state.held is None else Counter(list(state.held.values()))
        return ScheddNow(
            broker_ok=not self.staleness(),
            rebuilding=state.health.is_rebuilding,
            unreadable=state.stream.unreadable,
            forged=state.stream.forged,
            held=held,
            queued=state.queue_depth,
            pool=self.settings.pool,
            waiting=state.slots.list_waiting(self.clock()),
        )

    @property
    def trouble(self) -> str:
        """One line on what is wrong; "" when all is well."""
        return self._state.health.trouble

    def staleness(self) -> str:
        """Say why the ledger may be out of date, and how old it is; "" when it is current."""
        return self._state.health.describe_staleness()

    def report_query_failure(self, error: sqlite3.Error) -> None:
        """Let the ledger be made again if a query that failed has found damage in it."""
        if is_damage(error):
            self._damage = error
            self._wake()

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop = True
        self._wake()

    def _wake(self) -> None:
        if (session := self._session) is not None:
            session.transport.wake()

    # --- the schedd's own thread ------------------------------------------------------

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until ``stop``. ``on_ready`` is called each time the ledger has become current.

        Raises BrokerRefused if the broker's first answer is no, and sqlite3.Error and OSError
        where a damaged ledger cannot be replaced.
        """
        if (history := self._state.history) is not None:
            threading.Thread(target=history.run, daemon=True, name="history files").start()
        backoff = MIN_BACKOFF_SECONDS
        was_live = False
        while not self._stop:
            try:
                session = self._open_session()
                if session is None:
                    break
                on_ready()
                was_live = True
                backoff = MIN_BACKOFF_SECONDS
                while not self._stop:
                    self._step(session)
            except Exception as error:
                self._close_session()
                is_foreign = isinstance(error, (BrokerError, sqlite3.Error, OSError))
                if not is_foreign and not describe_no_thread(error):
                    # a fault of ours: what is in the ledger and the stream is as it was
                    log.exception("the schedd starts its work again")
                if isinstance(error, BrokerRefused) and not was_live:
                    raise  # waiting will not help: another schedd has our name, or no permission
                if is_damage(error) and not self._made_again:
                    log.warning("%s", error)
                    self._make_ledger_again()
                    continue
                self._state.health.report_failure(error)
                self._wait_to_reconnect(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
        self._close_session()
        self._state.health.report_end()
        self._refuse_calls()

    def _make_ledger_again(self) -> None:
        self._made_again, self._damage = True, None
        self._state.health.report_rebuild(0)
        self._state.ledger.make_again()
        self._state.ledger.check_owner(self.settings.name)

    def _open_session(self) -> Session | None:
        """Connect, and make the ledger current; None when the schedd is to stop."""
        self._session = session = Session(self._state, self._connect())
        return session if session.start(lambda: self._stop) else None

    def _close_session(self) -> None:
        session, self._session = self._session, None
        self._state.queue_depth = None
        if session is not None:
            session.transport.close()

    def _wait_to_reconnect(self, backoff: float) -> None:
        # jitter: those whom one broker's end has cut off must not all come back at once
        deadline = self.clock() + backoff * random.uniform(0.5, 1.0)  # noqa: S311
        while not self._stop and self.clock() < deadline:
            self._refuse_calls()
            time.sleep(0.05)

    def _refuse_calls(self) -> None:
        self._calls.refuse_all(self._state.health.explain_refusal())

    def _step(self, session: Session) -> None:
        """Wait for something, answer workers and commands, then do what is due."""
        if self._damage is not None and not self._made_again:
            raise self._damage
        timers = self._state.timers
        session.transport.wait(min(timers.remaining(Task.CHECK_LEASES), self._idle))
        if (early := timers.remaining(Task.ROUND)) > 0:
            time.sleep(early)
        timers.schedule(Task.ROUND, ROUND_SECONDS)
        session.mail.answer_claims()
        self._answer_calls(session)
        if timers.is_due(Task.RECONCILE):
            self._idle = session.reconciler.reconcile_step()
            session.mail.read_rest()
            if self._state.history is not None:
                self._state.history.start()
            timers.schedule(Task.RECONCILE, min(self._idle, RECONCILE_SECONDS))
        else:
            self._idle = timers.remaining(Task.RECONCILE)
        if timers.is_due(Task.CHECK_LEASES):
            timers.schedule(Task.CHECK_LEASES, LEASE_CHECK_SECONDS)
            session.reconciler.remove_failed_submits()
            session.reconciler.end_leases()
        if timers.is_due(Task.SCAN_POLICIES):
            more = session.reconciler.scan_policies()
            timers.schedule(Task.SCAN_POLICIES, 0.0 if more else self.settings.policy_interval)
        if timers.is_due(Task.TRIM_HISTORY):
            more = session.reconciler.forget_old_jobs()
            timers.schedule(Task.TRIM_HISTORY, MORE_TO_TRIM_SECONDS if more else TRIM_SECONDS)
        if timers.is_due(Task.PROBE):
            self._probe(session)

    def _answer_calls(self, session: Session) -> None:
        health = self._state.health
        for what, answer in self._calls.take_waiting():
            began = self.clock()
            try:
                with health.carrying_out_command():
                    answer.set_result(what(session))
            except (BrokerError, sqlite3.Error, OSError) as error:
                # first, so that a command that comes now is told as well
                health.report_failure(error)
                answer.set_exception(CommandRefused(self.trouble))
                raise
            except Exception as error:
                answer.set_exception(error)
            if session.failure is not None:
                raise session.failure
            if self.clock() - began > PROBE_SECONDS:  # before the ledger is taken for out of date
                self._probe(session)

    def _probe(self, session: Session) -> None:
        session.probe()
        self._state.timers.schedule(Task.PROBE, PROBE_SECONDS)
