"""What the commands may do to the queue; each method runs in the schedd's own thread.

A CE that sees an error submits again, so condor_submit fails only for jobs that were not queued.
The cluster id is written to disk first: a full disk refuses before anything is published. Once
the broker has confirmed, the answer is success, even if the ledger cannot be written at that
moment; condor_q then says that it is out of date.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from thyme.broker import Transport
from thyme.errors import BrokerError
from thyme.protocol.events import JobMessage, Recorded, Submit
from thyme.protocol.job import JobId, Task
from vobox.ledger.writer import Ledger
from vobox.rpc.types import PreparedJob, Request, SubmitRefused

from . import thread_calls
from .main_loop import Schedd
from .submit_batch import SubmitBatch

T = TypeVar("T")
#: Messages handed to the broker between two looks at what has come back of them.
LOOK_EVERY = 250


class CommandGateway:
    """``vobox.rpc.types.SubmitTarget`` for one request; ``act`` for the other commands."""

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
            # in this thread: ten thousand checks must not keep the schedd from its other work
            outgoing = self._outgoing(cluster, jobs)
            last = JobId(cluster, jobs[-1].proc)
            self._schedd.call(lambda line: self._submit(line, outgoing, last))

    def act(self, decide: Callable[[Ledger, float], tuple[T, list[JobMessage]]]) -> T:
        """Record the events that ``decide(ledger, now)`` gives, and return its answer.

        Raises SubmitRefused.
        """
        return self._schedd.call(lambda transport: self._act(transport, decide))

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

    def _outgoing(self, cluster: int, jobs: Sequence[PreparedJob]) -> SubmitBatch:
        name, now = self.schedd_name, self._schedd.wall()
        pool, uid, gid = self.pool, self._request.uid, self._request.gid

        def message(each: PreparedJob, task: Task) -> Submit | Recorded:
            job, ad = JobId(cluster, each.proc), each.ad.texts()
            if each.is_recorded:
                return Recorded(name, job, now, pool, uid, gid, ad, task)
            return Submit(name, job, now, pool, uid, gid, 0, ad, task)

        return SubmitBatch(cluster, jobs, message, self._schedd.settings.lease)

    def _submit(self, transport: Transport, outgoing: SubmitBatch, last: JobId) -> None:
        schedd = self._schedd
        with schedd.knowing(outgoing.published):
            try:
                if outgoing.recorded:
                    transport.record(list(outgoing.bodies(outgoing.recorded)))
                if outgoing.queued:
                    bodies = outgoing.bodies(outgoing.queued)
                    transport.submit(self.pool, self._reading_back(transport, bodies))
            except (BrokerError, SubmitRefused):
                # nobody knows what the broker took of them
                schedd.refuse(last.cluster)
                raise
            self._see(transport, last)

    def _reading_back(self, transport: Transport, bodies: Iterable[bytes]) -> Iterator[bytes]:
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
        deadline = schedd.clock() + thread_calls.TIMEOUT / 2
        try:
            schedd.settle(transport)
            while self._ledger.get(last) is None and schedd.clock() < deadline:
                transport.wait(0.1)
                schedd.settle(transport)
        except (BrokerError, sqlite3.Error, OSError) as error:
            schedd.fail_later(error)

    def _act(
        self, transport: Transport, decide: Callable[[Ledger, float], tuple[T, list[JobMessage]]]
    ) -> T:
        answer, events = decide(self._ledger, self._schedd.wall())
        if events:
            self._schedd.record(transport, events)
        return answer
