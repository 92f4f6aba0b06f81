"""Watches a running job: sends heartbeats, obeys control mail, enforces the run limits.

One thread does all of it: mail is read at least every second, however
long the job runs, and a job runs on while the broker is away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from thyme.broker import Mail, Transport
from thyme.errors import BadMessage, BrokerError
from thyme.protocol import codec
from thyme.protocol.events import EVICTED_WITH_PILOT, VACATED, HoldReason, Submit
from thyme.protocol.job import DEFAULT_LEASE
from thyme.protocol.mail import Control, Heartbeat, Peek, make_schedd_inbox_name

from . import limits
from .availability import WorkerIdentity
from .connection import BrokerConnection
from .executor import Execution
from .peek import answer_peek
from .sandbox import Sandbox
from .shutdown import Shutdown
from .usage import measure_file_system

log = logging.getLogger(__name__)

#: Seconds between two looks at whether there is anything to do, when nothing wakes us.
POLL_SECONDS = 1.0
#: Seconds between two heartbeats at least, however short the lease.
MIN_HEARTBEAT_SECONDS = 0.05

SUPERSEDED = "superseded"
#: What control mail says → why the job was ended.
EVICTION_REASONS = {
    "remove": "removed",
    "hold": "held",
    "vacate": VACATED,
    "vacate_fast": VACATED,
}


class RunMonitor:
    """Watches one attempt until it ends."""

    def __init__(
        self,
        job: Submit,
        execution: Execution,
        sandbox: Sandbox,
        identity: WorkerIdentity,
        heartbeat: float,
        began: float,
        clock: Callable[[], float],
    ) -> None:
        """``heartbeat``: seconds between two; ``began``: when the attempt began, by ``clock``."""
        self._job = job
        self._execution = execution
        self._sandbox = sandbox
        self._identity = identity
        self._clock = clock
        self._began, self._started = began, clock()
        self._requested_disk = limits.get_requested_disk(job.ad)
        pulse = min(heartbeat, (job.task.lease or DEFAULT_LEASE) / 3)
        self._heartbeat_interval = max(pulse, MIN_HEARTBEAT_SECONDS)
        self._next_heartbeat = clock() + self._heartbeat_interval
        #: why it was ended; "" if by itself
        self.ending: str | HoldReason = ""

    def wait_for_end(
        self, connection: BrokerConnection, shutdown: Shutdown, rest: Callable[[float], None]
    ) -> str | HoldReason:
        """Return why the job was ended, "" if by itself.

        ``rest`` waits for mail or a signal, at most the seconds that it is given.
        """
        while self._execution.poll() is None:
            self._check_shutdown(shutdown)
            self._check_run_limits()
            transport = connection.get_transport()
            if transport is not None:
                try:
                    self._exchange_mail(transport)
                except BrokerError as error:
                    connection.drop(error)
            self._execution.measure()
            self._check_disk()
            grace = self._execution.kill_after_grace()
            if self._execution.poll() is None:
                rest(self._choose_pause(connection, grace))
        return self.ending

    def _choose_pause(self, connection: BrokerConnection, grace: float | None) -> float:
        # without a connection no heartbeat is sent, however long it has been due
        due = max(self._next_heartbeat - self._clock(), 0.0) if connection.is_up else POLL_SECONDS
        if grace is not None:
            return min(POLL_SECONDS, due, grace + 0.001)
        return min(
            POLL_SECONDS,
            due,
            limits.seconds_until_limit(self._job.task, *self._get_elapsed()) + 0.001,
        )

    def _get_elapsed(self) -> tuple[float, float]:
        return self._clock() - self._began, self._clock() - self._started

    def _end_job(self, why: str | HoldReason) -> None:
        # a superseded attempt is not reported, whatever it was told before
        self.ending = why if why == SUPERSEDED else self.ending or why
        self._execution.request_end()

    def _check_shutdown(self, shutdown: Shutdown) -> None:
        if shutdown.requested:
            self._end_job(EVICTED_WITH_PILOT)
            if shutdown.immediate:
                self._execution.kill()

    def _check_run_limits(self) -> None:
        hold = limits.find_exceeded_limit(self._job.task, *self._get_elapsed())
        if hold is not None and not self.ending:
            log.info("job %s attempt %d: %s", self._job.job, self._job.attempt, hold.text)
            self._end_job(hold)

    def _check_disk(self) -> None:
        used = self._execution.get_least_disk()
        if self.ending or used <= self._requested_disk:
            return
        disk = measure_file_system(self._sandbox.path)
        hold = disk and limits.find_exceeded_disk(self._requested_disk, used, *disk)
        if hold is not None:
            log.info("job %s attempt %d: %s", self._job.job, self._job.attempt, hold.text)
            self._end_job(hold)

    # --- mail ---------------------------------------------------------------------------

    def _exchange_mail(self, transport: Transport) -> None:
        while (mail := transport.receive()) is not None:
            self._handle_mail(transport, mail)
        if self._clock() >= self._next_heartbeat:
            self._next_heartbeat = self._clock() + self._heartbeat_interval
            self._send_heartbeat(transport)

    def _handle_mail(self, transport: Transport, mail: Mail) -> None:
        try:
            message = codec.decode(mail.body, with_files=False)
        except BadMessage as error:
            log.warning("mail not understood: %s", error)
            return
        if isinstance(message, Peek):
            if mail.reply_to:
                mine = self._is_mine(message)
                told = codec.encode(answer_peek(message, self._sandbox if mine else None))
                transport.send(mail.reply_to, Mail(told, "", mail.correlation))
        elif isinstance(message, Control) and self._is_mine(message):
            self._carry_out(message.action)

    def _is_mine(self, message: Control | Peek) -> bool:
        mine = (self._job.schedd, self._job.job, self._job.life, self._job.attempt)
        return mine == (message.schedd, message.job, message.life, message.attempt)

    def _carry_out(self, action: str) -> None:
        log.info("job %s attempt %d: %s", self._job.job, self._job.attempt, action)
        if action == "suspend":
            if not self.ending:  # one that stands still would not end
                self._execution.suspend()
        elif action == "continue":
            self._execution.resume()
        else:
            self._end_job(EVICTION_REASONS.get(action, action))
            if action == "vacate_fast":
                self._execution.kill()

    def _send_heartbeat(self, transport: Transport) -> None:
        job, identity = self._job, self._identity
        heartbeat = Heartbeat(
            job.schedd, job.job, job.attempt, identity.name, identity.slot,
            self._execution.get_usage(), identity.machine(), life=job.life,
        )  # fmt: skip
        transport.send(
            make_schedd_inbox_name(job.schedd), Mail(codec.encode(heartbeat), identity.name)
        )
