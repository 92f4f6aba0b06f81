"""Answers the workers' mail: claims and heartbeats.

A claim is refused only for what the ledger knows for certain, because a refused worker
acknowledges the message and it is gone. A claim of a higher attempt than the ledger's is granted:
the schedd published that attempt and has not read it back yet.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

from thyme.broker import Mail, Transport
from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import Message, Started
from thyme.protocol.job import JobId
from thyme.protocol.mail import (
    Claim,
    ClaimReply,
    Control,
    Heartbeat,
    Peek,
    Peeked,
    Waiting,
    schedd_inbox,
)
from vobox.files import output
from vobox.jobs import user_log_events
from vobox.jobs.job import ControlMessage, Job
from vobox.jobs.status import HELD, IDLE, REMOVED, RUNNING, SUSPENDED
from vobox.jobs.transitions import is_dead_lettered
from vobox.ledger.writer import Ledger

from .leases import Leases
from .slots import Slots
from .unread_events import Spoken

log = logging.getLogger(__name__)

#: Granted claims that are remembered: who asks again with the same token is told the same.
_GRANTED = 10_000


def refusal(job: Job | None, claim: Claim, claimant: str) -> str:
    """Why that worker must not start that attempt; "" for go on.

    ``claimant``: who was told to start that attempt before. The same worker may
    ask again. Another one is refused although the first may be dead: its lease
    tells, and then the next attempt is queued.

    Whoever is refused throws the message away. So nothing is refused that we
    have queued and not read back yet: a worker may be faster than the stream.
    """
    if job is None:
        return ""  # the stream no longer knows it, or not yet; the queue does: run it
    if not job.in_queue or job.status != IDLE:
        # a dead letter that was queued again: the word of it is on its way
        back = is_dead_lettered(job) and claim.attempt == job.attempt
        return "" if back else f"JobStatus is {job.status}"
    if claim.attempt < job.attempt or (claim.attempt == job.attempt and not job.queued):
        return f"superseded by attempt {job.attempt}"
    if claimant not in ("", claim.worker):
        return f"claimed by {claimant}"
    return ""


#: What a worker is told again, by JobStatus.
_AGAIN = {REMOVED: "remove", HELD: "hold", IDLE: "vacate", SUSPENDED: "suspend"}


def reply_to_heartbeat(job: Job, beat: Heartbeat) -> str:
    """The control action for a worker that runs what it should not; "" when all is well."""
    if job.attempt > beat.attempt or not job.in_queue:
        return "superseded"
    if job.worker not in ("", beat.worker):
        return "superseded"
    if job.status == RUNNING:
        # once suspended, the word to go on may have been lost; saying it twice does no harm
        return "continue" if job.ad.number("TotalSuspensions") else ""
    if job.status == IDLE and job.queued:
        return ""  # it has just started, and the word of it was not read yet
    # the first control mail may have been lost; an idle job is one held and released meanwhile
    return _AGAIN.get(job.status, "superseded")


class WorkerMail:
    def __init__(
        self,
        schedd: str,
        ledger: Ledger,
        leases: Leases,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
        spoken: Spoken | None = None,
    ) -> None:
        """``spoken``: records the starts."""
        self._spoken = spoken or Spoken()
        self._schedd = schedd
        self._ledger = ledger
        self._leases = leases
        self._clock = clock
        self._wall = wall
        self.slots = Slots()
        self._rest: list[tuple[Mail, Message]] = []
        #: granted claims whose start is recorded, with their tokens, the oldest first
        self._granted: dict[tuple[str, Claim], None] = {}
        #: correlation → who waits for that answer
        self._awaited: dict[str, Callable[[Peeked], None]] = {}

    def answer_claims(self, transport: Transport) -> None:
        """Receive what there is and answer claims at once; the rest is for ``read_rest``.

        Workers wait for these answers with a job in their hands; nothing that is in the stream
        by then and was not read yet can make an answer wrong (see ``refusal``).
        """
        claims = []
        while (mail := transport.receive()) is not None:
            message = self._message(mail)
            if isinstance(message, Claim):
                claims.append((mail, message))
            elif message is not None:
                self._rest.append((mail, message))
        self._answer(transport, claims)

    def read_rest(self, transport: Transport) -> None:
        """Read what came beside claims. After the stream: a heartbeat of a job whose start was
        not read yet looks like a ghost's."""
        rest, self._rest = self._rest, []
        for mail, message in rest:
            self._read(transport, mail, message)

    def read(self, transport: Transport, mail: Mail) -> None:
        """Read one mail, whatever it is."""
        message = self._message(mail)
        if isinstance(message, Claim):
            self._answer(transport, [(mail, message)])
        elif message is not None:
            self._read(transport, mail, message)

    def _message(self, mail: Mail) -> Message | None:
        try:
            return codec.decode(mail.body)
        except BadMessage as error:
            log.warning("mail not understood: %s", error)
            return None

    def _read(self, transport: Transport, mail: Mail, message: Message) -> None:
        if isinstance(message, Heartbeat):
            self._heartbeat(transport, message)
        elif isinstance(message, Waiting):
            self.slots.waits(message, self._clock())
        elif isinstance(message, Peeked) and mail.correlation in self._awaited:
            self._awaited.pop(mail.correlation)(message)

    def ask(
        self, transport: Transport, worker: str, peek: Peek, answered: Callable[[Peeked], None]
    ) -> str:
        """Send ``peek``; its token until ``answered`` was called, "" if nobody is there."""
        token = os.urandom(8).hex()
        mail = Mail(codec.encode(peek), schedd_inbox(self._schedd), token)
        if not transport.send(worker, mail):
            return ""
        self._awaited[token] = answered
        return token

    def give_up(self, token: str) -> None:
        """The answer is not wanted any more."""
        self._awaited.pop(token, None)

    def tell(self, transport: Transport, job: JobId, tell: ControlMessage) -> None:
        """Send control mail; the worker may be gone, its lease then tells."""
        control = Control(self._schedd, job, tell.attempt, tell.action)
        transport.send_unconfirmed(tell.worker, Mail(codec.encode(control)))

    def _answer(self, transport: Transport, claims: Sequence[tuple[Mail, Claim]]) -> None:
        """Record the starts of all that is granted, in one go, and then say so to the workers."""
        answers, starts = [], dict[tuple[str, Claim], Started]()
        for mail, claim in claims:
            asked = (mail.correlation, claim)
            again = asked in self._granted
            reason, start = ("", None) if again else self._judged(claim)
            if start is not None:
                starts[asked] = start
            verdict = ClaimReply(
                claim.schedd, claim.job, claim.attempt, not reason, reason,
                recorded=again or start is not None,
            )  # fmt: skip
            answers.append((mail.reply_to, Mail(codec.encode(verdict), "", mail.correlation)))
        self._spoken.record(transport, list(starts.values()))
        self._granted.update(dict.fromkeys(starts))
        while len(self._granted) > _GRANTED:
            del self._granted[next(iter(self._granted))]
        if answers:
            transport.send_all_unconfirmed(answers)

    def _judged(self, claim: Claim) -> tuple[str, Started | None]:
        """Why this claim is refused, "" if it is not; and the start that is to be recorded."""
        # another schedd's job may have the number of one of ours
        job = self._ledger.get(claim.job) if claim.schedd == self._schedd else None
        reason = refusal(job, claim, self._leases.claimant(claim.job, claim.attempt))
        if reason:
            return reason, None
        self.slots.taken(claim.worker, self._clock())
        if job is None:
            return "", None
        self._leases.claim(job, claim.attempt, claim.worker, self._clock())
        start = (claim.job, self._wall(), claim.attempt, claim.worker, claim.host)
        return "", Started(self._schedd, *start)

    def _log_size(self, job: Job, beat: Heartbeat) -> None:
        if job.status not in (RUNNING, SUSPENDED):
            return
        memory = self._leases.live.take_size_to_log(job.id, beat.usage)
        text = user_log_events.format_image_size(job.id, self._wall(), memory)
        if memory and (failed := output.write_log(job, text, once=False)):
            log.warning("job %s: %s", job.id, failed.text)  # not worth a hold

    def _heartbeat(self, transport: Transport, beat: Heartbeat) -> None:
        job = self._ledger.get(beat.job)
        if job is None:
            return
        if job.worker == beat.worker:
            self._leases.heard(beat.job, self._clock())
            self._leases.live.update(beat.job, beat.usage, self._wall())
            self.slots.works(beat, self._clock())
            self._log_size(job, beat)
        action = reply_to_heartbeat(job, beat)
        if action:
            self.tell(transport, beat.job, ControlMessage(beat.worker, beat.attempt, action))
