"""Ask workers for what running jobs have written."""

from __future__ import annotations

import queue
from collections.abc import Callable

from thyme.protocol.job import JobId
from thyme.protocol.mail import Peek, Peeked
from vobox.jobs.job import Job
from vobox.ledger.writer import Ledger
from vobox.rpc.types import CommandRefused
from vobox.schedd.main_loop import Schedd
from vobox.schedd.session import Session

from .tail import CannotPeek, check_job

#: Seconds that a worker has for its answer: it looks at its mail within a second.
TIMEOUT = 20.0


class Peeker:
    """Asks workers on behalf of one user."""

    def __init__(self, schedd: Schedd, ledger: Ledger, uid: int, user: str) -> None:
        self._schedd = schedd
        self._ledger = ledger
        self._uid = uid
        self._user = user

    def ask(self, job_id: JobId, question: Callable[[Job], Peek]) -> Peeked:
        """Return the worker's answer; raises CannotPeek.

        :param question: builds the message to the job's worker
        """
        answers: queue.SimpleQueue[Peeked] = queue.SimpleQueue()

        def send(session: Session) -> tuple[str, str]:
            job = check_job(self._ledger.get(job_id), job_id, self._uid, self._user)
            token = session.mail.ask(job.worker, question(job), answers.put)
            return token, job.ad.text("RemoteHost")

        try:
            token, host = self._schedd.call(send)
            if not token:
                raise CannotPeek(f"Failed to peek at file from starter: {host} is not there")
            try:
                return answers.get(timeout=TIMEOUT)
            except queue.Empty:
                self._schedd.call(lambda session: session.mail.give_up(token))
                text = f"no answer from {host} in {TIMEOUT:g} s"
                raise CannotPeek(f"Failed to peek at file from starter: {text}") from None
        except CommandRefused as error:
            raise CannotPeek(f"Failed to connect to schedd: {error}") from error
