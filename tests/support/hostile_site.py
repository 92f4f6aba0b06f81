"""Workers of two users, whose broker has a password that no job may learn."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.fake_schedd import submission
from tests.support.granting_schedd import GrantingSchedd
from thyme.broker import connect
from thyme.protocol.codec import decode, encode
from thyme.protocol.events import Finished, Message
from thyme.protocol.job import Task
from thyme.worker.users import AUTOMATIC_USERS, FIRST_UID

SECRET = "correct-horse-battery-staple"  # noqa: S105
#: A worker that is not root, for a test that is.
PLAIN = 54321
#: ``python -c WORKER UID BROKER OPTIONS...``: a worker whose URL has a password, and whose broker
#: is a file all the same. Everything is imported before it is another user.
WORKER = """
import os, sys, grp, shutil, thyme.worker.cli, thyme.broker.amqp.url
from thyme.broker.sqlite.transport import SqliteTransport
user, broker = int(sys.argv[1]), sys.argv[2]
if user != os.geteuid():
    os.setgroups([]), os.setgid(user), os.setuid(user)
thyme.worker.cli.connect = lambda url: SqliteTransport(broker)
sys.exit(thyme.worker.cli.main(sys.argv[3:]))
"""
#: Users of jobs whose worker is root: which of them, other workers on this machine have a word in.
OWN_USERS = range(FIRST_UID, FIRST_UID + AUTOMATIC_USERS)


class HostileSite:
    def __init__(self) -> None:
        # not pytest's directory: other users must be able to pass; not /tmp: jobs do not see it
        top = "/srv" if os.access("/srv", os.W_OK) else None
        self.path = Path(tempfile.mkdtemp(prefix="thyme-hostile-", dir=top))
        self.path.chmod(0o755)
        self.private = self.path / "private"
        self.private.mkdir(mode=0o700)
        self.work = self.path / "work"
        self.work.mkdir()
        self.work.chmod(0o1777)
        self.url_file = self.private / "url"
        self.url_file.write_text(f"amqp://worker:{SECRET}@127.0.0.1/")
        self.url_file.chmod(0o400)
        self.broker_file = self.private / "broker.db"
        self.started: list[subprocess.Popen[str]] = []
        self._numbers = itertools.count(1)
        self._schedd: GrantingSchedd | None = None
        self._schedd_user = 0

    def own_by(self, user: int) -> None:
        if os.geteuid() == 0:
            for path in (self.private, *self.private.rglob("*")):
                os.chown(path, user, user)

    def submit(self, *tasks: Task) -> None:
        broker = connect(f"sqlite://{self.broker_file}")
        bodies = [encode(submission(task, f"{next(self._numbers)}.0")) for task in tasks]
        broker.submit("alien_jobs", bodies)
        broker.close()
        self.start_schedd(0)

    def start_schedd(self, user: int) -> None:
        """Start a schedd as the user of the broker's file, if there is none of this user yet."""
        if self._schedd is not None and self._schedd_user == user:
            return
        if self._schedd is not None:
            self._schedd.close()
        self.own_by(user)
        url = f"sqlite://{self.broker_file}"
        self._schedd, self._schedd_user = GrantingSchedd(url, user), user

    def start(
        self, user: int, *options: str, prefix: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[str]:
        self.own_by(user)
        self.start_schedd(user)
        process = subprocess.Popen(
            [
                *prefix,
                sys.executable, "-c", WORKER, str(user), str(self.broker_file), "--workdir",
                str(self.work), "--timeout", "5", *options,
            ],
            env={"PATH": "/usr/bin:/bin", **env}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def told(self) -> list[Message]:
        broker = connect(f"sqlite://{self.broker_file}")
        records = broker.read(-1, 10**6)
        broker.close()
        return [decode(record.body) for record in records]

    def result(self, worker: subprocess.Popen[str]) -> Finished:
        _out, said = worker.communicate(timeout=90)
        assert "Traceback" not in said, said
        assert worker.returncode == 0, said
        finished = self.told()[-1]
        assert isinstance(finished, Finished)
        return finished

    def close(self) -> None:
        if self._schedd is not None:
            self._schedd.close()
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        shutil.rmtree(self.path)
