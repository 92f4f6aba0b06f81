"""Jobs, events and the parts of a schedd without processes."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.fake_broker import FakeBroker
from thyme.broker import Mail, Transport
from thyme.protocol import codec
from thyme.protocol.events import (
    Delivered,
    Evicted,
    Finished,
    Held,
    HoldReason,
    JobMessage,
    Left,
    Lost,
    Marker,
    Message,
    NotCompleted,
    Recorded,
    Released,
    Removed,
    Started,
    Submit,
    Usage,
)
from thyme.protocol.job import JobId, SandboxFile, Task
from thyme.protocol.mail import Claim, Heartbeat
from vobox.classad.ad import Ad, literal, quote
from vobox.jobs.job import ControlMessage, Job, LogEvent, SaveOutput
from vobox.jobs.transitions import Transition, apply
from vobox.ledger.stored_ad import encode_ad
from vobox.ledger.writer import Ledger
from vobox.schedd.reconciler import Reconciler
from vobox.schedd.session import Session
from vobox.schedd.state import ScheddState, Settings
from vobox.schedd.stream_reader import StreamReader
from vobox.workers.mail import READING_SECONDS, WorkerMail

SCHEDD = "vobox1.example.org"
#: 2026-11-22 13:25:12 UTC
NOW = 1795353912.0
JOB = JobId(38, 0)
LIFE = "a1"
USAGE = Usage(user_cpu=1.5, system_cpu=0.5, wall=10.0, peak_rss=2048)

Value = bool | int | float | str


@dataclass(frozen=True)
class Expression:
    """ClassAd text that goes into the ad as it is."""

    text: str


def ad_of(job: JobId = JOB, **attributes: Value | Expression) -> Ad:
    """Build a job ad as condor_submit makes it, with additional attributes."""
    ad = Ad(
        {
            "ClusterId": str(job.cluster),
            "ProcId": str(job.proc),
            "GlobalJobId": quote(f"{SCHEDD}#{job}#{int(NOW)}"),
            "Owner": quote("games"),
            "JobStatus": "1",
            "QDate": str(int(NOW)),
            "EnteredCurrentStatus": str(int(NOW)),
            "Cmd": quote("/bin/sh"),
            "Iwd": quote("/home/games"),
            "Out": quote("/dev/null"),
            "Err": quote("/dev/null"),
            "LeaveJobInQueue": "false",
            "ExitStatus": "0",
            "ExitBySignal": "false",
            "NumJobStarts": "0",
            "NumJobCompletions": "0",
            "NumSystemHolds": "0",
            "CurrentHosts": "0",
            "RemoteWallClockTime": "0.0",
            "RemoteUserCpu": "0.0",
            "RemoteSysCpu": "0.0",
        }
    )
    for name, value in attributes.items():
        ad[name] = value.text if isinstance(value, Expression) else literal(value)
    return ad


@dataclass
class Events:
    """A factory of one job's events, a second apart."""

    job: JobId = JOB
    now: float = NOW
    schedd: str = SCHEDD
    attributes: dict[str, Value | Expression] = field(default_factory=dict)
    task: Task = field(default_factory=lambda: Task("/bin/sh"))
    uid: int = field(default_factory=os.geteuid)
    gid: int = field(default_factory=os.getegid)
    life: str = LIFE

    def _when(self) -> float:
        self.now += 1
        return self.now

    def submit(self, attempt: int = 0) -> Submit:
        ad = {} if attempt else dict(ad_of(self.job, **self.attributes).items())
        return Submit(
            self.schedd, self.job, self._when(), "pool", self.uid, self.gid, attempt, ad, self.task,
            life=self.life,
        )  # fmt: skip

    def recorded(self, code: int = 15) -> Recorded:
        ad = dict(
            ad_of(self.job, HoldReason="because", HoldReasonCode=code, **self.attributes).items()
        )
        return Recorded(
            self.schedd, self.job, self._when(), "pool", self.uid, self.gid, ad, self.task,
            life=self.life,
        )  # fmt: skip

    def started(self, worker: str = "w1", attempt: int = 0) -> Started:
        host = f"slot1_1@{worker}"
        told = (self.job, self._when(), attempt, worker, host)
        return Started(self.schedd, *told, life=self.life)

    def finished(
        self,
        worker: str = "w1",
        attempt: int = 0,
        code: int | None = 0,
        signal: int | None = None,
        stdout: bytes = b"",
        stderr: bytes = b"",
        files: tuple[SandboxFile, ...] = (),
        hold: HoldReason | None = None,
    ) -> Finished:
        return Finished(
            self.schedd, self.job, self._when(), attempt, worker, f"slot1_1@{worker}",
            code, signal, USAGE, stdout, stderr, files, hold, life=self.life,
        )  # fmt: skip

    def evicted(
        self, worker: str = "w1", attempt: int = 0, reason: str = "held", usage: Usage = USAGE
    ) -> Evicted:
        return Evicted(
            self.schedd, self.job, self._when(), attempt, worker, f"slot1_1@{worker}", reason,
            usage, life=self.life,
        )  # fmt: skip

    def lost(self, attempt: int = 0) -> Lost:
        return Lost(self.schedd, self.job, self._when(), attempt, "no news of its worker for 5 s")

    def removed(self, force: bool = False) -> Removed:
        reason = "via condor_rm (by user games)"
        return Removed(self.schedd, self.job, self._when(), reason, force)

    def held(self, code: int = 1, subcode: int = 0, text: str = "via condor_hold") -> Held:
        return Held(self.schedd, self.job, self._when(), HoldReason(code, subcode, text))

    def released(self) -> Released:
        return Released(self.schedd, self.job, self._when(), "via condor_release (by user games)")

    def not_completed(
        self,
        hold: HoldReason | None = None,
        reason: str = "OnExitRemove is false",
        code: int | None = 1,
        signal: int | None = None,
    ) -> NotCompleted:
        return NotCompleted(
            self.schedd, self.job, self._when(), code, signal, USAGE, hold, "" if hold else reason
        )

    def left(self) -> Left:
        return Left(self.schedd, self.job, self._when())

    def delivered(self) -> Delivered:
        return Delivered(self.schedd, self.job, self._when())


