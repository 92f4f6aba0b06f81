"""A worker in virtual time, with a fake broker, clock and jobs."""

import signal
from collections.abc import Callable
from pathlib import Path

from tests.support.fake_broker import FakeBroker
from tests.support.fake_schedd import FakeExecution, FakeSchedd, submission
from tests.support.virtual_time import VirtualTime
from thyme.protocol.codec import encode
from thyme.protocol.events import Message, Submit
from thyme.protocol.job import Task
from thyme.worker.sandbox import Sandbox
from thyme.worker.shutdown import Shutdown
from thyme.worker.worker import Worker, WorkerSettings

POOL = "alien_jobs"


class Site:
    """A broker, a clock, a schedd that grants every claim, and a worker that runs fake jobs."""

    def __init__(self, workdir: Path) -> None:
        self.clock = VirtualTime()
        self.broker = FakeBroker(self.clock)
        self.schedd = FakeSchedd(self.broker)
        self.workdir = workdir
        self.shutdown = Shutdown()
        self.signals: list[str] = []
        self.jobs: list[FakeExecution] = []
        self.start = self.clock()
        self.worker: Worker | None = None

    def submit(self, *jobs: Submit) -> None:
        self.broker.submit(POOL, [encode(job) for job in jobs])

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self.clock.after(seconds, action)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.shutdown.signals.append(number)
        assert self.worker is not None
        self.worker.connection.wake()

    def _execute(self, task: Task, _sandbox: Sandbox, _slot: str, _clock: object) -> FakeExecution:
        assert self.worker is not None
        self.jobs.append(FakeExecution(task, self.clock, self.worker.connection.wake, self.signals))
        return self.jobs[-1]

    def run(self, **options: float) -> int:
        settings = WorkerSettings(POOL, self.workdir, user="self", **{"timeout": 10.0, **options})  # type: ignore
        self.worker = Worker(
            settings, self.broker.connect, self.shutdown, self.clock, self.clock, self.clock.sleep,
            self._execute,
        )  # fmt: skip
        try:
            return self.worker.run()
        finally:
            assert all(job.clean for job in self.jobs)
            assert list(self.workdir.iterdir()) == []

    def told(self) -> list[Message]:
        """Return what the stream says beyond the submissions."""
        return [m for m in self.broker.messages() if not isinstance(m, Submit)]

    def kinds(self) -> list[str]:
        return [message.kind for message in self.told()]

    def queued(self) -> int:
        return len(self.broker.queues[POOL])


def job(seconds: float = 1.0, name: str = "1.0", exit_code: int = 0, **task: object) -> Submit:
    environment = {"SECONDS": str(seconds), "EXIT": str(exit_code)}
    environment.update(task.pop("environment", {}))  # type: ignore[call-overload]
    return submission(Task("/bin/true", environment=environment, **task), name)  # type: ignore
