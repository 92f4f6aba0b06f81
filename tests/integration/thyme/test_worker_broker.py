"""``thyme-worker`` on a real RabbitMQ that is slow to come, cuts it off, or does not know it."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services.cuttable_connection import CuttableConnection
from tests.support.services.rabbitmq import VirtualHost, free_port
from tests.support.waiting import wait_until
from tests.support.worker_program import WORKER, WorkerSite, shell
from thyme.protocol.codec import decode
from thyme.protocol.events import Finished
from thyme.protocol.mail import Waiting

#: Seconds after which the broker gives up a client that it does not hear: the least there is.
HEARTBEAT = 5


class Site(WorkerSite):
    def __init__(self, path: Path, host: VirtualHost) -> None:
        super().__init__(path)
        self.host = host
        self.url = host.url
        self.broker.open_inbox("thyme.schedd.listener", ["alien_jobs"])

    def start_at(self, url: str, *options: str) -> subprocess.Popen[str]:
        """Start a worker at this URL; what it says goes to a file."""
        with open(self.path / "said", "a") as said:
            process = subprocess.Popen(
                [WORKER, "--workdir", str(self.work), "--user", "self", *options],
                env={"PATH": os.environ["PATH"], "THYME_URL": url}, stderr=said, text=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def start_heard(self, *options: str) -> subprocess.Popen[str]:
        """Start one that the broker gives up when it does not hear of it."""
        return self.start_at(f"{self.url}?heartbeat={HEARTBEAT}", *options)

    def said(self) -> list[str]:
        text = (self.path / "said").read_text()
        assert "Traceback" not in text
        assert self.host.password not in text
        return text.splitlines()

    def up(self) -> Path:
        """Return a file that the job makes when it runs."""
        return self.path / "up"


@pytest.fixture
def site(tmp_path: Path, rabbitmq: VirtualHost) -> Iterator[Site]:
    made = Site(tmp_path, rabbitmq)
    yield made
    made.close()


def test_a_job_may_run_longer_than_the_heartbeat_timeout(site: Site) -> None:
    site.submit(shell(f"touch {site.up()}; sleep {HEARTBEAT * 2.5}; echo done"))

    worker = site.start_heard()

    assert worker.wait(90) == 0
    # a line that broke would be said
    assert site.said() == []
    site.wait_for_kinds("started", "finished")
    finished = site.told()[-1]
    assert isinstance(finished, Finished)
    assert (finished.exit_code, finished.stdout) == (0, b"done\n")


def test_a_line_that_is_closed_while_a_job_runs_is_made_again_and_the_job_goes_on(
    site: Site,
) -> None:
    site.submit(
        shell(f"touch {site.up()}; until [ -e {site.path}/go ]; do sleep 0.1; done; exit 3")
    )
    worker = site.start_heard()
    wait_until(site.up().exists, "the job", timeout=60.0)

    site.host.server.ctl("close_all_connections", "--vhost", site.host.name, "test")
    wait_until(site.said, "the worker to notice", timeout=60.0)
    (site.path / "go").touch()

    assert worker.wait(90) == 0
    *tries, last = site.said()
    assert tries and all("; next try in " in line for line in tries)
    assert "the broker answers again after " in last
    site.broker.close()
    site._broker = None
    site.wait_for_kinds("started", "finished")


def test_4_a_wrong_password_is_said_once_and_at_once(site: Site) -> None:
    wrong = site.url.replace(site.host.password, "my-own-guess")

    worker = site.start_at(wrong, "--timeout", "300")

    assert worker.wait(60) == 4
    *warnings, last = site.said()
    assert len(warnings) <= 1  # no second attempt
    assert last.startswith("thyme-worker: broker ")
    assert "refused" in last
    assert "my-own-guess" not in "".join(site.said())


def test_4_a_broker_that_is_not_there_within_the_timeout(site: Site) -> None:
    worker = site.start_at(site.host.url_at(free_port()), "--timeout", "10", "--max-backoff", "0.5")

    assert worker.wait(60) == 4
    *warnings, last = site.said()
    assert len(warnings) >= 2
    form = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} thyme-worker: .*; next try in \d+\.\d s\n?"
    assert all(re.fullmatch(form, line) for line in warnings)
    assert last.startswith("thyme-worker: gave up after --timeout: ")


def test_a_broker_that_comes_up_later_is_waited_for(site: Site) -> None:
    line = CuttableConnection(site.host.server.port)
    line.cut()
    site.submit(shell("exit 0"))
    try:
        worker = site.start_at(site.host.url_at(line.port) + "?timeout=1", "--max-backoff", "0.5")
        wait_until(
            lambda: (site.path / "said").exists() and site.said(), "a first attempt", timeout=60.0
        )
        line.mend()
        assert worker.wait(90) == 0
    finally:
        line.close()
    site.wait_for_kinds("started", "finished")


def test_a_waiting_worker_is_heard_by_whoever_listens_to_its_pool(site: Site) -> None:
    worker = site.start_heard("--timeout", "60", "--heartbeat", "0.5")
    heard: list[Waiting] = []

    def listen() -> bool:
        while (mail := site.broker.receive()) is not None:
            message = decode(mail.body)
            assert isinstance(message, Waiting)
            heard.append(message)
        site.broker.wait(0.2)
        return len(heard) >= 3

    wait_until(listen, "three words", timeout=60.0)
    worker.terminate()
    wait_until(lambda: listen() and heard[-1].leaving, "its leave", timeout=60.0)

    assert worker.wait(60) == 143
    assert len({word.worker for word in heard}) == 1
    assert heard[0].pool == "alien_jobs"
