"""Answers the workers' mail: claims and heartbeats.

A claim is refused only for what the ledger knows for certain, because a refused worker
acknowledges the message and it is gone. A claim of a higher attempt than the ledger's is granted:
the schedd published that attempt and has not read it back yet.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from thyme.broker import Mail, Transport
from thyme.broker.users import may_report
from thyme.errors import BadInvocation, BadMessage
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
    make_schedd_inbox_name,
)
from vobox.jobs import user_log_events
from vobox.jobs.job import ControlMessage, Job
from vobox.jobs.status import HELD, IDLE, REMOVED, RUNNING, SUSPENDED
from vobox.jobs.transitions import is_dead_lettered
from vobox.ledger.writer import Ledger

from .leases import Leases
from .slots import Slots

log = logging.getLogger(__name__)


#: Pieces of mail received at once.
MAX_MAIL = 1000


def refuse_claim(job: Job | None, claim: Claim, claimant: str) -> str:
    """Return why that worker must not start that attempt; "" if it may.

    ``claimant``: the worker that may start that attempt already. The same worker may
    ask again. Another one is refused although the first may be dead: its lease will
    expire, and then the next attempt is queued.

    A worker that is refused acknowledges the message. So nothing is refused that we
    have queued and not read back yet: a worker may be faster than the stream.
    """
    if job is None:
        return ""  # the stream no longer knows it, or not yet; the job queue does: run it
    if not job.in_queue or job.status != IDLE:
        # a dead letter that was queued again: the record of it will be read soon
        back = is_dead_lettered(job) and claim.attempt == job.attempt
        return "" if back else f"JobStatus is {job.status}"
    if claim.attempt < job.attempt or (claim.attempt == job.attempt and not job.queued):
        return f"superseded by attempt {job.attempt}"
    if claimant not in ("", claim.worker):
        return "claimed by another worker"
    return ""


#: The control action that a worker is sent again, by JobStatus.
_ACTIONS = {REMOVED: "remove", HELD: "hold", IDLE: "vacate", SUSPENDED: "suspend"}


def answer_heartbeat(job: Job, beat: Heartbeat) -> str:
    """Return the control action for a worker that runs what it should not; "" if all is well."""
    if job.attempt > beat.attempt or not job.in_queue:
        return "superseded"
    if job.worker not in ("", beat.worker):
        return "superseded"
    if job.status == RUNNING:
        # once suspended, the message to continue may have been lost; sending it twice does no harm
        return "continue" if job.ad.number("TotalSuspensions") else ""
    if job.status == IDLE and job.queued:
        return ""  # it has just started, and the record of it was not read yet
    # the first control mail may have been lost; an idle job is one held and released meanwhile
    return _ACTIONS.get(job.status, "superseded")


class WorkerMail:
    """The workers' mail of one session."""

    def __init__(
        self,
        transport: Transport,
        schedd: str,
        ledger: Ledger,
        leases: Leases,
        slots: Slots,
        clock: Callable[[], float],
        wall: Callable[[], float],
        log_event: Callable[[Job, str], None],
    ) -> None:
        """``schedd``: its name; ``clock``: monotonic, ``wall``: epoch seconds.

        ``log_event``: appends an event to the job's user log.
        """
        self._log_event = log_event
        self._transport = transport
        self._schedd = schedd
        self._ledger = ledger
        self._leases = leases
        self._slots = slots
        self._clock = clock
        self._wall = wall
        #: pieces of mail that nobody could read
        self._unreadable = 0
        #: received beside claims, and not read yet
        self._rest: list[tuple[Mail, Message]] = []
        #: correlation → what to call with the answer
        self._awaited: dict[str, Callable[[Peeked], None]] = {}

    def answer_claims(self) -> None:
        """Receive what there is and answer claims at once; the rest is for ``read_rest``.

        Workers wait for these answers with a job's message taken; nothing that is in the stream
        by then and was not read yet can make an answer wrong (see ``refuse_claim``).
        """
        claims = []
        # bounded: who sends without end must not keep the commands waiting
        for _ in range(MAX_MAIL):
            if (mail := self._transport.receive()) is None:
                break
            message = self._decode(mail)
            if isinstance(message, Claim):
                claims.append((mail, message))
            elif message is not None:
                self._rest.append((mail, message))
        self._answer(claims)

    def read_rest(self) -> None:
        """Read what came beside claims.

        To be called after the stream was read: a heartbeat of a job whose start was not read yet
        looks like one of a run that was superseded.
        """
        rest, self._rest = self._rest, []
        for mail, message in rest:
            self._read(mail, message)

    def read(self, mail: Mail) -> None:
        """Read one mail of any kind."""
        message = self._decode(mail)
        if isinstance(message, Claim):
            self._answer([(mail, message)])
        elif message is not None:
            self._read(mail, message)

    def ask(self, worker: str, peek: Peek, on_answer: Callable[[Peeked], None]) -> str:
        """Ask a worker for some of what its job has written.

        Returns a token for ``give_up``, valid until ``on_answer`` was called; "" if the worker has
        no inbox.
        """
        token = os.urandom(8).hex()
        mail = Mail(codec.encode(peek), make_schedd_inbox_name(self._schedd), token)
        if not self._transport.send(worker, mail):
            return ""
        self._awaited[token] = on_answer
        return token

    def give_up(self, token: str) -> None:
        """Ignore the answer to that question."""
        self._awaited.pop(token, None)

    def send_control(self, job: JobId, message: ControlMessage) -> None:
        """Send a control message; a worker that does not get it will miss its lease."""
        control = Control(self._schedd, job, message.attempt, message.action)
        self._transport.send_unconfirmed(message.worker, Mail(codec.encode(control)))

    def _decode(self, mail: Mail) -> Message | None:
        try:
            return codec.decode(mail.body)
        except BadMessage as error:
            self._unreadable += 1
            if self._unreadable & (self._unreadable - 1) == 0:  # the 1st, 2nd, 4th, 8th, ...
                log.warning("mail not understood (%d so far): %s", self._unreadable, error)
            return None

    def _read(self, mail: Mail, message: Message) -> None:
        if isinstance(message, Heartbeat):
            self._read_heartbeat(message)
        elif isinstance(message, Waiting):
            self._slots.record_waiting(message, self._clock())
        elif isinstance(message, Peeked) and mail.correlation in self._awaited:
            self._awaited.pop(mail.correlation)(message)

    def _answer(self, claims: Sequence[tuple[Mail, Claim]]) -> None:
        """Record the starts of all that is granted, together, and then answer the workers."""
        answers, starts = [], dict[tuple[str, Claim], Started]()
        for mail, claim in claims:
            token = mail.correlation
            again = self._leases.was_granted(token, claim)
            reason, start = ("", None) if again else self._judge(claim, mail.user)
            if start is not None:
                starts[token, claim] = start
            reply = ClaimReply(
                claim.schedd, claim.job, claim.attempt, not reason, reason,
                recorded=again or start is not None,
            )  # fmt: skip
            answers.append((mail.reply_to, Mail(codec.encode(reply), "", token)))
        if starts:
            self._transport.record([codec.encode(start) for start in starts.values()])
        for token, claim in starts:
            self._leases.remember_granted(token, claim)
        if answers:
            self._send(answers)

    def _send(self, answers: Sequence[tuple[str, Mail]]) -> None:
        try:
            self._transport.send_all_unconfirmed(answers)
        except BadInvocation:  # who asks for an answer to a place that cannot be gets none
            for inbox, mail in answers:
                try:
                    self._transport.send_unconfirmed(inbox, mail)
                except BadInvocation as error:
                    log.warning("a claim is not answered: %s", error)

    def _judge(self, claim: Claim, user: str | None) -> tuple[str, Started | None]:
        """Return why this claim is refused, "" if it is not; and the start to be recorded.

        ``user``: the broker's user who sent it.
        """
        # another schedd's job may have the number of one of ours
        job = self._ledger.get(claim.job) if claim.schedd == self._schedd else None
        if job is not None and not may_report(user, job.pool):
            return f"the job is of pool {job.pool}", None
        reason = refuse_claim(job, claim, self._leases.claimant(claim.job, claim.attempt))
        if reason:
            return reason, None
        self._slots.record_taken(claim, self._clock())
        if job is None:
            return "", None
        self._leases.record_claim(job, claim.attempt, claim.worker, self._clock())
        machine = self._slots.get_machine(claim.worker)
        start = (claim.job, self._wall(), claim.attempt, claim.worker, claim.host, machine)
        return "", Started(self._schedd, *start)

    def _read_heartbeat(self, beat: Heartbeat) -> None:
        job = self._ledger.get(beat.job)
        if job is None:
            return
        if job.worker == beat.worker:
            self._leases.renew(beat.job, self._clock())
            self._leases.live.update(beat.job, beat.usage, self._wall())
            self._slots.record_heartbeat(beat, self._clock())
            self._log_size(job, beat)
        action = answer_heartbeat(job, beat)
        if action:
            self.send_control(beat.job, ControlMessage(beat.worker, beat.attempt, action))

    def _log_size(self, job: Job, beat: Heartbeat) -> None:
        if job.status not in (RUNNING, SUSPENDED):
            return
        memory = self._leases.live.take_size_to_log(job.id, beat.usage)
        text = user_log_events.format_image_size(job.id, self._wall(), memory)
        if memory:
            self._log_event(job, text)
