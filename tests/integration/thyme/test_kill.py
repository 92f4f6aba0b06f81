"""Nothing is lost and nothing doubled when processes die with kill -9, at every step."""

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.support.worker_program import WorkerSite, shell
from thyme.broker import Transport
from thyme.broker.sqlite.transport import DELIVERY_LIMIT
from thyme.protocol.codec import decode

POOL = "alien_jobs"
#: kill -9 of a random consumer at a random moment, so often.
KILLS = 10


class Site(WorkerSite):
    def start_program(self, *command: str) -> subprocess.Popen[str]:
        options = ["--url", self.url, "--workdir", str(self.work), "--user", "self"]
        process = subprocess.Popen(
            [sys.executable, *command, *options], stderr=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def runs(self) -> int:
        """How often the job's first line was carried out."""
        ran = self.path / "ran"
        return len(ran.read_text().splitlines()) if ran.exists() else 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


BEFORE_THE_CLAIM = [("before", "take", "1"), ("after", "take", "1"), ("before", "send", "1")]
AFTER_THE_CLAIM = [
    (("after", "send", "1"), ["started"], 0),
    (("before", "ack", "1"), ["started"], 0),
    (("after", "ack", "1"), ["started"], 0),
    (("before", "record", "1"), ["started"], 1),
    (("after", "record", "1"), ["started", "finished"], 1),
]


def ident(step: tuple[str, str, str]) -> str:
    return "-".join(step)


@pytest.mark.parametrize("step", BEFORE_THE_CLAIM, ids=ident)
def test_a_worker_that_dies_before_its_claim_loses_nothing(
    site: Site, step: tuple[str, str, str]
) -> None:
    site.submit(shell(f"echo x >> {site.path}/ran"))
    dying = site.start_program("-m", "tests.support.dying_worker", *step)
    assert dying.wait(timeout=60) == -signal.SIGKILL
    assert site.kinds() == []

    assert site.run("--timeout", "10")[0] == 0

    assert site.kinds() == ["started", "finished"]
    assert site.runs() == 1
    assert site.run()[0] == 3


@pytest.mark.parametrize(
    ("step", "said", "runs"), AFTER_THE_CLAIM, ids=[ident(step) for step, *_ in AFTER_THE_CLAIM]
)
def test_a_worker_that_dies_after_its_claim_leaves_the_job_to_its_lease(
    site: Site, step: tuple[str, str, str], said: list[str], runs: int
) -> None:
    site.submit(shell(f"echo x >> {site.path}/ran"))
    dying = site.start_program("-m", "tests.support.dying_worker", *step)
    assert dying.wait(timeout=60) == -signal.SIGKILL

    assert site.run("--timeout", "1.5")[0] == 3

    assert site.kinds() == said
    assert site.runs() == runs


def test_a_worker_that_dies_while_its_job_runs_takes_it_along_and_leaves_the_rest_to_the_lease(
    site: Site,
) -> None:
    # nothing of it that would outlive its shell
    on = f"while sleep 0.1; do :; done; echo x >> {site.path}/ran"
    site.submit(shell(f"echo $$ >> {site.path}/ran; kill -9 $PPID; {on}"))
    dying = site.start_program("-m", "thyme.worker.cli")
    assert dying.wait(timeout=60) == -signal.SIGKILL

    assert site.run("--timeout", "1.5")[0] == 3

    assert site.kinds() == ["started"]
    job = int((site.path / "ran").read_text())
    wait_until(lambda: not Path(f"/proc/{job}").exists(), "the job to die with its worker")
    assert site.runs() == 1


def test_a_message_at_which_every_worker_dies_becomes_a_dead_letter(site: Site) -> None:
    site.submit(shell("true"))
    killer = (
        "import os, sys; from thyme.broker import connect\n"
        f"assert connect(sys.argv[sys.argv.index('--url') + 1]).take('{POOL}')\n"
        "os.kill(os.getpid(), 9)"
    )
    for _ in range(DELIVERY_LIMIT):
        assert site.start_program("-c", killer).wait(timeout=60) == -signal.SIGKILL

    assert site.run("--timeout", "1.5")[0] == 3

    (letter,) = site.broker.list_dead_letters()
    assert letter.reason == f"delivered {DELIVERY_LIMIT} times, and each time its worker died"
    assert decode(letter.body).kind == "submit"
    # that it was put aside is in the stream too: its schedd then holds it
    assert [message.kind for message in site.told()] == ["submit"] * 2


CONSUMER = f"""
import os, sys, time
from thyme.broker import Transport, connect
broker = connect(sys.argv[sys.argv.index("--url") + 1])
end = time.monotonic() + 280  # should nobody end it
while time.monotonic() < end:
    delivery = broker.take("{POOL}")
    if delivery is None:
        if b"end" in [record.body for record in broker.read(-1, 10**6)]:
            break
        broker.wait(0.2)
        continue
    if delivery.body == b"end":
        broker.ack(delivery)
        continue
    broker.record([b"%d took %s %d" % (os.getpid(), delivery.body, delivery.redelivered)])
    broker.ack(delivery)
broker.close()
"""
PRODUCER = f"""
import sys
from thyme.broker import Transport, connect
broker = connect(sys.argv[sys.argv.index("--url") + 1])
for n in range(100):
    broker.submit("{POOL}", [b"%s-%d" % (sys.argv[1].encode(), n)])
broker.close()
"""


def consumed(site: Site) -> tuple[list[bytes], list[tuple[int, bytes, bool]]]:
    """Return what was submitted, and what was taken by whom, both in the order of the stream."""
    bodies = [record.body for record in site.broker.read(-1, 10**6)]
    words = [body.split(b" ") for body in bodies]
    takes = [(int(w[0]), w[2], w[3] == b"1") for w in words if len(w) == 4]
    return [w[0] for w in words if len(w) == 1 and w[0] != b"end"], takes


def test_many_processes_get_every_message_once_and_in_order(site: Site) -> None:
    consumers = [site.start_program("-c", CONSUMER) for _ in range(4)]
    producers = [site.start_program("-c", PRODUCER, f"p{n}") for n in range(3)]
    for producer in producers:
        assert producer.wait(timeout=60) == 0
    site.broker.submit(POOL, [b"end"])
    for consumer in consumers:
        assert consumer.wait(timeout=60) == 0, consumer.communicate()

    submitted, takes = consumed(site)

    assert len(submitted) == 300
    assert sorted(body for _pid, body, _again in takes) == sorted(submitted)
    # one order for all: each consumer's share is in the order of submission
    place = {body: n for n, body in enumerate(submitted)}
    for consumer in consumers:
        mine = [place[body] for pid, body, _again in takes if pid == consumer.pid]
        assert mine == sorted(mine)
    for n in range(3):
        own = [body for body in submitted if body.startswith(b"p%d-" % n)]
        assert own == [b"p%d-%d" % (n, i) for i in range(100)]


class Supply:
    """Enough messages for everybody at any time, and how many each consumer has taken."""

    def __init__(self, broker: Transport) -> None:
        self._broker = broker
        self._made, self._offset = 0, -1
        self.counts: Counter[int] = Counter()

    def has_given(self, pid: int, share: int) -> bool:
        """Return a consumer that starts late must not find all taken by the others."""
        while self._broker.count_ready(POOL) < 500:
            self._made += 500
            self._broker.submit(POOL, [b"m-%d" % n for n in range(self._made - 500, self._made)])
        for record in self._broker.read(self._offset, 10**6):
            self._offset = record.offset
            words = record.body.split(b" ")
            if len(words) == 4:  # as ``consumed`` reads them
                self.counts[int(words[0])] += 1
        return self.counts[pid] >= share


@pytest.mark.kill
def test_killing_consumers_at_random_loses_nothing_and_repeats_only_what_they_held(
    site: Site,
) -> None:
    dice = random.Random(2026)
    supply = Supply(site.broker)
    consumers = [site.start_program("-c", CONSUMER) for _ in range(3)]
    for _ in range(KILLS):
        victim = dice.randrange(3)
        pid, share = consumers[victim].pid, dice.randint(1, 60)
        wait_until(
            lambda pid=pid, share=share: supply.has_given(pid, share),
            "the victim to have done its share",
            state=lambda: supply.counts,
        )
        consumers[victim].kill()
        assert consumers[victim].wait() == -signal.SIGKILL
        consumers[victim] = site.start_program("-c", CONSUMER)
    site.broker.submit(POOL, [b"end"])
    for consumer in consumers:
        assert consumer.wait(timeout=60) == 0, consumer.communicate()

    submitted, takes = consumed(site)

    counts = Counter(body for _pid, body, _again in takes)
    assert set(counts) == set(submitted)
    # recorded, and killed before the ack: it says itself that it came again
    assert sum(counts.values()) - len(submitted) <= KILLS
    twice = {body for body, count in counts.items() if count > 1}
    assert twice <= {body for _pid, body, again in takes if again}
