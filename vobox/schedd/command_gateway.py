"""What the condor commands may do to the queue: submit jobs, record events, read the ledger."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple, TypeVar

from thyme.errors import BadMessage, BrokerError
from thyme.protocol import codec
from thyme.protocol.blobs import Deflated
from thyme.protocol.events import JobMessage, Recorded, Submit
from thyme.protocol.job import JobId, make_life
from vobox.classad.cost import TooSlow
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.writer import Ledger
from vobox.rpc.types import CommandRefused, PreparedJob, QueueView, Request

from .main_loop import Schedd
from .session import Session
from .stream_reader import pause_gc

T = TypeVar("T")
#: Events of one command that are recorded before other commands have their turn: mostly one record
#: of the stream, and less than a tenth of a second.
SLICE_EVENTS: Final = 1000
#: Jobs, and bytes of their messages, of one submit that are queued before other commands have
#: their turn: an eighth of a second for so many small ones.
SLICE_JOBS: Final = 500
SLICE_BYTES: Final = 32 * 1024 * 1024
#: Bytes of the messages of one submit.
MAX_SUBMIT_BYTES: Final = 1024**3
#: Bytes of the messages of one submit that are in memory until they are queued. The others are
#: made again then, from files that the jobs share.
KEPT_BYTES: Final = 64 * 1024 * 1024


class _Message(NamedTuple):
    """The message of one job of a submit."""

    queue: str  #: "": it is only recorded
    job: JobId
    size: int  #: bytes
    make: Callable[[], bytes]  #: returns it


class CommandGateway:
    """``vobox.rpc.types.SubmitTarget`` for one request; ``act`` for the other commands.

    Called in the thread of the command's connection; every method raises CommandRefused where
    the schedd cannot carry it out now.
    """

    def __init__(self, schedd: Schedd, ledger: Ledger, request: Request, address: str) -> None:
        self.schedd_name = schedd.settings.name
        self.pool = schedd.settings.pool
        self.max_jobs = schedd.settings.max_jobs_per_submission
        self.address = address
        self._schedd = schedd
        self._ledger = ledger
        self._request = request

    def list_pilots(self) -> Iterator[Mapping[str, str]]:
        """Yield the ads of the pilots that are known."""
        return self._schedd.list_pilots()

    def new_cluster(self) -> int:
        """Return the next cluster id, which is on the disk before it is used."""
        return self._schedd.call(self._new_cluster)

    def submit(self, cluster: int, jobs: Sequence[PreparedJob]) -> None:
        """Queue the jobs, all or none, and return when the ledger shows them."""
        if jobs:
            # one submit of a user at a time: his others would fill the memory with their messages
            with self._schedd.submits.hold(self._request.uid):
                # in this thread: the schedd has other work than to make ten thousand messages
                self._publish(cluster, self._make_messages(cluster, jobs))

    def act(self, decide: Callable[[Ledger, float], tuple[T, list[JobMessage]]]) -> T:
        """Record the events that ``decide(ledger, now)`` returns, and return its answer.

        Other commands are answered between ``SLICE_EVENTS`` and the next: a command may be of all
        jobs.
        """

        def begin(session: Session) -> tuple[T, list[JobMessage]]:
            with pause_gc():
                answer, events = decide(self._ledger, self._schedd.wall())
            session.record(events[:SLICE_EVENTS], more=len(events) > SLICE_EVENTS)
            return answer, events[SLICE_EVENTS:]

        answer, rest = self._schedd.call(begin)
        for start in range(0, len(rest), SLICE_EVENTS):
            events = rest[start : start + SLICE_EVENTS]
            more = start + SLICE_EVENTS < len(rest)
            self._schedd.call(partial(Session.record, events=events, more=more))
        return answer

    def look(self, read: Callable[[Ledger, float], T]) -> T:
        """Return what ``read(ledger, now)`` returns in the schedd's own thread."""
        return self._schedd.call(lambda _session: read(self._ledger, self._schedd.wall()))

    def search(self, find: Callable[[QueueView, float], T]) -> T:
        """Return what ``find(view, now)`` returns in this thread, with ``now`` in epoch seconds.

        Expressions of a user are evaluated here: they may take their time.
        """
        self._schedd.call(lambda _session: None)  # once it is ready, the ledger lacks no job
        try:
            address = self.address
            view = LedgerSnapshot(self._ledger.path, self.schedd_name, address, "")
            with contextlib.closing(view):
                return find(view, self._schedd.wall())
        except TooSlow as error:
            raise CommandRefused(str(error)) from error
        except sqlite3.Error as error:
            self._schedd.report_query_failure(error)
            raise CommandRefused(f"ledger {self._ledger.path}: {error}") from error

    def body(self, job: JobId, kind: str) -> bytes | None:
        """Return a message that the ledger keeps for a job."""
        return self._schedd.call(lambda _session: self._ledger.read_body(job, kind))

    def _new_cluster(self, session: Session) -> int:
        # the jobs of an owner who may have no more need not be made
        session.state.owner_limits.check(self._request.user, 1, 0)
        cluster = int(self._ledger.read_meta("next_cluster", "1"))
        with self._ledger.transaction():
            self._ledger.write_meta("next_cluster", str(cluster + 1))
        return cluster

    def _make_messages(self, cluster: int, jobs: Sequence[PreparedJob]) -> list[_Message]:
        """Make the messages of the jobs.

        Raises CommandRefused for a job that no message can carry, and for too many bytes.
        """
        name, now, lease = self.schedd_name, self._schedd.wall(), self._schedd.settings.lease
        uid, gid = self._request.uid, self._request.gid
        lanes = self._schedd.settings.lanes
        life = make_life()
        deflated: Deflated = {}  # jobs of a cluster share their files
        made: list[_Message] = []
        size = 0
        for each in jobs:
            job, ad = JobId(cluster, each.proc), each.ad.texts()
            pool = self.pool if each.is_recorded else lanes.choose_queue(self.pool, each.ad)
            task = each.task if each.task.lease else replace(each.task, lease=lease)
            message = (
                Recorded(name, job, now, pool, uid, gid, ad, task, life=life)
                if each.is_recorded
                else Submit(name, job, now, pool, uid, gid, 0, ad, task, life=life)
            )
            make = partial(codec.encode, message, deflated)
            try:
                body = make()
            except BadMessage as error:
                raise CommandRefused(f"job {job}: {error}") from error
            size += len(body)
            if size > MAX_SUBMIT_BYTES:
                raise CommandRefused(
                    f"these {len(jobs)} jobs carry their files with them, more than "
                    f"{MAX_SUBMIT_BYTES} bytes together; submit fewer at once, or let them fetch "
                    "large files"
                )
            queue = "" if each.is_recorded else pool
            if size <= KEPT_BYTES:
                make = partial(bytes, body)
            made.append(_Message(queue, job, len(body), make))
        return made

    def _publish(self, cluster: int, messages: Sequence[_Message]) -> None:
        """Queue the jobs in slices, between which the schedd does its other work.

        Until all are queued, whatever ends this lets those that are be removed.
        """
        slices = list(_slice(messages))
        size = sum(message.size for message in messages)
        try:
            for number, part in enumerate(slices, 1):
                bodies = [message.make() for message in part]

                def publish(
                    session: Session,
                    number: int = number,
                    part: Sequence[_Message] = part,
                    bodies: Sequence[bytes] = bodies,
                ) -> None:
                    limits = session.state.owner_limits
                    if number == 1:
                        limits.check(self._request.user, len(messages), size)
                        if len(messages) > 1:
                            session.state.failed_submits.begin(cluster)
                    self._publish_slice(session, part[0].queue, cluster, bodies)
                    if number == len(slices):
                        limits.add(self._request.user, size)
                        session.state.failed_submits.complete(cluster)
                        self._read_back(session, part[-1].job)

                self._schedd.call(publish)
                if self._request.caller is not None:
                    # the jobs are queued whether the client still waits or not
                    with contextlib.suppress(CommandRefused):
                        self._request.caller.keep_waiting()
        finally:
            self._schedd.failed_submits.give_up(cluster)

    def _publish_slice(
        self, session: Session, queue: str, cluster: int, bodies: Sequence[bytes]
    ) -> None:
        try:
            if queue:
                session.transport.submit(queue, bodies)
            else:
                session.transport.record(bodies)
        except BrokerError:
            # it is not known which of them the broker took
            session.state.failed_submits.add(cluster)
            raise

    def _read_back(self, session: Session, last: JobId) -> None:
        # From here on they are queued, and that is what the answer has to say: a CE that is
        # told of an error submits them again.
        try:
            session.reconcile_until(lambda: self._ledger.get(last) is not None)
        except (BrokerError, sqlite3.Error, OSError) as error:
            session.fail_later(error)


def _slice(messages: Sequence[_Message]) -> Iterator[Sequence[_Message]]:
    """Yield the next messages of one queue, as many as may be published at once."""
    by_queue: dict[str, list[_Message]] = {}
    for message in messages:
        by_queue.setdefault(message.queue, []).append(message)
    for batch in by_queue.values():
        part, size = list[_Message](), 0
        for message in batch:
            if part and (len(part) == SLICE_JOBS or size + message.size > SLICE_BYTES):
                yield part
                part, size = [], 0
            part.append(message)
            size += message.size
        yield part
