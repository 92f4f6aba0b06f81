"""A worker asks a job's schedd whether it may start it.

No schedd, or no answer in time, means yes, so that jobs flow without a VOBox.
A message that comes again waits for the answer as long as a lease: whoever had
it may be running the job, and nobody but the schedd knows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from thyme.broker import Mail, Transport
from thyme.errors import BadMessage
from thyme.protocol import codec
from thyme.protocol.events import Submit, expect_kind
from thyme.protocol.mail import Claim, ClaimReply, schedd_inbox

from .shutdown import Shutdown

log = logging.getLogger(__name__)

#: Seconds to wait for the schedd's answer to a claim before starting without it.
CLAIM_TIMEOUT = 3.0
#: Seconds for the same, where the message comes again and the job names no lease.
SECOND_CLAIM_TIMEOUT = 300.0


@dataclass(frozen=True)
class ClaimResult:
    """``refusal``: why not, "" for yes; ``recorded``: the schedd has recorded the start."""

    refusal: str = ""
    recorded: bool = False


class ClaimClient:
    def __init__(
        self, worker: str, slot: str, shutdown: Shutdown, clock: Callable[[], float]
    ) -> None:
        """``worker``: whom the schedd answers; ``shutdown`` to leave end the waiting."""
        self._worker = worker
        self._slot = slot
        self._shutdown = shutdown
        self._clock = clock

    def claim(self, transport: Transport, job: Submit, again: bool) -> ClaimResult:
        """The schedd's answer, or yes. Raises BrokerError.

        ``again``: somebody had this message before.
        """
        began = self._clock()
        patience = (job.task.lease or SECOND_CLAIM_TIMEOUT) if again else 0.0
        # one for all times that we ask for this message: its answer is the same
        token = os.urandom(8).hex()
        while (answer := self._ask(transport, job, token)) is None:
            left = began + patience - self._clock()
            if left <= 0 or self._shutdown.requested:
                return ClaimResult()
            log.info("job %s comes again: its schedd has to say whether it runs", job.job)
            transport.wait(min(left, CLAIM_TIMEOUT))
        return answer

    def _ask(self, transport: Transport, job: Submit, token: str) -> ClaimResult | None:
        """None where there is no answer in time."""
        claim = Claim(job.schedd, job.job, job.attempt, self._worker, self._slot)
        question = Mail(codec.encode(claim), self._worker, token)
        transport.request(schedd_inbox(job.schedd), question)
        deadline = self._clock() + CLAIM_TIMEOUT
        while (left := deadline - self._clock()) > 0 and not self._shutdown.requested:
            while (mail := transport.receive()) is not None:
                if mail.correlation == token:
                    return None if mail == question else _read(mail)
            transport.wait(left)
        return None


def _read(mail: Mail) -> ClaimResult | None:
    try:
        verdict = expect_kind(codec.decode(mail.body), ClaimReply)
    except BadMessage as error:
        log.warning("verdict not understood, as good as none: %s", error)
        return None
    if verdict.run:
        return ClaimResult(recorded=verdict.recorded)
    return ClaimResult(verdict.reason or "no reason given")
