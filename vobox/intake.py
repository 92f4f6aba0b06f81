"""What the commands may do to the queue; each method runs in the schedd's own thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from thyme.alike import encode_all
from thyme.errors import BadMessage, BrokerError
from thyme.job import JobId, Task
from thyme.message import JobMessage, Recorded, Submit
from thyme.transport import Transport

from . import calls
from .ledger import Ledger
from .rpc_types import PreparedJob, Request, SubmitRefused
from .schedd import Schedd

T = TypeVar("T")
#: Bytes of messages of one submit: all are in memory until the broker has them.
MAX_SUBMIT = 1024**3
#: Messages handed to the broker between two looks at what has come back of them.
LOOK_EVERY = 250
#: Messages by their bytes.
Encoded = dict[bytes, JobMessage]


class Intake:
    """``rpc_types.SubmitTarget`` for one request; ``act`` for the other commands."""

    def __init__(self, schedd: Schedd, ledger: Ledger, request: Request, address: str) -> None:
        self.schedd_name = schedd.settings.name
        self.pool = schedd.settings.pool
        self.address = address
        self._schedd = schedd
        self._ledger = ledger
        self._request = request

    def new_cluster(self) -> int:
        """The next cluster id, on the disk before it is used; raises SubmitRefused."""
        return self._schedd.call(self._new_cluster)

    def submit(self, cluster: int, jobs: Sequence[PreparedJob]) -> None:
        """Queue the jobs and return when the ledger shows them; raises SubmitRefused."""
        if jobs:
            # in this thread: ten thousand messages must not keep the schedd from its other work
            queued, recorded = self._encoded(cluster, jobs)
            last = JobId(cluster, jobs[-1].proc)
            self._schedd.call(lambda line: self._submit(line, queued, recorded, last))

    def act(self, decide: Callable[[Ledger, float], list[JobMessage]]) -> None:
        """Record the events that ``decide(ledger, now)`` gives, and settle what follows."""
        self._schedd.call(lambda transport: self._act(transport, decide))

    def look(self, read: Callable[[Ledger, float], T]) -> T:
        """What ``read(ledger, now)`` gives, in the schedd's own thread; raises SubmitRefused."""
        return self._schedd.call(lambda _line: read(self._ledger, self._schedd.wall()))

    def body(self, job: JobId, kind: str) -> bytes | None:
        """A message that the ledger keeps for a job; raises SubmitRefused."""
        return self._schedd.call(lambda _line: self._ledger.body(job, kind))

    def _new_cluster(self, _transport: Transport) -> int:
        cluster = int(self._ledger.meta("next_cluster", "1"))
        with self._ledger.transaction():
            self._ledger.set_meta("next_cluster", str(cluster + 1))
        return cluster

    def _encoded(self, cluster: int, jobs: Sequence[PreparedJob]) -> tuple[Encoded, Encoded]:
        """The messages of the jobs to run, and of those that begin held."""
        queued: Encoded = {}
        recorded: Encoded = {}
        now, leased = self._schedd.wall(), _Leased(self._schedd.settings.lease)
        messages = [self._message(cluster, each, leased.task(each.task), now) for each in jobs]
        bodies = encode_all(messages)
        size = 0
        for each, message in zip(jobs, messages, strict=True):
            try:
                body = next(bodies)
            except BadMessage as error:
                raise SubmitRefused(f"job {cluster}.{each.proc}: {error}") from error
            size += len(body)
            if size > MAX_SUBMIT:
                raise SubmitRefused(
                    f"these {len(jobs)} jobs carry their files with them, more than {MAX_SUBMIT} "
                    "bytes together; submit fewer at once, or let them fetch large files"
                )
            (queued if isinstance(message, Submit) else recorded)[body] = message
        return queued, recorded

    def _submit(
        self, transport: Transport, queued: Encoded, recorded: Encoded, last: JobId
    ) -> None:
        schedd = self._schedd
        with schedd.knowing({**queued, **recorded}):
            try:
                if recorded:
                    transport.record(list(recorded))
                if queued:
                    transport.submit(self.pool, self._reading_back(transport, list(queued)))
            except BrokerError:
                # nobody knows what the broker took of them
                schedd.refuse(last.cluster)
                raise
            self._see(transport, last)

    def _reading_back(self, transport: Transport, bodies: list[bytes]) -> Iterator[bytes]:
        """``bodies``; now and then the ledger is led on, while the broker has enough to do."""
        reading = True
        for number, body in enumerate(bodies, 1):
            yield body
            if reading and number % LOOK_EVERY == 0:
                try:
                    self._schedd.read_some(transport)
                except (sqlite3.Error, OSError):
                    # they are to be queued all the same; whoever reads next meets the failure
                    reading = False

    def _see(self, transport: Transport, last: JobId) -> None:
        """Return when the ledger shows them, or when that takes too long."""
        schedd = self._schedd
        # From here on they are queued, and that is what the answer has to say: a CE that is
        # told of an error submits them again.
        deadline = schedd.clock() + calls.TIMEOUT / 2
        try:
            schedd.settle(transport)
            while self._ledger.get(last) is None and schedd.clock() < deadline:
                transport.wait(0.1)
                schedd.settle(transport)
        except (BrokerError, sqlite3.Error, OSError) as error:
            schedd.fail_later(error)

    def _message(
        self, cluster: int, each: PreparedJob, task: Task, now: float
    ) -> Submit | Recorded:
        job, ad = JobId(cluster, each.proc), each.ad.texts()
        uid, gid = self._request.uid, self._request.gid
        if each.on_hold or each.unmatched:
            return Recorded(self.schedd_name, job, now, self.pool, uid, gid, ad, task)
        return Submit(self.schedd_name, job, now, self.pool, uid, gid, 0, ad, task)

    def _act(
        self, transport: Transport, decide: Callable[[Ledger, float], list[JobMessage]]
    ) -> None:
        events = decide(self._ledger, self._schedd.wall())
        if events:
            self._schedd.record(transport, events)


class _Leased:
    """Tasks with the schedd's lease where they name none; one task stays one object."""

    def __init__(self, lease: float) -> None:
        """``lease`` in seconds."""
        self._lease = lease
        self._last: tuple[Task, Task] | None = None

    def task(self, task: Task) -> Task:
        if task.lease:
            return task
        if self._last is None or self._last[0] is not task:
            self._last = task, replace(task, lease=self._lease)
        return self._last[1]
