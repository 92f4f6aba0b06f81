"""What one owner may have in the queue, over many submits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, job_after
from thyme.protocol.job import JobId
from vobox.ledger.writer import Ledger
from vobox.rpc.types import CommandRefused
from vobox.schedd.owner_limits import BATCH, MEASURE_INTERVAL, OwnerLimits, WaitingMessages
from vobox.schedd.queue_watch import QueueWatch


class Queue:
    """A ledger of jobs whose messages have 1000 bytes, and the limits of their owners."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self.now = 5.0
        self.watch = QueueWatch(300.0)
        self.waiting = WaitingMessages(self.watch)
        self.limits = OwnerLimits(self.ledger, self.waiting, 4, 3500, lambda: self.now)

    def put(self, cluster: int, owner: str = "alice", size: int = 0) -> None:
        job = job_after(Events(JobId(cluster, 0), attributes={"Owner": owner}).submit())
        with self.ledger.transaction():
            self.ledger.put(job)
            if size:
                self.ledger.put_body(job.id, "output", bytes(size))

    def remove(self, cluster: int) -> None:
        job = self.ledger.get(JobId(cluster, 0))
        assert job is not None
        job.in_queue = False
        with self.ledger.transaction():
            self.ledger.put(job)

    def says(self, jobs: int, size: int = 0, owner: str = "alice") -> str:
        """Why so much more is refused; "" if it is not."""
        try:
            self.limits.check(owner, jobs, size)
        except CommandRefused as refusal:
            return str(refusal)
        return ""


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "ledger.db")
    yield made
    made.ledger.close()


def test_an_owner_has_only_so_many_jobs_in_the_queue(queue: Queue) -> None:
    for cluster in range(1, 4):
        queue.put(cluster)
    queue.put(9, owner="bob")

    assert queue.says(1) == ""
    # HTCondor's words, but for the number
    assert queue.says(2) == (
        "Failed to create proc\nNumber of submitted jobs would exceed MAX_JOBS_PER_OWNER (4)"
    )
    assert queue.says(3, owner="bob") == ""

    queue.remove(1)
    assert queue.says(2) == "", "jobs that left the queue do not count"


def test_an_owners_jobs_have_only_so_many_bytes(queue: Queue) -> None:
    queue.put(1, size=1000)
    queue.put(2, owner="bob", size=2900)

    assert queue.says(1, 2500) == ""
    queue.limits.add("alice", 2500)

    assert queue.says(1, 1) == (
        "the messages of alice's jobs in the queue have 3500 bytes, and those of this submit 1: "
        "an owner may have 3500 (thyme-schedd --max-bytes-per-owner); remove jobs, or let them "
        "fetch their files"
    )
    assert queue.says(1, 0) == "", "who brings nothing is not kept out"
    assert queue.says(1, 500, owner="bob") == ""


def test_bytes_of_jobs_that_left_the_queue_are_free_again(queue: Queue) -> None:
    queue.put(1, size=3000)
    assert queue.says(1, 1000) != ""
    queue.remove(1)
    assert queue.says(1, 1000) != "", "added up once in a while only"

    queue.now += MEASURE_INTERVAL
    assert queue.says(1, 1000) == ""


def test_messages_of_jobs_that_left_the_queue_count_until_workers_have_taken_them(
    queue: Queue,
) -> None:
    for offset, (pool, number) in enumerate([("a", 2), ("a", 2), ("b", 2)], 7):
        for _ in range(number):
            queue.waiting.add("alice", pool, offset, 1000)
    assert queue.says(2, 1000) == ""
    told = (
        "6 messages of alice's jobs, of 6000 bytes, wait for workers, those of removed and of "
        "released jobs included: an owner may have 8, and 7000 bytes (2 times thyme-schedd "
        "--max-jobs-per-owner and --max-bytes-per-owner); wait until workers have taken some"
    )
    assert [queue.says(3), queue.says(1, 1001)] == [told] * 2
    assert queue.says(4, 3500, owner="bob") == ""

    queue.watch.record_left("a", 7)  # counted with those that came after it
    assert queue.says(3) == told
    queue.watch.record_left("a", 8)
    assert queue.says(4, 3500) == ""
    assert queue.waiting.list_pools() == {"b"}
    queue.watch.record_left("b", 100)
    assert queue.waiting.list_pools() == set()


def test_many_messages_are_counted_in_batches(queue: Queue) -> None:
    for offset in range(3 * BATCH):
        queue.waiting.add("alice", "a", offset, 1)
    assert queue.waiting.count("alice") == (3 * BATCH, 3 * BATCH)
    queue.watch.record_left("a", 2 * BATCH)
    assert queue.waiting.count("alice") == (BATCH, BATCH)
