"""The worker: takes one job, runs it, reports, and ends.

The steps of a job, and what happens if the worker dies at each:

1. *take*: the message is ours. Dying, or losing the connection: it is queued again. The message of
   an attempt that this worker has itself ended is acknowledged, and that is all.
2. *claim*: ask the job's schedd (``claims.py``), which records the start before it says yes. No
   schedd, no start: the message goes back. Dying: as 1; where the start was recorded, no worker
   gets that attempt, and the lease brings the next. Losing the connection: the message goes back,
   and the worker asks again as soon as it has another: where its start was recorded, it runs the
   job. A worker that leaves while it asks records *evicted*, which ends the attempt if the schedd
   had recorded its start, and is passed over if not.
3. *ack*: the message leaves the queue. Dying before: as 2; from then on: the lease.
4. *run*, with heartbeats; control mail is obeyed. No schedd and no broker are needed.
5. *finished* or *evicted* is recorded, however long the broker is away.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from thyme.broker import Delivery, Transport
from thyme.broker.lanes import Bounds
from thyme.errors import (
    BadInvocation,
    BadMessage,
    BrokerError,
    BrokerRefused,
    BrokerUnreachable,
    ExitCode,
    NodeUnfit,
)
from thyme.protocol import codec
from thyme.protocol.events import (
    EVICTED_WITH_PILOT,
    HoldReason,
    Machine,
    Submit,
    Usage,
    expect_kind,
)
from thyme.protocol.job import JobId, Task

from . import job_ads, limits, processes
from .availability import Availability, WorkerIdentity
from .claims import AttemptId, ClaimClient
from .connection import BrokerConnection
from .executor import Execution
from .lanes import LaneReader
from .machine import describe_machine, describe_node
from .memory_cgroup import MemoryCgroup
from .reports import Report, ReportBuilder
from .run_monitor import POLL_SECONDS, SUPERSEDED, RunMonitor
from .sandbox import Sandbox
from .shutdown import Shutdown
from .start_errors import CannotStart
from .users import choose_job_user
from .work_directory import WorkDirectory

log = logging.getLogger(__name__)

#: Seconds that a finished job's report is tried on a broker that is away: by then the lease has
#: ended, and the job is running elsewhere.
REPORT_TIMEOUT = 3600.0
#: Seconds for which a description of the node is good.
MACHINE_SECONDS = 10.0


@dataclass(frozen=True)
class WorkerSettings:
    """``timeout``, ``heartbeat`` and ``max_backoff`` in seconds; ``max_jobs`` 0 is no limit.

    ``user``: who jobs run as, see ``users.choose``; ``job_environment``: variables that every job
    gets, unless it sets them; ``lanes`` and ``lane_fallback``: see ``lanes.LaneReader``.
    """

    pool: str
    workdir: Path
    timeout: float = 120.0
    max_backoff: float = 16.0
    max_jobs: int = 1
    heartbeat: float = 60.0
    user: str = ""
    job_environment: Mapping[str, str] = field(default_factory=dict)
    lanes: Bounds = ()
    lane_fallback: float = math.inf


class Worker:
    """Runs jobs of one pool, one after the other."""

    def __init__(
        self,
        settings: WorkerSettings,
        connect: Callable[[], Transport],
        shutdown: Shutdown,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        execute: Callable[..., Execution] = Execution,
    ) -> None:
        self._settings = settings
        self._shutdown = shutdown
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._execute = execute
        node = os.uname().nodename
        # everybody who knows the name can send it mail: it is a secret
        self.name = f"thyme.worker.{node[:100]}.{os.getpid()}-{os.urandom(8).hex()}"
        #: HTCondor's RemoteHost: the slot and the node
        self.slot = f"slot1_{os.getpid()}@{node}"
        self.connection = BrokerConnection(connect, self.name, settings.max_backoff, clock)
        self._memory = MemoryCgroup()
        self._identity = identity = WorkerIdentity(self.name, self.slot, self._describe_machine)
        self._availability = Availability(identity, settings.pool, settings.heartbeat, clock, wall)
        self._lanes = LaneReader(
            settings.pool, settings.lanes, settings.lane_fallback, os.environ, clock, wall
        )
        self._reports = ReportBuilder(identity, wall)
        self._claims = ClaimClient(identity, shutdown, clock)
        self._jobs_done = 0
        #: whose claim the connection did not survive: its start may be recorded
        self._unanswered: Submit | None = None
        #: the last attempt whose end was reported
        self._ended: AttemptId | None = None
        self._node = describe_node()
        #: what it offers, as last described
        self._machine: Machine | None = None
        self._machine_until = 0.0
        #: the job whose processes could not be killed: no other job may run beside them
        self._unkillable: JobId | None = None
        #: the last job's scratch directory, if it can be used again
        self._spare: Sandbox | None = None

    def run(self) -> int:
        """Work until there is nothing more to do; return the exit code. Raises NodeUnfit."""
        work_directory = WorkDirectory(
            self._settings.workdir, lambda n: choose_job_user(self._settings.user, n, os.geteuid())
        )
        try:
            self._check_node(work_directory)
            return self._run_loop(work_directory)
        finally:
            self.connection.close()
            if self._spare is not None:
                self._spare.remove()
            work_directory.close()

    def _run_loop(self, work_directory: WorkDirectory) -> int:
        idle_since = self._clock()
        while not self._shutdown.requested:
            if self._jobs_done and self._jobs_done == self._settings.max_jobs:
                return ExitCode.OK
            if self._unkillable:
                raise NodeUnfit(f"processes of job {self._unkillable} cannot be killed")
            job = self._get_next_job(idle_since)
            if job is not None:
                self._availability.end_waiting()
                self._run_and_report(job, work_directory)
                idle_since = self._clock()
                continue
            if isinstance(self.connection.last_error, BrokerRefused) and not self._jobs_done:
                raise self.connection.last_error  # waiting will not help
            left = idle_since + self._settings.timeout - self._clock()
            if left <= 0:
                self._report_leaving()
                return self._choose_exit_code()
            self._wait(min(left, POLL_SECONDS))
            if os.getpid() == 1:
                # a container's first process inherits what loses its parent
                processes.reap_children()
        self._report_leaving()
        return 128 + self._shutdown.signals[0]

    def _choose_exit_code(self) -> int:
        if self._jobs_done:
            return ExitCode.OK
        if self.connection.last_error is not None:
            raise BrokerUnreachable(f"gave up after --timeout: {self.connection.last_error}")
        log.info("no job in pool %s within %g s", self._settings.pool, self._settings.timeout)
        return ExitCode.NO_WORK

    def _report_leaving(self) -> None:
        if self._unanswered is not None:
            self.connection.record(self._build_not_begun(self._unanswered))
        if self.connection.is_up and (transport := self.connection.get_transport()) is not None:
            try:
                self._availability.report_leaving(transport, self._jobs_done)
            except BrokerError as error:
                log.info("cannot announce the end of the worker: %s", error)

    def _check_node(self, work_directory: WorkDirectory) -> None:
        """Check that a job could run; raises NodeUnfit, instead of holding job after job."""
        Sandbox(work_directory.path, work_directory.user).remove()
        if os.statvfs(work_directory.path).f_flag & os.ST_NOEXEC:
            raise NodeUnfit(
                f"{self._settings.workdir} is mounted noexec: no job could run there; use --workdir"
            )

    def _wait(self, seconds: float) -> None:
        """Wait for mail, a job or a signal; without a connection, until that is tried again."""
        transport = self.connection.get_transport()
        if transport is None:
            # a signal handler does not end this sleep, which is short enough
            self._sleep(min(seconds, self.connection.seconds_until_retry() + 0.01))
            return
        try:
            transport.wait(seconds)
        except BrokerError as error:
            self.connection.drop(error)

    # --- taking a job -------------------------------------------------------------------

    def _get_next_job(self, idle_since: float) -> Submit | None:
        """Return a job that we may start, recorded as started and acknowledged; or None.

        ``idle_since``: when the worker began to wait, monotonic.
        """
        transport = self.connection.get_transport()
        if transport is None or not self.connection.flush():
            return None
        # a schedd that does not answer is asked until then
        deadline = idle_since + self._settings.timeout
        try:
            if self._unanswered is not None:
                return self._claim(transport, self._unanswered, None, deadline)
            delivery = self._lanes.take(transport, idle_since)
            if delivery is None:
                while transport.receive() is not None:
                    pass  # late answers to claims that we gave up waiting for
                self._availability.report_waiting(transport, self._jobs_done)
                return None
            job = self._read_job(transport, delivery)
            if job is None:
                return None
            try:
                return self._claim(transport, job, delivery, deadline)
            except BadInvocation as error:  # its schedd's name is that of no inbox
                self._unanswered = None
                self._put_aside(transport, delivery, error)
                return None
        except BrokerError as error:
            # what we had taken is queued again; we start nothing
            self.connection.drop(error)
            return None

    def _read_job(self, transport: Transport, delivery: Delivery) -> Submit | None:
        """Return the delivery's job, if it is to be claimed. Raises BrokerError."""
        try:
            job = expect_kind(codec.decode(delivery.body), Submit)
        except BadMessage as error:
            self._put_aside(transport, delivery, error)
            return None
        if AttemptId.of(job) == self._ended:
            transport.ack(delivery)  # its acknowledgement was lost
            return None
        return job

    @staticmethod
    def _put_aside(transport: Transport, delivery: Delivery, why: Exception) -> None:
        log.error("message put aside as a dead letter: %s", why)
        transport.reject(delivery, str(why))

    def _claim(
        self, transport: Transport, job: Submit, delivery: Delivery | None, deadline: float
    ) -> Submit | None:
        """Return the job, if we may start it. Raises BrokerError: then it is asked for again.

        ``delivery``: its message; None where that went back with the connection on which the job
        was claimed. Whoever takes it meanwhile is refused, if our start is recorded, and vice
        versa. ``deadline``: monotonic.
        """
        asked, self._unanswered = delivery is None, job
        again = delivery is None or delivery.redelivered
        result = self._claims.claim(transport, job, again, asked, deadline - self._clock())
        reply = result.reply
        may_run = reply is not None and reply.run
        if may_run and not self._shutdown.requested:
            if delivery is not None:
                transport.ack(delivery)
            self._unanswered = None
            return job
        if result.perhaps_started or may_run:
            transport.record([self._build_not_begun(job)])
        self._unanswered = None
        if reply is None:
            log.warning("job %s is given back: its schedd did not answer", job.job)
        else:
            why = reply.reason or ("no reason given" if not reply.run else EVICTED_WITH_PILOT)
            log.info("job %s attempt %d is not started: %s", job.job, job.attempt, why)
        if delivery is not None:
            (transport.requeue if reply is None else transport.ack)(delivery)
        return None

    def _build_not_begun(self, job: Submit) -> bytes:
        """Build the report that a run which may be recorded as started has not begun."""
        return self._reports.build_evicted(job, EVICTED_WITH_PILOT, Usage()).body

    # --- running it ---------------------------------------------------------------------

    def _run_and_report(self, job: Submit, work_directory: WorkDirectory) -> None:
        log.info("job %s attempt %d: starting", job.job, job.attempt)
        began = self._clock()
        sandbox = None
        try:
            try:
                sandbox = self._get_sandbox(work_directory)
                report = self._run(job, sandbox, began)
            except NodeUnfit as error:
                # the job is queued again as it was; this node takes no other
                self._report(job, self._reports.build_evicted(job, str(error), Usage()))
                raise
            self._jobs_done += 1
            if report is not None:
                self._report(job, report)
        finally:
            # after the report: what a job leaves may take longer to remove than its lease lasts
            if sandbox is not None and self._settings.max_jobs != 1 and sandbox.clear_streams():
                self._spare = sandbox
            elif sandbox is not None:
                sandbox.remove()

    def _get_sandbox(self, work_directory: WorkDirectory) -> Sandbox:
        """Return a scratch directory: the last job's, or a new one. Raises NodeUnfit."""
        spare, self._spare = self._spare, None
        if spare is not None:
            if spare.is_unchanged():
                return spare
            spare.remove()
        return Sandbox(work_directory.path, work_directory.user)

    def _run(self, job: Submit, sandbox: Sandbox, began: float) -> Report | None:
        """Run the job; return the report of its end, or None when the attempt is superseded."""
        memory = self._memory.read()
        try:
            sandbox.unpack(job.task)
            job.task.forget_files()
            task = self._write_ads(job, sandbox)
            task = replace(task, environment={**self._settings.job_environment, **task.environment})
            processes.set_largest_core_file(job_ads.get_core_size(job.ad))
            execution = self._execute(task, sandbox, self.slot, self._clock)
        except CannotStart as error:
            return self._reports.build_not_started(job, error.hold)
        heartbeat = self._settings.heartbeat
        monitor = RunMonitor(job, execution, sandbox, self._identity, heartbeat, began, self._clock)
        why = monitor.wait_for_end(self.connection, self._shutdown, self._wait)
        outcome = execution.clean_up()
        if not outcome.is_gone:
            self._unkillable = job.job
        if why == SUPERSEDED:
            return None
        if not why:
            why = limits.explain_memory_kill(memory, self._memory.read(), outcome, self.slot)
        if isinstance(why, HoldReason):
            return self._reports.build_held(job, outcome, sandbox, why)
        if why:
            return self._reports.build_evicted(job, why, outcome.usage, outcome)
        return self._reports.build_finished(job, outcome, sandbox)

    def _describe_machine(self) -> Machine | None:
        """Describe the node as it was at most ``MACHINE_SECONDS`` ago."""
        if self._machine is None or self._clock() >= self._machine_until:
            self._machine = describe_machine(self._settings.workdir, self._memory)
            self._machine_until = self._clock() + MACHINE_SECONDS
        return self._machine

    def _write_ads(self, job: Submit, sandbox: Sandbox) -> Task:
        """Write the job's ads; return its task, completed from them."""
        now, machine = self._wall(), self._describe_machine()
        machine_ad = job_ads.build_machine_ad(job.ad, machine, self.slot, now, self._node)
        job_ad = job_ads.build_job_ad(job, self.slot, now, str(sandbox.path), machine)
        sandbox.write_ads(job_ads.format_ad(job_ad), job_ads.format_ad(machine_ad))
        return job_ads.complete_task(job.task, machine_ad, str(sandbox.path))

    # --- reporting ----------------------------------------------------------------------

    def _report(self, job: Submit, report: Report) -> None:
        """Record the end of an attempt; waits for a broker that is away."""
        self._ended = AttemptId.of(job)
        self.connection.record(report.body)
        log.info("job %s attempt %d: %s", job.job, job.attempt, report.kind)
        deadline = self._clock() + REPORT_TIMEOUT
        while not self.connection.flush():
            if self._clock() > deadline or self._shutdown.immediate:
                raise BrokerUnreachable(
                    f"the end of job {job.job} could not be reported: "
                    f"{self.connection.last_error}; its lease will bring it back"
                )
            self._wait(POLL_SECONDS)
