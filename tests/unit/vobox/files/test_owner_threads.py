"""A file that does not answer keeps its owner waiting, and nobody else."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.few_threads import refuse_threads
from tests.support.waiting import wait_until
from thyme.protocol.events import HoldReason
from vobox.files.owner_threads import FileTask, OwnerThreads
from vobox.files.user_log_index import UserLogIndex

ALICE, BOB = 1001, 1002
PATIENCE = 0.2


class Disk:
    """Writes, which Alice's file server may let wait."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.written: list[str] = []
        self.told: list[tuple[str, HoldReason | None]] = []

    def task(self, uid: int, name: str, hangs: bool = False) -> FileTask:
        def write(_logs: UserLogIndex) -> HoldReason | None:
            if hangs:
                assert self.answers.wait(30)
            self.written.append(name)
            return HoldReason(12, 2, "no such file") if name == "bad" else None

        return FileTask(uid, f"/home/{name}", write, lambda failed: self._tell(name, failed))

    def _tell(self, name: str, failed: HoldReason | None) -> None:
        self.told.append((name, failed))

    def names(self) -> list[str]:
        return [name for name, _failed in self.told]


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.answers.set()


def seconds(what: Callable[[], None]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def test_what_is_asked_for_is_written_in_order_when_run_returns(disk: Disk) -> None:
    threads = OwnerThreads()
    threads.run([disk.task(ALICE, str(number)) for number in range(50)])
    assert disk.names() == disk.written == [str(number) for number in range(50)]
    assert threads.list_busy() == [] and threads.list_waits() == {}


def test_an_owner_is_busy_until_it_is_told_that_his_file_is_written(disk: Disk) -> None:
    threads = OwnerThreads(PATIENCE)
    threads.run([disk.task(ALICE, "slow", hangs=True)])
    assert threads.list_busy() == [ALICE]
    disk.answers.set()
    wait_until(lambda: not threads.is_busy(ALICE), "the file is written")
    assert (threads.list_busy(), disk.told) == ([ALICE], []), "else it is asked for again"
    threads.run([])
    assert (threads.list_busy(), disk.told) == ([], [("slow", None)])


def test_a_failure_is_told(disk: Disk) -> None:
    OwnerThreads().run([disk.task(ALICE, "bad"), disk.task(ALICE, "good")])
    assert disk.told == [("bad", HoldReason(12, 2, "no such file")), ("good", None)]


def test_an_exception_is_a_failure_and_ends_nothing(disk: Disk) -> None:
    def write(_logs: UserLogIndex) -> HoldReason | None:
        raise ZeroDivisionError("oh")

    told: list[HoldReason | None] = []
    threads = OwnerThreads()
    threads.run([FileTask(ALICE, "/home/x", write, told.append), disk.task(ALICE, "next")])
    assert told[0] is not None and told[0].text == "writing /home/x: ZeroDivisionError: oh"
    assert disk.names() == ["next"]


def test_a_thread_that_cannot_be_started_is_tried_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = OwnerThreads()
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        with pytest.raises(RuntimeError):
            threads.run([disk.task(ALICE, "a")])
    threads.run([disk.task(ALICE, "b")])
    assert disk.names() == ["b"]


def test_an_owner_whose_files_hang_is_waited_for_once(disk: Disk) -> None:
    threads = OwnerThreads(PATIENCE)
    first = [disk.task(ALICE, "a", hangs=True), disk.task(ALICE, "b"), disk.task(BOB, "c")]
    assert PATIENCE <= seconds(lambda: threads.run(first)) < PATIENCE + 5
    assert disk.names() == ["c"]
    assert threads.is_late(ALICE) and not threads.is_late(BOB)
    assert threads.list_busy() == [ALICE]
    # her thread began a little later than the wait for it
    wait_until(lambda: threads.describe_wait(ALICE) != "", "her file has not answered for as long")
    assert threads.describe_wait(ALICE).startswith("/home/a has not answered for ")
    assert threads.list_waits().keys() == {ALICE}

    for number in range(20):
        threads.run([disk.task(ALICE, f"d{number}"), disk.task(BOB, f"e{number}")])
        assert disk.names()[-1] == f"e{number}"  # Bob's is written, and nobody waits for Alice's

    disk.answers.set()
    wait_until(lambda: not threads.is_busy(ALICE), "Alice's files answer")
    threads.run([])
    hers = ["a", "b", *(f"d{number}" for number in range(20))]
    assert [name for name in disk.names() if name[0] in "abd"] == hers
    assert threads.list_waits() == {}


def test_a_late_owner_is_trusted_again_after_a_while(disk: Disk) -> None:
    now = [0.0]
    threads = OwnerThreads(PATIENCE, late_seconds=60.0, clock=lambda: now[0] + time.monotonic())
    threads.run([disk.task(ALICE, "a", hangs=True)])
    disk.answers.set()
    wait_until(lambda: not threads.is_busy(ALICE), "Alice's files answer")
    assert threads.is_late(ALICE)  # who hangs now and then costs the others one wait a minute
    now[0] = 61.0
    assert not threads.is_late(ALICE)
    threads.run([disk.task(ALICE, "b")])
    assert disk.names() == ["a", "b"]
