"""A site on a RabbitMQ of the bench's own, configured as it comes."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live_site import LiveSite
from tests.services.rabbitmq import Rabbit
from thyme.transport import connect

POOL = "alien_jobs"
#: Seconds: no bench is to lose a job to a busy machine.
LEASE = 600.0


class AmqpSite(LiveSite):
    """``rabbit`` is its broker; ``other_url`` the same topology without anybody in it."""

    def __init__(self, root: Path, rabbit: Rabbit, pilots: int = 8) -> None:
        super().__init__(root, LEASE, pilots, url=rabbit.vhost().url)
        self.rabbit = rabbit
        self.other_url = rabbit.vhost().url
        transport = connect(self.other_url)
        try:
            transport.establish([POOL])
        finally:
            transport.close()

    def start_pilots(self, count: int) -> None:
        for number in range(count):
            self.start_worker(f"worker{number}", "--max-jobs=0", "--timeout=600", "--heartbeat=60")


@contextmanager
def amqp_site(pilots: int = 8) -> Iterator[AmqpSite]:
    """A broker and a schedd; pilots are for the bench to start."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        broker = Path(directory) / "broker"
        broker.mkdir()
        rabbit = Rabbit(broker)
        try:
            rabbit.up()
            root = Path(directory) / "site"
            root.mkdir()
            site = AmqpSite(root, rabbit, pilots)
            try:
                site.start_schedd()
                yield site
            finally:
                site.stop()
        finally:
            rabbit.clean()