def job_after(*events: JobMessage) -> Job:
    """Return the job after these events."""
    return transition_after(*events).job  # type: ignore[return-value]


def transition_after(*events: JobMessage) -> Transition:
    """Return what the last of these events changed."""
    change = Transition(None)
    for event in events:
        change = apply(change.job, event)
    return change


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ScheddHarness:
    """A schedd's parts around a broker in memory, without its thread: call ``settle``."""

    def __init__(
        self, directory: Path, broker: FakeBroker | None = None, **settings: float
    ) -> None:
        self.directory = directory
        self.broker = broker or FakeBroker()
        self.settings = replace(Settings(SCHEDD, "pool"), **settings)  # type: ignore[arg-type]
        self.clock, self.wall = Clock(), Clock(NOW + 1000)
        self.open()
        self.transport = self.broker.connect()

    def open(self) -> None:
        """Start, with whatever ledger is in the directory; nothing is read yet."""
        self.ledger = Ledger(self.directory / "ledger.db")
        self.state = ScheddState(self.settings, self.ledger, self.clock, self.wall)
        self.leases = self.state.leases

    @property
    def transport(self) -> Transport:
        return self.session.transport

    @transport.setter
    def transport(self, transport: Transport) -> None:
        """Begin a new session over this connection."""
        self.session = Session(self.state, transport)

    @property
    def reader(self) -> StreamReader:
        return self.session.reader

    @property
    def mail(self) -> WorkerMail:
        return self.session.mail

    @property
    def reconciler(self) -> Reconciler:
        return self.session.reconciler

    def restart(self, wiped: bool = False) -> None:
        """Start again as after kill -9, with an empty disk if ``wiped``, and read the stream."""
        self.reopen(wiped)
        while self.reader.catch_up(replaying=True):
            pass
        self.session.finish_replay()

    def reopen(self, wiped: bool = False) -> None:
        """Start again as ``restart`` does, up to the first record that is to be read."""
        self.ledger.close()
        if wiped:
            for path in self.directory.glob("ledger.db*"):
                path.unlink()
        transport = self.transport
        self.open()
        self.transport = transport
        self.reader.check_same_stream()

    def record(self, *events: Message) -> None:
        self.transport.record([codec.encode(event) for event in events])
        self.settle()

    def submit(self, *events: Submit) -> None:
        self.transport.submit("pool", [codec.encode(event) for event in events])
        self.settle()

    def mark(self, next_cluster: int) -> None:
        self.record(Marker(SCHEDD, "token", next_cluster))

    def receive(self, mail: Mail) -> None:
        """Let mail reach the schedd, some time after the mail before, and read it."""
        self.clock.now += READING_SECONDS
        mails = [mail]
        with patch.object(self.transport, "receive", lambda: mails.pop() if mails else None):
            self.mail.answer_claims()
        self.mail.read_rest()

    def ask(self, message: Claim | Heartbeat, correlation: str = "token") -> list[tuple[Any, str]]:
        """Return what comes back to the worker that sends this, and to which of its questions."""
        connection = self.broker.connect()
        connection.open_inbox(message.worker)
        try:
            self.receive(Mail(codec.encode(message), message.worker, correlation))
            answers = []
            while (mail := connection.receive()) is not None:
                answers.append((codec.decode(mail.body), mail.correlation))
            return answers
        finally:
            connection.close()

    def settle(self) -> None:
        self.reconciler.reconcile_all()

    def end_leases(self) -> None:
        self.reconciler.end_leases()
        self.settle()

    def policies(self) -> None:
        while self.reconciler.scan_policies():  # a slice ends early on a busy machine
            pass
        self.settle()

    def job(self, job: JobId = JOB) -> Job:
        found = self.ledger.get(job)
        assert found is not None, f"no job {job} in the ledger"
        return found

    def kinds(self, job: JobId = JOB) -> list[str]:
        """Return the kinds of the stream's events about a job, in order."""
        return [
            message.kind
            for message in self.broker.messages()
            if isinstance(message, JobMessage) and message.job == job
        ]

    def close(self) -> None:
        self.ledger.close()
        self.transport.close()


