"""One connection to the broker, and what the schedd does over it.

A connection that failed is of no more use: the schedd then makes another session.
What has to survive that is in the ledger or in ``ScheddState``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from thyme.broker import Transport
from thyme.protocol import codec
from thyme.protocol.events import JobMessage, share_events
from vobox.workers.mail import WorkerMail

from .reconciler import Reconciler
from .state import ScheddState
from .stream_reader import StreamReader
from .timers import Task

#: Seconds for which what follows from events can wait for the next ones of the same command.
MORE_SECONDS = 0.5
#: Seconds to wait for our own records to be read back from the stream.
READ_BACK_SECONDS = 15.0
#: Events that are encoded and recorded at once.
RECORD_SLICE = 1000


class Session:
    """A connection with its stream reader, its workers' mail and its reconciler."""

    def __init__(self, state: ScheddState, transport: Transport) -> None:
        self.transport = transport
        self.reader = StreamReader(state, transport)
        self.mail = WorkerMail(
            transport, state.settings.name, state.ledger, state.leases, state.slots,
            state.clock, state.wall, partial(state.user_logs.append, once=False),
            self.reader,
        )  # fmt: skip
        self.reconciler = Reconciler(state, transport, self.reader, self.mail)
        #: the error for which this session is to be ended
        self.failure: Exception | None = None
        self.state = state

    def start(self, is_stopping: Callable[[], bool]) -> bool:
        """Read the stream up to a marker of our own: then the ledger is current.

        Returns False if ``is_stopping`` became true before that.
        """
        state, transport = self.state, self.transport
        pool = state.settings.pool
        transport.declare_topology(state.settings.lanes.list_queues(pool))
        state.former_connection.open_inbox(transport, (pool,), is_stopping)
        self.reader.check_same_stream()
        token = self.reader.record_marker()
        starting = state.health.is_starting or state.health.is_rebuilding
        while self.reader.last_marker != token:
            if is_stopping():
                return False
            if starting:
                state.health.report_rebuild(state.stream.records)
            self.mail.put_off_claims()
            if not self.reader.catch_up(replaying=True):
                transport.wait(1.0)
        self.finish_replay()
        state.ledger.delete_damaged()
        state.health.report_well()
        return True

    def finish_replay(self) -> None:
        """Do what was left for the end of a replay."""
        state = self.state
        state.leases.renew_all(state.ledger.list_worked_on(), state.clock())
        state.queue_watch.reset()
        state.lane_watch.reset()
        if state.ledger.read_meta("queue_again", ""):
            self.reconciler.queue_all_again()
        for reason, job in self.reader.finish_replay():
            self.reconciler.hold(job, reason)
        while self.reconciler.forget_old_jobs():  # of which the stream may tell for longer
            pass
        if state.history is not None:
            state.history.complete()
        self.reconciler.remove_failed_submits()
        self.reconciler.reconcile_all()

    def probe(self) -> None:
        """Ask the broker something: the answer shows that it is there."""
        settings = self.state.settings
        queues = settings.lanes.list_queues(settings.pool)
        self.state.queue_depth = sum(self.transport.count_ready(queue) for queue in queues)
        self.state.health.report_answer()

    def fail_later(self, error: Exception) -> None:
        """End the session once the present command has its answer: it was carried out."""
        self.state.health.report_failure(error)
        self.failure = error

    def record(self, events: Sequence[JobMessage], more: bool = False) -> None:
        """Record events, and return when the ledger has them, or when that takes too long.

        ``more``: others will come soon, and what follows from these can wait for them. The broker
        confirms a record before it hands it to those who read the stream.
        """
        if not events:
            return
        for start in range(0, len(events), RECORD_SLICE):  # one command may be of all jobs
            shared = share_events(events[start : start + RECORD_SLICE])
            bodies = [codec.encode(event) for event in shared]
            self.transport.record(bodies)
        self.reader.note_recorded(events)
        self.reconcile_until(lambda: not self.reader.is_unread(events[-1].job))
        if more:
            self.state.timers.schedule(Task.RECONCILE, MORE_SECONDS)

    def reconcile_until(self, is_done: Callable[[], bool]) -> None:
        """Read the stream and do what follows until ``is_done``, or until that takes too long."""
        deadline = self.state.clock() + READ_BACK_SECONDS
        while True:
            self.reconciler.read_stream()
            if is_done() or self.state.clock() >= deadline:
                break
            self.transport.wait(0.1)
        # what else follows need not be waited for
        self.state.timers.schedule(Task.RECONCILE, 0.0)
