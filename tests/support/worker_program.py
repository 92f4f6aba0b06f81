"""``thyme-worker`` as a program with its own broker, and a schedd that grants every claim."""

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.fake_schedd import submission
from tests.support.granting_schedd import GrantingSchedd
from tests.support.waiting import wait_until
from thyme.broker import Transport, connect
from thyme.protocol.codec import decode, encode
from thyme.protocol.events import Message
from thyme.protocol.job import Task

WORKER = Path(sys.executable).with_name("thyme-worker")
PAGE = Path(__file__).parents[2] / "docs/reference/worker.md"
#: A worker of another user, who need not be able to read where Python and we are installed.
AS_USER = """
import encodings.idna, grp, os, shutil, sys
import thyme.broker.amqp.transport, thyme.broker.sqlite.transport
from thyme.worker.cli import main
user = int(sys.argv.pop(1))
os.setgroups([]), os.setgid(user), os.setuid(user)
sys.exit(main(sys.argv[1:]))
"""


class WorkerSite:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "broker.db"
        self.url = f"sqlite://{self.file}"
        self.work = path / "work"
        self.work.mkdir()
        self.started: list[subprocess.Popen[str]] = []
        self._broker: Transport | None = None
        self._pools: set[str] = set()
        self._numbers = itertools.count(1)
        self._schedd: GrantingSchedd | None = None

    @property
    def broker(self) -> Transport:
        if self._broker is None:
            self._broker = connect(self.url)
        return self._broker

    def submit(self, *tasks: Task, pool: str = "alien_jobs") -> None:
        if self._schedd is None:
            self._schedd = GrantingSchedd(self.url)
        bodies = [encode(submission(task, f"{next(self._numbers)}.0")) for task in tasks]
        self.broker.submit(pool, bodies)
        self._pools.add(pool)

    def start(
        self, *options: str, user: int | None = None, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        command = [str(WORKER)] if user is None else [sys.executable, "-c", AS_USER, str(user)]
        process = subprocess.Popen(
            [*command, "--workdir", str(self.work), *options],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=self.path,
            # these tests' jobs write into the test's own directories
            env={
                "PATH": os.environ["PATH"],
                "THYME_JOB_USER": "self",
                **({"THYME_URL": self.url} if env is None else env),
            },
        )
        self.started.append(process)
        return process

    def run(
        self, *options: str, user: int | None = None, env: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Exit code and what it said; never a traceback."""
        # where it is to take a job, it asks the schedd for as long
        seconds = "30" if self._pools and any(map(self.broker.count_ready, self._pools)) else "0"
        process = self.start("--timeout", seconds, *options, user=user, env=env)
        _out, said = process.communicate(timeout=60)
        assert "Traceback" not in said
        return process.returncode, said

    def told(self) -> list[Message]:
        found = self.broker.read(-1, 10**6)
        # RabbitMQ may have brought only the first of them
        while more := self.broker.read(found[-1].offset if found else -1, 10**6):
            found += more
        return [decode(record.body) for record in found]

    def kinds(self) -> list[str]:
        return [message.kind for message in self.told() if message.kind != "submit"]

    def wait_for_kinds(self, *kinds: str) -> None:
        wait_until(lambda: self.kinds() == list(kinds), f"records {kinds}", state=self.kinds)

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stderr is not None:
                process.stderr.close()
        if self._schedd is not None:
            self._schedd.close()
        if self._broker is not None:
            self._broker.close()


TRUE = Task("/bin/true")


def shell(text: str, **task: object) -> Task:
    return Task("/bin/sh", arguments=("-c", text), **task)  # type: ignore[arg-type]


def make_accessible(path: Path) -> None:
    for each in (path, *path.parents):
        if Path(tempfile.gettempdir()) in each.parents:
            each.chmod(each.stat().st_mode | 0o055)


def running(site: WorkerSite, *options: str) -> subprocess.Popen[str]:
    worker = site.start(*options)
    wait_until((site.path / "up").exists, "the job to be up", state=site.kinds)
    return worker


def ended(worker: subprocess.Popen[str]) -> int:
    _out, said = worker.communicate(timeout=60)
    assert "Traceback" not in said
    return worker.returncode