def read_all_jobs(ledger: Ledger) -> dict[str, tuple[object, ...]]:
    """Return all that a ledger says of its jobs, to compare two ledgers."""
    rows = ledger._read_jobs("1=1")
    return {
        str(job.id): (
            job.status, job.attempt, job.queued, job.worker, job.ended, job.losses,
            job.has_result, job.in_queue, dict(job.ad.items()),
        )
        for job in rows
    }  # fmt: skip


def let_days_pass(bench: ScheddHarness, days: int) -> None:
    """Let days pass, while the stream keeps the records of seven days."""
    for _ in range(days):
        bench.wall.now += 86400.0
        bench.clock.now += 86400.0
        bench.end_leases()
        bench.policies()
        bench.reconciler.forget_old_jobs()
        oldest = bench.wall.now - 7 * 86400.0
        bench.broker.trim(sum(record.time < oldest for record in bench.broker.stream))


def dump(ledger: Ledger) -> list[object]:
    """Return every value of a ledger that does not depend on how texts were compressed."""
    jobs = [
        (*(value for name, value in vars(job).items() if name != "ad"), encode_ad(job.ad))
        for job in ledger._read_jobs("1=1")
    ]
    bodies = [
        (*row[:3], ledger._compressor.decompress(*row[3:]))
        for row in ledger._db.execute(
            "SELECT cluster, proc, kind, dictionary, body FROM bodies ORDER BY 1, 2, 3"
        )
    ]
    meta = [ledger.read_meta(name, "") for name in ("offset", "digest", "next_cluster", "schedd")]
    return [*jobs, *bodies, *meta]


def logged(path: Path) -> list[str]:
    """Return the numbers and ids of the events in a user log, e.g. ``005 38.0``, in order."""
    found = []
    for line in path.read_text().splitlines():
        if line[3:5] == " (" and line[:3].isdigit():
            cluster, proc, _sub = line[5:].partition(")")[0].split(".")
            found.append(f"{line[:3]} {int(cluster)}.{int(proc)}")
    return found


STATUS = {1: "idle", 2: "running", 3: "removed", 4: "completed", 5: "held", 6: "ended"}


def describe_job(job: Job) -> str:
    """Describe a job's state, e.g. ``running on w1 with message`` or ``removed, left the queue``.

    "message": one of the present attempt is in the broker's job queue, or a worker has it;
    "result": the output waits for its delivery to the submit host.
    """
    text = STATUS[job.status] + (f" on {job.worker}" if job.worker else "")
    kept = ["message"] * job.queued + ["result"] * job.has_result
    text += f" with {' and '.join(kept)}" if kept else ""
    return text if job.in_queue else f"{text}, left the queue"


def describe_effects(change: Transition) -> str:
    """List the numbers of log events, control messages to workers, and ``save``."""
    names = {
        LogEvent: lambda e: e.text[:3],
        ControlMessage: lambda e: e.action,
        SaveOutput: lambda e: "save",
    }
    return " ".join(names[type(effect)](effect) for effect in change.effects)
