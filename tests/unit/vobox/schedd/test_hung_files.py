"""A submit directory that does not answer stops the jobs of its owner, and nobody else's."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, ScheddHarness, logged
from tests.support.waiting import wait_until
from thyme.protocol.events import HoldReason
from thyme.protocol.job import JobId
from vobox.files import output, user_logs
from vobox.files.owner_threads import OwnerThreads
from vobox.files.user_log_index import UserLogIndex
from vobox.jobs.job import Job
from vobox.schedd.state import ScheddState

ALICE, BOB = 1001, 1002


class FileServer:
    """Lets all of Alice's user logs wait while it hangs."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        #: whether somebody waits for it
        self.asked = threading.Event()
        self.write_log = output.write_log


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    made = FileServer()

    def write(job: Job, text: str, once: bool, logs: UserLogIndex) -> HoldReason | None:
        answers = made.answers
        if job.uid == ALICE:
            made.asked.set()
            if not answers.wait(600):
                return None
        me = Events()
        ours = Job(job.id, me.uid, me.gid, job.pool, job.ad, job.status)
        return made.write_log(ours, text, once, logs)

    monkeypatch.setattr(output, "write_log", write)
    monkeypatch.setattr(output, "write_output", lambda _job, _result: None)
    yield made
    made.answers.set()


@pytest.fixture
def bench(tmp_path: Path, server: FileServer) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path)
    _be_impatient(made.state)
    made.transport = made.transport
    yield made
    server.answers.set()
    made.close()


def _be_impatient(state: ScheddState) -> None:
    state.owner_threads = OwnerThreads(patience=0.5)
    state.user_logs = user_logs.UserLogs(state.ledger, state.owner_threads)


def events(tmp_path: Path, uid: int, cluster: int) -> Events:
    log = tmp_path / f"{uid}.log"
    return Events(JobId(cluster, 0), uid=uid, attributes={"UserLog": str(log)})


def test_the_others_jobs_end_and_hers_wait_for_her_log(
    bench: ScheddHarness, server: FileServer, tmp_path: Path
) -> None:
    hers, his = events(tmp_path, ALICE, 1), events(tmp_path, BOB, 2)
    for each in (hers, his):
        bench.record(each.submit(), each.started(), each.finished())
    assert bench.job(his.job).status == 4
    assert logged(tmp_path / "1002.log") == ["000 2.0", "001 2.0", "006 2.0", "005 2.0"]
    # her jobs go on, their lines are on disk, and no job of hers is Completed before its log is
    assert bench.job(hers.job).status == 6
    assert not (tmp_path / "1001.log").exists()
    assert [job for _id, job, _text in bench.ledger.list_waiting_log(10)] == [hers.job] * 3
    assert bench.state.owner_threads.list_waits().keys() == {ALICE}

    server.answers.set()
    wait_until(lambda: not bench.state.owner_threads.is_busy(ALICE), "her log answers")

    def completed() -> bool:
        bench.settle()
        return bench.job(hers.job).status == 4

    wait_until(completed, "her job is Completed")
    assert logged(tmp_path / "1001.log") == ["000 1.0", "001 1.0", "006 1.0", "005 1.0"]
    assert bench.ledger.list_waiting_log(10) == []
    assert bench.kinds(hers.job).count("held") == 0


@pytest.mark.parametrize("others_write", [False, True])
def test_output_that_took_long_is_written_once(
    bench: ScheddHarness,
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    others_write: bool,
) -> None:
    """Written again after the job is Completed, it would replace what its owner made of it."""
    server.answers.set()
    may_end, written = threading.Event(), list[JobId]()

    def write(job: Job, _result: object) -> HoldReason | None:
        written.append(job.id)
        assert may_end.wait(60)
        return None

    monkeypatch.setattr(output, "write_output", write)
    hers = events(tmp_path, ALICE, 1)
    bench.record(hers.submit(), hers.started(), hers.finished())
    wait_until(lambda: written, "her output is being written")
    bench.settle()
    assert bench.job(hers.job).status == 6
    may_end.set()
    wait_until(lambda: not bench.state.owner_threads.is_busy(ALICE), "her output is written")
    if others_write:  # whoever writes something next is told that hers is done
        bench.state.owner_threads.run([])
    bench.settle()
    assert bench.job(hers.job).status == 4
    wait_until(lambda: not bench.state.owner_threads.is_busy(ALICE), "nothing is written")
    assert written == [hers.job]


def test_lines_that_wait_are_written_after_a_restart_once_and_in_order(
    bench: ScheddHarness, server: FileServer, tmp_path: Path
) -> None:
    hers = events(tmp_path, ALICE, 1)
    bench.record(hers.submit(), hers.started())
    bench.record(hers.held(), hers.released())
    assert len(bench.ledger.list_waiting_log(10)) == 5

    assert server.asked.wait(60)
    server.answers = threading.Event()  # the threads of the killed schedd write nothing more
    bench.restart()  # the schedd comes up although her files still hang
    assert len(bench.ledger.list_waiting_log(10)) == 5

    server.answers.set()
    wait_until(lambda: not bench.state.owner_threads.is_busy(ALICE), "her log answers")

    def written() -> bool:
        bench.settle()
        return not bench.ledger.list_waiting_log(10)

    wait_until(written, "her lines are written")
    lines = logged(tmp_path / "1001.log")
    assert lines == ["000 1.0", "001 1.0", "004 1.0", "012 1.0", "013 1.0"]


def test_a_waiting_line_that_cannot_be_written_holds_the_job(
    bench: ScheddHarness, server: FileServer, tmp_path: Path
) -> None:
    hers = Events(JobId(1, 0), uid=ALICE, attributes={"UserLog": "/dev/null/log"})
    bench.record(hers.submit())
    assert bench.job(hers.job).status == 1
    server.answers.set()
    wait_until(lambda: not bench.state.owner_threads.is_busy(ALICE), "her log answers")

    def held() -> bool:
        bench.settle()
        return bench.job(hers.job).status == 5

    wait_until(held, "her job is held")
    assert bench.job(hers.job).ad.number("HoldReasonCode") == 22
