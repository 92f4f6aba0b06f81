"""Asks a job's schedd whether the worker may start the job.

No schedd, or no answer in time, means yes, so that jobs run without a VO box.
For a redelivered message the worker waits for the answer as long as a lease: the worker that had
it before may be running the job, and only the schedd knows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from thyme.broker import Mail, Transport
from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import Machine, Submit, expect_kind
from thyme.protocol.mail import Claim, ClaimReply, make_schedd_inbox_name

from .shutdown import Shutdown

log = logging.getLogger(__name__)

#: Seconds to wait for the schedd's answer to a claim before starting without it.
CLAIM_TIMEOUT = 3.0
#: Seconds for the same, where the message is redelivered and the job names no lease.
SECOND_CLAIM_TIMEOUT = 300.0


@dataclass(frozen=True)
class ClaimResult:
    """The schedd's answer: why not (``refusal``; "" for yes), and whether it recorded the start."""

    refusal: str = ""
    recorded: bool = False


class ClaimClient:
    """Sends claims to schedds and waits for the replies."""

    def __init__(
        self,
        worker: str,
        slot: str,
        shutdown: Shutdown,
        clock: Callable[[], float],
        machine: Callable[[], Machine | None] = lambda: None,
    ) -> None:
        """``worker``: whom the schedd answers; ``shutdown`` to leave end the waiting.

        ``machine`` describes the node.
        """
        self._worker = worker
        self._slot = slot
        self._shutdown = shutdown
        self._clock = clock
        self._machine = machine

    def claim(self, transport: Transport, job: Submit, again: bool) -> ClaimResult:
        """Return the schedd's answer, or yes. Raises BrokerError.

        ``again``: whether the message was delivered before.
        """
        began = self._clock()
        longest_wait = (job.task.lease or SECOND_CLAIM_TIMEOUT) if again else 0.0
        # one token for all times that we ask for this message: its answer is the same
        token = os.urandom(8).hex()
        while (answer := self._ask(transport, job, token)) is None:
            left = began + longest_wait - self._clock()
            if left <= 0 or self._shutdown.requested:
                return ClaimResult()
            log.info("job %s was redelivered: its schedd must say whether it runs", job.job)
            transport.wait(min(left, CLAIM_TIMEOUT))
        return answer

    def _ask(self, transport: Transport, job: Submit, token: str) -> ClaimResult | None:
        """Return None where there is no answer in time."""
        claim = Claim(job.schedd, job.job, job.attempt, self._worker, self._slot, self._machine())
        question = Mail(codec.encode(claim), self._worker, token)
        transport.request(make_schedd_inbox_name(job.schedd), question)
        deadline = self._clock() + CLAIM_TIMEOUT
        while (left := deadline - self._clock()) > 0 and not self._shutdown.requested:
            while (mail := transport.receive()) is not None:
                if mail.correlation == token:
                    return None if mail == question else _read(mail)
            transport.wait(left)
        return None


def _read(mail: Mail) -> ClaimResult | None:
    try:
        reply = expect_kind(codec.decode(mail.body), ClaimReply)
    except BadMessage as error:
        log.warning("the reply to a claim is not understood, and ignored: %s", error)
        return None
    if reply.run:
        return ClaimResult(recorded=reply.recorded)
    return ClaimResult(reply.reason or "no reason given")
