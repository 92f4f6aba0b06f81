"""A site on a RabbitMQ of the bench's own, configured as it comes."""

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.process_site import PROGRAMS, LiveSite
from tests.support.services.rabbitmq import RabbitServer

POOL = "alien_jobs"
#: Seconds: no bench is to lose a job to a busy machine.
LEASE = 600.0


class AmqpSite(LiveSite):
    """``rabbit`` is its broker."""

    def __init__(self, root: Path, rabbit: RabbitServer, pilots: int = 8) -> None:
        super().__init__(root, LEASE, pilots, url=rabbit.vhost().url)
        self.rabbit = rabbit

    def start_pilots(self, count: int) -> None:
        """If we are root, each is the first process of its own pid namespace, as in a container.

        A job is then started without a copy of the worker, which is a third of what it costs.
        Jobs run as users of their own, as those of real pilots do.
        """
        for directory in (self.root.parent, self.root, self.root / "scratch"):
            directory.chmod(0o711)
        container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        for number in range(count):
            name = f"worker{number}"
            with (self.root / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [
                        *(container if os.geteuid() == 0 else []), PROGRAMS / "thyme-worker",
                        f"--workdir={self.root / 'scratch'}", "--max-jobs=0", "--timeout=600",
                        "--heartbeat=60",
                    ],
                    env=self.env, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip

    def stop(self) -> list[tuple[int, str]]:
        for name in [name for name in self.running if name.startswith("worker")]:
            pilot = self.running.pop(name)
            pilot.kill()  # unshare heeds no SIGTERM; what it started dies with it
            pilot.wait()
        return super().stop()


@contextmanager
def amqp_site(*schedd: str, pilots: int = 8) -> Iterator[AmqpSite]:
    """Run a broker and a schedd with these options; the benchmark starts the pilots."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        broker = Path(directory) / "broker"
        broker.mkdir()
        rabbit = RabbitServer(broker)
        try:
            rabbit.up()
            root = Path(directory) / "site"
            root.mkdir()
            site = AmqpSite(root, rabbit, pilots)
            try:
                site.start_schedd(*schedd)
                yield site
            finally:
                site.stop()
        finally:
            rabbit.clean()
