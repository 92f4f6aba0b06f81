"""The schedd queues jobs again, writes output and logs, and applies policies."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.schedd_parts import SCHEDD, Events, Expression, ScheddHarness
from thyme.protocol import codec
from thyme.protocol.events import Held, HoldReason, JobMessage
from thyme.protocol.job import JobId, Task
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.rpc.types import CommandRefused
from vobox.schedd import reconciler


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path, lease=300.0, max_attempts=3)
    yield made
    made.close()


def running(bench: ScheddHarness, lease: float = 0.0) -> Events:
    e = Events(task=Task("/bin/sh", lease=lease))
    bench.submit(e.submit())
    bench.record(e.started())
    return e


def events_of(bench: ScheddHarness, kind: type[JobMessage]) -> list[Any]:
    return [m for m in bench.broker.messages() if isinstance(m, kind)]


def test_an_evicted_job_is_queued_again_at_once(bench: ScheddHarness) -> None:
    e = running(bench)
    bench.record(e.evicted(reason="evicted with its pilot"))
    job = bench.job()
    assert (job.status, job.attempt, job.losses, job.queued) == (1, 1, 0, True)
    assert bench.transport.count_ready("pool") == 2


def test_a_job_submitted_on_hold_is_queued_when_released(bench: ScheddHarness) -> None:
    e = Events()
    bench.record(e.recorded())
    assert bench.transport.count_ready("pool") == 0
    bench.record(e.released())
    assert bench.transport.count_ready("pool") == 1 and bench.job().queued


@pytest.mark.parametrize("lost", [False, True])
def test_of_large_messages_a_step_queues_a_few_again(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Each may have 16 MiB of input: they would fill the memory, and all others would wait."""
    jobs = [Events(JobId(7, proc), task=Task("x", arguments=("y" * 2000,))) for proc in range(7)]
    if lost:
        bench.submit(*(e.submit() for e in jobs))
        bench.transport.purge_queue("pool")
        bench.reconciler.queue_all_again()
    else:
        bench.broker.record(codec.encode(e.recorded()) for e in jobs)
        bench.broker.record(codec.encode(e.released()) for e in jobs)
    monkeypatch.setattr(reconciler, "STEP_BYTES", 4000)
    ready = []
    while bench.reconciler.reconcile_step(at_once=True) == 0.0:
        ready.append(bench.transport.count_ready("pool"))
    assert [number for number in dict.fromkeys(ready) if number] == [2, 4, 6, 7]
    assert all(bench.job(e.job).queued for e in jobs)


