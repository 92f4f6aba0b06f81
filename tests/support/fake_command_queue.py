"""A job queue in memory for tests of the commands that change jobs."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

from tests.support.schedd_parts import NOW, SCHEDD, Events, Expression, ScheddHarness, Value
from thyme.protocol.events import JobMessage, share_events
from thyme.protocol.job import JobId
from vobox.classad.cost import EvaluationLimit, TooSlow
from vobox.commands import act as act_command
from vobox.commands import prio, qedit, transfer_data, vacate
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, CommandRefused, QueueView, Request

T = TypeVar("T")
ALICE, BOB = 1001, 1002
EDITS = {
    "condor_qedit": qedit.answer,
    "condor_prio": prio.answer,
    "condor_transfer_data": transfer_data.answer,
    "condor_vacate": vacate.answer,
}


class Queue:
    """``CommandGateway`` for these commands: acts on the ledger at once, as the schedd does."""

    schedd_name = SCHEDD
    address = "</run/thyme/schedd.sock>"

    def __init__(self, bench: ScheddHarness) -> None:
        self.bench = bench
        self.limit = EvaluationLimit()
        self.down = ""

    def act(self, decide: Callable[[Ledger, float], tuple[T, list[JobMessage]]]) -> T:
        if self.down:
            raise CommandRefused(self.down)
        answer, events = decide(self.bench.ledger, NOW + 5000)
        self.bench.record(*share_events(events))
        return answer

    def look(self, read: Callable[[Ledger, float], T]) -> T:
        return read(self.bench.ledger, NOW + 5000)

    def body(self, job: JobId, kind: str) -> bytes | None:
        return self.bench.ledger.read_body(job, kind)

    def search(self, find: Callable[[QueueView, float], T]) -> T:
        view = LedgerSnapshot(self.bench.ledger.path, SCHEDD, self.address, "")
        with contextlib.closing(view):
            try:
                return find(view, NOW + 5000)
            except TooSlow as error:
                raise CommandRefused(str(error)) from error

    def add(
        self,
        *ids: str,
        uid: int = ALICE,
        owner: str = "alice",
        keep: bool = False,
        **more: Value | Expression,
    ) -> None:
        """Submit jobs; ``more``: attributes of their ads."""
        for each in ids:
            attributes = {"Owner": owner, "LeaveJobInQueue": keep, **more}
            e = Events(JobId.parse(each), attributes=attributes, uid=uid, gid=uid)
            self.bench.submit(e.submit())

    def run(self, *argv: str, uid: int = ALICE, user: str = "alice") -> Answer:
        command, *rest = argv
        request = Request(command, rest, "/", {}, uid, uid, user, charge=self.limit.meter(uid))
        answer = EDITS.get(command, act_command.answer)
        return answer(request, self)  # type: ignore[arg-type]

    def states(self) -> dict[str, int]:
        return {str(job.id): job.status for job in self.bench.ledger._read_jobs("1=1")}

    def reason(self, job: str, attribute: str) -> str:
        return self.bench.job(JobId.parse(job)).ad.text(attribute)

    def start(self, job: str, worker: str = "w1") -> None:
        """Let a worker on the node of its own name take the job."""
        self.bench.record(Events(JobId.parse(job)).started(worker))
