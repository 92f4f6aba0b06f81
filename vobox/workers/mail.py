"""Answers the workers' mail: claims and heartbeats.

The schedd alone records that a job starts, before it says yes to the claim. A refused worker
acknowledges the message, and it is gone: so a claim is answered from a ledger that is current.
A claim that was made before, or is for a job of which something was recorded and not read back, is
judged after the stream was read to its end; where that cannot be done, the answer is "wait". That
costs a record in the stream, so it is done a few times a second at most, for all such claims that
have come meanwhile: a worker that repeats its claim without end does not fill the stream.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from thyme.broker import Mail, Transport
from thyme.broker.users import may_report
from thyme.errors import BadInvocation, BadMessage, is_worth_a_line
from thyme.protocol import codec
from thyme.protocol.events import JobMessage, Message, Started
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
from vobox.jobs.transitions import may_start
from vobox.ledger.writer import Ledger

from .leases import Leases
from .slots import Slots

log = logging.getLogger(__name__)


#: Pieces of mail received at once, and claims that wait for the stream to be read.
MAX_MAIL = 1000
#: Seconds from one reading of the stream to its end, for claims, to the next. The main loop comes
#: round more often than a worker's patience ends.
READING_SECONDS: Final = 0.25


def refuse_claim(job: Job | None, claim: Claim) -> str:
    """Return why that worker must not start that attempt; "" if it may, or has started it.

    ``job``: as the ledger has it when the stream was read.
    """
    if job is None:
        return "no such job"
    if job.life != claim.life:
        return "another job has its number"
    if runs_already(job, claim):
        return ""
    if not job.in_queue or job.status != IDLE:
        return f"JobStatus is {job.status}"
    if not may_start(job, claim.attempt):
        return f"superseded by attempt {job.attempt}"
    return ""


def runs_already(job: Job, claim: Claim) -> bool:
    """Return whether this start was recorded for this worker, which did not hear the answer."""
    return (
        job.worker == claim.worker
        and job.attempt == claim.attempt
        and job.status in (RUNNING, SUSPENDED)
    )


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


class EventStream(Protocol):
    """What fills the ledger from the stream."""

    def read_to_end(self) -> bool:
        """Read all that is recorded by now; False where that cannot be done in a moment."""

    def note_recorded(self, events: Sequence[JobMessage]) -> None:
        """Remember that the ledger lacks these until they are read back."""

    def is_unread(self, job: JobId) -> bool:
        """Return whether the ledger lacks something that this schedd has recorded of the job."""


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
        stream: EventStream,
    ) -> None:
        """``schedd``: its name; ``clock``: monotonic, ``wall``: epoch seconds.

        ``log_event``: appends an event to the job's user log; ``stream``: fills the ledger.
        """
        self._log_event = log_event
        self._transport = transport
        self._schedd = schedd
        self._ledger = ledger
        self._leases = leases
        self._slots = slots
        self._clock = clock
        self._wall = wall
        self._stream = stream
        #: pieces of mail that nobody could read
        self._unreadable = 0
        #: mail that would go where nothing can be sent
        self._unanswerable = 0
        #: inbox and correlation, which a worker repeats → a claim that waits for the stream
        self._put_off: dict[tuple[str, str], tuple[Mail, Claim]] = {}
        #: when the stream may be read for claims again, by ``clock``
        self._next_reading = -math.inf
        #: received beside claims, and not read yet
        self._rest: list[tuple[Mail, Message]] = []
        #: correlation → what to call with the answer
        self._awaited: dict[str, Callable[[Peeked], None]] = {}

    def answer_claims(self) -> bool:
        """Receive what there is and answer claims at once; the rest is for ``read_rest``.

        Returns whether all was received that was there.
        """
        claims, all_received = self._receive()
        self._answer(claims)
        return all_received

    def put_off_claims(self) -> None:
        """Receive what there is; tell those who claim to wait, as the ledger is not current."""
        claims, _all_received = self._receive()
        self._send([self._make_reply(*each, "the ledger is being read", True) for each in claims])
        for mail, message in self._rest:
            if not isinstance(message, Heartbeat):  # leases begin again when the ledger is current
                self._read(mail, message)
        self._rest.clear()

    def _receive(self) -> tuple[list[tuple[Mail, Claim]], bool]:
        claims: list[tuple[Mail, Claim]] = []
        # bounded: who sends without end must not keep the commands waiting
        for _ in range(MAX_MAIL):
            if (mail := self._transport.receive()) is None:
                return claims, True
            message = self._decode(mail)
            if isinstance(message, Claim):
                claims.append((mail, message))
            elif message is not None:
                self._rest.append((mail, message))
        return claims, False

    def read_rest(self) -> None:
        """Read what came beside claims.

        To be called after the stream was read: a heartbeat of a job whose start was not read yet
        looks like one of a run that was superseded.
        """
        rest, self._rest = self._rest, []
        for mail, message in rest:
            self._read(mail, message)

    def ask(self, worker: str, peek: Peek, on_answer: Callable[[Peeked], None]) -> str:
        """Ask a worker for some of what its job has written.

        Returns a token for ``give_up``, valid until ``on_answer`` was called; "" if the worker has
        no inbox.
        """
        token = os.urandom(8).hex()
        mail = Mail(codec.encode(peek), make_schedd_inbox_name(self._schedd), token)
        try:
            if not self._transport.send(worker, mail):
                return ""
        except BadInvocation:  # its name is no inbox's
            return ""
        self._awaited[token] = on_answer
        return token

    def give_up(self, token: str) -> None:
        """Ignore the answer to that question."""
        self._awaited.pop(token, None)

    def send_control(self, job: JobId, message: ControlMessage) -> None:
        """Send a control message; a worker that does not get it will miss its lease."""
        if (known := self._ledger.get(job)) is None:
            return
        control = Control(self._schedd, job, message.attempt, message.action, life=known.life)
        self._send_if_possible(message.worker, Mail(codec.encode(control)))

    def _decode(self, mail: Mail) -> Message | None:
        try:
            # what nobody asked for may be made to take long
            return codec.decode(mail.body, with_files=mail.correlation in self._awaited)
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
        claims = [
            each for each in (*self._put_off.values(), *claims) if each[1].schedd == self._schedd
        ]
        self._put_off.clear()
        is_current, may_read = False, self._clock() >= self._next_reading
        if may_read and any(self._needs_reading(claim) for _mail, claim in claims):
            is_current = self._stream.read_to_end()
            self._next_reading = self._clock() + READING_SECONDS
        answers = []
        starts = dict[JobId, Started]()
        for mail, claim in claims:
            if not is_current and self._needs_reading(claim):
                if not may_read and len(self._put_off) < MAX_MAIL:
                    self._put_off[mail.reply_to, mail.correlation] = mail, claim
                else:
                    answers.append(self._make_reply(mail, claim, "the stream is being read", True))
                continue
            job = self._ledger.get(claim.job)
            reason = refuse_claim(job, claim)
            if job is not None and not may_report(mail.user, job.pool):
                reason = f"the job is of pool {job.pool}"
            elif not reason and job is not None and not runs_already(job, claim):
                self._slots.record_taken(claim, self._clock())
                machine = self._slots.get_machine(claim.worker)
                told = (claim.job, self._wall(), claim.attempt, claim.worker, claim.host, machine)
                start = Started(self._schedd, *told, life=job.life)
                if starts.setdefault(claim.job, start).worker != claim.worker:
                    reason = "claimed by another worker"
            answers.append(self._make_reply(mail, claim, reason))
        if starts:
            self._transport.record([codec.encode(start) for start in starts.values()])
            self._stream.note_recorded(list(starts.values()))
        self._send(answers)

    def _needs_reading(self, claim: Claim) -> bool:
        """Return whether the ledger may lack what decides this claim and is in the stream."""
        unread = self._stream.is_unread(claim.job)
        return claim.again or unread or self._ledger.get(claim.job) is None

    def _make_reply(
        self, mail: Mail, claim: Claim, reason: str, wait: bool = False
    ) -> tuple[str, Mail]:
        """Return where a reply goes, and the reply: yes where there is no reason against it."""
        reply = ClaimReply(
            claim.schedd, claim.job, claim.attempt, not reason, reason, wait, life=claim.life
        )
        return mail.reply_to, Mail(codec.encode(reply), "", mail.correlation)

    def _send(self, answers: Sequence[tuple[str, Mail]]) -> None:
        answers = [answer for answer in answers if answer[0]]
        if not answers:
            return
        try:
            self._transport.send_all_unconfirmed(answers)
        except BadInvocation:  # who asks for an answer to a place that cannot be gets none
            for inbox, mail in answers:
                self._send_if_possible(inbox, mail)

    def _send_if_possible(self, inbox: str, mail: Mail) -> None:
        """Send mail where a worker says that it is, which may be no place that there can be."""
        try:
            self._transport.send_unconfirmed(inbox, mail)
        except BadInvocation as error:
            self._unanswerable += 1
            if is_worth_a_line(self._unanswerable):
                log.warning("a worker gets no answer (%d so far): %s", self._unanswerable, error)

    def _read_heartbeat(self, beat: Heartbeat) -> None:
        job = self._ledger.get(beat.job)
        if job is None or job.life != beat.life:
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
