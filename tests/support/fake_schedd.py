"""A fake schedd and fake jobs for a worker, in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.support.fake_broker import FakeBroker
from tests.support.virtual_time import VirtualTime
from thyme.broker import Mail
from thyme.protocol import codec
from thyme.protocol.events import Started, Submit, Usage
from thyme.protocol.job import JobId, Task
from thyme.protocol.mail import Claim, ClaimReply, Control, Heartbeat
from thyme.worker.executor import ExecutionResult


@dataclass
class FakeSchedd:
    """Answers claims as the test says, after ``delay`` virtual seconds, if time is virtual.

    It records the start before it says yes, and then says yes to the worker that has it alone.
    """

    broker: FakeBroker
    name: str = "vobox"
    run: bool = True
    reason: str = ""
    delay: float = 0.0
    wait: bool = False
    claims: list[Claim] = field(default_factory=list)
    #: job and attempt → the worker whose start was recorded
    starts: dict[tuple[JobId, int], str] = field(default_factory=dict)
    beats: list[tuple[float, Heartbeat]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker.answer(f"thyme.schedd.{self.name}", self._mail)

    def _mail(self, mail: Mail) -> None:
        message = codec.decode(mail.body)
        if isinstance(message, Heartbeat):
            self.beats.append((self.broker.time(), message))
        elif isinstance(message, Claim):
            self.claims.append(message)
            attempt, worker = (message.job, message.attempt), message.worker
            run = self.run and not self.wait and self.starts.get(attempt, worker) == worker
            if run and attempt not in self.starts:
                self.starts[attempt] = worker
                now = self.broker.time()
                told = (message.job, now, message.attempt, worker, message.host)
                started = Started(self.name, *told, life=message.life)
                self.broker.record([codec.encode(started)])
            about = (self.name, message.job, message.attempt)
            reply = ClaimReply(*about, run, self.reason, self.wait, life=message.life)
            answer = Mail(codec.encode(reply), "", mail.correlation)
            if self.broker.clock is None:
                self.broker.deliver(mail.reply_to, answer)
                return
            self.broker.clock.after(self.delay, lambda: self.broker.deliver(mail.reply_to, answer))

    def leave(self) -> None:
        """Go away: mail to it comes back."""
        inbox = f"thyme.schedd.{self.name}"
        del self.broker.inboxes[inbox], self.broker.handlers[inbox]

    def tell(self, job: Submit, action: str, attempt: int | None = None) -> None:
        """Control mail to every worker that has an inbox."""
        attempt = job.attempt if attempt is None else attempt
        body = codec.encode(Control(self.name, job.job, attempt, action, life=job.life))
        for inbox in list(self.broker.inboxes):
            if inbox.startswith("thyme.worker."):
                self.broker.deliver(inbox, Mail(body))


@dataclass
class FakeExecution:
    """A job that runs for ``SECONDS`` of its environment, in virtual time.

    Its files have ``DISK`` KiB.
    It ends with ``EXIT``; asked to end it takes ``DYING`` seconds, and none when killed.
    """

    task: Task
    clock: VirtualTime
    wake: Callable[[], None]
    signals: list[str]

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._outcome: ExecutionResult | None = None
        self._kill_at: float | None = None
        self.clean = False
        self.looks = 0
        self.clock.after(
            float(self.task.environment.get("SECONDS", "1")),
            lambda: self._end(int(self.task.environment.get("EXIT", "0")), None),
        )

    def _end(self, exit_code: int | None, signal: int | None) -> None:
        if self._outcome is None:
            wall = self.clock() - self.started
            self._outcome = ExecutionResult(exit_code, signal, Usage(0.5, 0.25, wall, 1234))
            self.wake()

    def poll(self) -> ExecutionResult | None:
        return self._outcome

    def measure(self) -> None:
        self.looks += 1

    def get_usage(self) -> Usage:
        return Usage(0.25, 0.125, self.clock() - self.started, 1234, 1000, 8)

    def get_least_disk(self) -> int:
        return int(self.task.environment.get("DISK", "8"))

    def suspend(self) -> None:
        self.signals.append(f"stop at {self.clock() - self.started:g}")

    def resume(self) -> None:
        self.signals.append(f"continue at {self.clock() - self.started:g}")

    def request_end(self) -> None:
        if self._kill_at is None:
            self.signals.append(f"{self.task.kill_signal} at {self.clock() - self.started:g}")
            self._kill_at = self.clock() + self.task.kill_grace
            number = self.task.kill_signal
            dying = float(self.task.environment.get("DYING", "0.5"))
            self.clock.after(dying, lambda: self._end(None, number))

    def kill(self) -> None:
        self._kill_at = float("inf")
        self.signals.append(f"9 at {self.clock() - self.started:g}")
        self._end(None, 9)

    def kill_after_grace(self) -> float | None:
        if self._kill_at is None:
            return None
        left = self._kill_at - self.clock()
        if left <= 0:
            self.kill()
        return max(left, 0.0)

    def clean_up(self) -> ExecutionResult:
        self.clean = True
        assert self._outcome is not None
        return replace(self._outcome, is_gone="UNKILLABLE" not in self.task.environment)


def submission(
    task: Task | None = None,
    job: str = "1.0",
    attempt: int = 0,
    schedd: str = "vobox",
    pool: str = "alien_jobs",
) -> Submit:
    return Submit(
        schedd, JobId.parse(job), 1.0, pool, 0, 0, attempt, {}, task or Task("/bin/true"), life="a1"
    )