def test_a_result_that_cannot_be_written_waits_for_the_release(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    (tmp_path / "there").write_bytes(b"")  # no directory
    e = Events(attributes={"Iwd": str(tmp_path), "Out": "there/out"})
    bench.submit(e.submit())
    bench.record(e.started(), e.finished(stdout=b"kept\n"))
    job = bench.job()
    assert (job.status, job.ad["HoldReasonCode"], job.ad["HoldReasonSubCode"]) == (5, "12", "20")

    (tmp_path / "there").unlink()
    (tmp_path / "there").mkdir()
    bench.record(e.released())

    assert (tmp_path / "there/out").read_bytes() == b"kept\n"
    job = bench.job()
    assert (job.status, job.in_queue, job.ad["NumJobStarts"]) == (4, False, "1")
    assert bench.transport.count_ready("pool") == 1, "it was not queued again"


def test_a_log_that_cannot_be_written_holds_the_job_once(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    (tmp_path / "there").write_bytes(b"")  # no directory
    e = Events(attributes={"UserLog": str(tmp_path / "there/log")})
    bench.submit(e.submit())
    assert (bench.job().status, bench.job().ad["HoldReasonCode"]) == (5, "22")
    assert len(events_of(bench, Held)) == 1

    (tmp_path / "there").unlink()
    (tmp_path / "there").mkdir()
    bench.record(e.released())
    assert bench.job().status == 1
    assert (tmp_path / "there/log").read_text().startswith("013 (038.000.000)")


def lose(bench: ScheddHarness, e: Events, kind: str, left: bytes | None) -> str:
    """Return why the job is held when it has run, and ``left`` is in the place of a message.

    ``kind``: of the message that the ledger keeps for the job.
    """
    bench.submit(e.submit())
    bench.broker.record([codec.encode(e.started()), codec.encode(e.finished())])
    bench.reader.catch_up(replaying=False)
    if left is None:
        bench.ledger.delete_body(e.job, kind)
    else:
        bench.ledger.put_body(e.job, kind, left)
    bench.settle()
    job = bench.job()
    assert job.status == 5
    return f"{job.ad['HoldReasonCode']} {job.ad['HoldReasonSubCode']} {job.ad.text('HoldReason')}"


def test_a_job_whose_result_the_ledger_has_lost_is_held_and_says_so(bench: ScheddHarness) -> None:
    assert lose(bench, Events(), "result", None) == "12 2 the result is no longer known"


def test_a_job_whose_result_cannot_be_read_is_held_and_says_so(bench: ScheddHarness) -> None:
    why = lose(bench, Events(), "result", b"garbage")
    assert why.startswith("12 2 its result cannot be read: not a thyme message: ")


KEPT = {
    "lost": (None, "26 0 it cannot be queued again: its input is no longer known"),
    "unreadable": (b"garbage", "26 0 it cannot be queued again: not a thyme message: "),
    "another": (
        codec.encode(Events().removed()),
        "26 0 it cannot be queued again: a removed message where its task should be",
    ),
}


@pytest.mark.parametrize("kept", KEPT)
def test_a_job_that_cannot_be_queued_again_is_held_and_says_why(
    bench: ScheddHarness, kept: str
) -> None:
    left, why = KEPT[kept]
    attributes = {"OnExitRemove": False}
    told = lose(bench, Events(attributes=attributes), "task", left)  # type: ignore[arg-type]
    assert told.startswith(why)
    assert bench.transport.count_ready("pool") == 1, "its first message, and no other"


def test_policies_fire_through_the_stream(bench: ScheddHarness) -> None:
    e = Events(attributes={"PeriodicHold": Expression("CurrentTime - QDate > 1500")})
    bench.submit(e.submit())
    bench.policies()
    assert bench.job().status == 1
    bench.wall.now += 501
    bench.policies()
    assert (bench.job().status, bench.job().ad["HoldReasonCode"]) == (5, "3")
    bench.policies()
    assert bench.kinds() == ["submit", "held"]


def test_a_job_leaves_when_leave_in_queue_turns_false(bench: ScheddHarness) -> None:
    keep = Expression("CurrentTime - QDate < 2000")
    completed, removed = Events(JobId(1, 0)), Events(JobId(2, 0))
    for e in (completed, removed):
        e.attributes = {"LeaveJobInQueue": keep}
        bench.submit(e.submit())
    bench.record(completed.started(), completed.finished(), removed.removed())
    bench.policies()
    assert [bench.job(e.job).in_queue for e in (completed, removed)] == [True, True]

    bench.wall.now += 2000
    bench.policies()

    assert [bench.job(e.job).in_queue for e in (completed, removed)] == [False, False]


def test_output_of_a_run_that_its_exit_held_is_on_the_submit_host(
    bench: ScheddHarness, tmp_path: Path
) -> None:
    e = Events(
        attributes={
            "Iwd": str(tmp_path), "Out": "out", "OnExitHold": Expression("ExitCode =!= 0"),
        }
    )  # fmt: skip
    bench.submit(e.submit())
    bench.record(e.started(), e.finished(code=1, stdout=b"what went wrong\n"))
    assert (tmp_path / "out").read_bytes() == b"what went wrong\n"
    assert bench.ledger.list_outputs_to_save() == []

    bench.record(e.released())
    assert (bench.job().status, bench.job().attempt) == (1, 1), "it runs again"


def test_an_event_that_cannot_be_recorded_is_not_waited_for(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = JobId(1, 0), JobId(2, 0)
    bench.submit(Events(one).submit(), Events(two).submit())
    bad = Held("schedd", one, math.nan, HoldReason(26, 1, "at no time"))
    good = Held("schedd", two, 1.0, HoldReason(26, 1, "as it should be"))
    monkeypatch.setattr(bench.state.failed_submits, "list_removals", lambda _now: [bad, good])

    bench.session.reconciler.remove_failed_submits()

    assert [held.job for held in events_of(bench, Held)] == [two]
    (said,) = caplog.messages
    assert said.startswith("held of job 1.0 cannot be recorded: ")
    assert not bench.reader.is_unread(one)
    assert bench.reader.is_unread(two)


@pytest.mark.parametrize("removed", [False, True])
def test_an_owner_cannot_fill_the_broker_with_messages_of_jobs_that_went_on_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, removed: bool
) -> None:
    """Held and released again and again by their owner, or removed and submitted again."""
    bench = ScheddHarness(tmp_path, max_jobs_per_owner=5)
    ready = lambda: bench.transport.count_ready("pool")  # noqa: E731
    other = Events(JobId(99, 0), attributes={"Owner": "bob"})
    bench.submit(other.submit())
    job = Events(JobId(1, 0), attributes={"Owner": "alice"})
    bench.submit(job.submit())
    for round in range(2, 20):
        if removed:
            bench.record(job.removed())
            with contextlib.suppress(CommandRefused):
                bench.state.owner_limits.check("alice", 1, 0)
                job = Events(JobId(round, 0), attributes={"Owner": "alice"})
                bench.submit(job.submit())
        else:
            bench.record(job.held(), job.released())
    assert ready() == 1 + 10
    if not removed:
        assert (bench.job(job.job).status, bench.job(job.job).queued) == (1, False)
        assert len(caplog.messages) == 1
        assert "jobs are queued again later: 10 messages" in caplog.messages[0]
    # others are not concerned
    bench.record(other.held(), other.released())
    assert ready() == 1 + 10 + 1 and bench.job(other.job).queued
    # workers take all messages, and none is left to claim them
    bench.transport.purge_queue("pool")
    bench.clock.now += 120
    bench.reconciler.end_leases()
    bench.state.owner_limits.check("alice", 4, 0)
    bench.settle()
    assert removed or bench.job(job.job).queued
    bench.close()


def test_an_owner_who_removes_his_jobs_without_end_does_not_fill_the_history(
    tmp_path: Path,
) -> None:
    with contextlib.closing(ScheddHarness(tmp_path, max_jobs_per_owner=2)) as bench:
        for number in range(1, 6):
            e = Events(JobId(number, 0), now=bench.wall.now + number)
            bench.submit(e.submit())
            bench.record(e.removed())
        assert not bench.reconciler.forget_old_jobs()
        with contextlib.closing(LedgerSnapshot(bench.ledger.path, SCHEDD, "", "")) as ledger:
            assert [job.id.cluster for job in ledger.list_left(None, 9)] == [5, 4]


def test_jobs_that_can_match_no_pilot_leave_the_schedd_most_of_its_time(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_to_queue, listed = bench.ledger.list_to_queue, list[float]()

    def list_slowly() -> list[JobId]:
        listed.append(bench.clock.now)
        bench.clock.now += 2.0
        return list_to_queue()

    monkeypatch.setattr(bench.ledger, "list_to_queue", list_slowly)
    bench.submit(Events(attributes={"Requirements": False}).submit())
    bench.record(Events().held(), Events().released())
    began = listed[-1]
    assert not bench.job().queued
    for _ in range(100):
        bench.clock.now += 1.0
        bench.settle()
    times = [round(at - began) for at in listed if at > began]
    assert times == [40, 80]  # a twentieth of the time is for it
