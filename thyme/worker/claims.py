"""Ask a job's schedd whether the worker may start the job: no schedd, no start.

The answer is yes, when the schedd has recorded the start; no, for good; or "wait", while it reads
the stream. Until there is a yes or a no the worker keeps the message and asks again, with pauses
that grow. It does not keep it for long: RabbitMQ closes the channel of a consumer that has not
acknowledged a message for 30 minutes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from thyme.broker import Mail, Transport
from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import Submit
from thyme.protocol.job import JobId
from thyme.protocol.mail import Claim, ClaimReply, make_schedd_inbox_name

from .availability import WorkerIdentity
from .shutdown import Shutdown

log = logging.getLogger(__name__)

#: Seconds to wait for the schedd's answer before the claim is sent again.
CLAIM_TIMEOUT: Final = 3.0
#: Seconds to pause before the first and, doubled each time, the last repetition.
FIRST_PAUSE: Final = 0.5
MAX_PAUSE: Final = 10.0
#: Seconds for which a message is kept without an answer, whatever the worker's own patience.
MAX_HOLD: Final = 600.0


class AttemptId(NamedTuple):
    """One attempt of one job, whatever number the job shares with another schedd's."""

    schedd: str
    job: JobId
    life: str
    attempt: int

    @classmethod
    def of(cls, job: Submit) -> AttemptId:
        """Return which attempt a job's message is for."""
        return cls(job.schedd, job.job, job.life, job.attempt)


@dataclass(frozen=True)
class ClaimResult:
    """What came of a claim; ``reply``: a yes or a no, or None where neither came.

    ``perhaps_started``: the schedd may have recorded a start that is not to be.
    """

    reply: ClaimReply | None
    perhaps_started: bool


class ClaimClient:
    """Sends claims to schedds and waits for the replies."""

    def __init__(
        self, identity: WorkerIdentity, shutdown: Shutdown, clock: Callable[[], float]
    ) -> None:
        """``identity``: whom the schedd answers; ``shutdown`` ends the waiting."""
        self._identity = identity
        self._shutdown = shutdown
        self._clock = clock

    def claim(
        self, transport: Transport, job: Submit, again: bool, asked: bool, patience: float
    ) -> ClaimResult:
        """Ask until there is a yes or a no, for at most ``patience`` seconds. Raises BrokerError.

        ``again``: whether this attempt may have been claimed before, by whomever; ``asked``:
        whether by this worker, which heard no answer.
        """
        deadline = self._clock() + min(patience, MAX_HOLD)
        # one token for all repetitions: an answer to any of them is the answer
        token = os.urandom(8).hex()
        pause = FIRST_PAUSE
        while True:
            was_asked = asked
            self._send(transport, job, token, again or asked)
            reply = self._receive(transport, token, CLAIM_TIMEOUT)
            asked = asked or reply is None
            if reply is None or reply.wait:
                left = deadline - self._clock()
                if left <= 0 or self._shutdown.requested:
                    return ClaimResult(None, asked)
                log.info("job %s: its schedd does not answer yet", job.job)
                # jitter: a thousand workers must not ask in one moment
                jitter = 0.5 + os.urandom(1)[0] / 510
                reply = self._receive(transport, token, min(left, pause * jitter), pausing=True)
                again, pause = True, min(pause * 2, MAX_PAUSE)
            if reply is not None and not reply.wait:
                return ClaimResult(reply, was_asked and not reply.run)

    def _send(self, transport: Transport, job: Submit, token: str, again: bool) -> None:
        worker, slot, machine = self._identity.name, self._identity.slot, self._identity.machine()
        about = (job.schedd, job.job, job.attempt)
        claim = Claim(*about, worker, slot, machine, again, life=job.life)
        question = Mail(codec.encode(claim), worker, token)
        transport.request(make_schedd_inbox_name(job.schedd), question)

    def _receive(
        self, transport: Transport, token: str, seconds: float, pausing: bool = False
    ) -> ClaimReply | None:
        """Return the reply to what was sent with this token; None if there is none in time.

        ``pausing``: only a yes or a no counts, and the worker's shutdown ends the waiting. While a
        question is out, that waits for the answer: a start may be on its way to the stream.
        """
        deadline = self._clock() + seconds
        while True:
            while (mail := transport.receive()) is not None:
                if mail.correlation == token:
                    reply = _read(mail)
                    if reply is not None and not (pausing and reply.wait):
                        return reply
            left = deadline - self._clock()
            if left <= 0 or self._shutdown.immediate or (pausing and self._shutdown.requested):
                return None
            transport.wait(left)


def _read(mail: Mail) -> ClaimReply | None:
    try:
        message = codec.decode(mail.body, with_files=False)
    except BadMessage as error:
        log.warning("the reply to a claim is not understood, and ignored: %s", error)
        return None
    if isinstance(message, Claim):  # returned: its schedd has no inbox now
        about = (message.schedd, message.job, message.attempt)
        return ClaimReply(*about, False, "", wait=True, life=message.life)
    return message if isinstance(message, ClaimReply) else None
