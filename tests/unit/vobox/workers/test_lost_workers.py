"""Workers without news: after its lease a job runs elsewhere, and is held after so many losses."""

import pytest

from tests.support.schedd_parts import JOB, LIFE, SCHEDD, Events, ScheddHarness
from thyme.broker import Mail
from thyme.protocol import codec
from thyme.protocol.events import Submit, Usage
from thyme.protocol.job import Task
from thyme.protocol.mail import Heartbeat


def beat(worker: str = "w1", attempt: int = 0) -> Heartbeat:
    return Heartbeat(
        SCHEDD, JOB, attempt, worker, f"slot1@{worker}", Usage(peak_rss=1024), life=LIFE
    )


# --- leases -------------------------------------------------------------------------------------


def running(bench: ScheddHarness, lease: float = 0.0) -> Events:
    e = Events(task=Task("/bin/sh", lease=lease))
    bench.submit(e.submit())
    bench.record(e.started())
    return e


def test_a_worker_without_news_for_its_lease_loses_the_job(bench: ScheddHarness) -> None:
    running(bench)
    bench.clock.now += 300
    bench.end_leases()
    assert bench.job().status == 2

    bench.clock.now += 1
    bench.end_leases()

    job = bench.job()
    assert (job.status, job.attempt, job.losses, job.queued) == (1, 1, 1, True)
    assert bench.kinds() == ["submit", "started", "lost", "submit"]
    last = bench.broker.messages()[-1]
    assert isinstance(last, Submit) and last.attempt == 1
    assert last.ad == bench.job().ad.texts() | {"JobStatus": "1"}
    assert last.task == Task("/bin/sh")


def test_heartbeats_keep_the_job(bench: ScheddHarness) -> None:
    running(bench)
    for _ in range(5):
        bench.clock.now += 299
        assert bench.ask(beat()) == []
        bench.end_leases()
    assert (bench.job().status, bench.job().losses) == (2, 0)


def test_the_jobs_own_lease_counts(bench: ScheddHarness) -> None:
    running(bench, lease=7200.0)
    bench.clock.now += 7200
    bench.end_leases()
    assert bench.job().status == 2
    bench.clock.now += 1
    bench.end_leases()
    assert bench.job().attempt == 1


def test_leases_start_again_after_the_broker_was_away(bench: ScheddHarness) -> None:
    running(bench)
    bench.clock.now += 10_000
    bench.leases.renew_all(bench.ledger.list_worked_on(), bench.clock())
    bench.end_leases()
    assert bench.job().status == 2
    bench.clock.now += 301
    bench.end_leases()
    assert bench.job().attempt == 1


def test_leases_start_again_with_the_schedd(bench: ScheddHarness) -> None:
    running(bench)
    bench.clock.now += 10_000
    bench.restart()
    bench.end_leases()
    assert bench.job().status == 2


def test_heartbeats_that_waited_while_the_schedd_stood_still_keep_the_job(
    bench: ScheddHarness,
) -> None:
    bench.transport.open_inbox("schedd")
    running(bench)
    line = bench.broker.connect()
    bench.mail.answer_claims()
    for _ in range(7):
        bench.clock.now += 50
        line.send("schedd", Mail(codec.encode(beat()), "w1"))

    bench.end_leases()

    assert (bench.job().worker, bench.job().losses) == ("w1", 0)
    bench.clock.now += 301
    bench.end_leases()
    assert bench.job().losses == 1
    line.close()


def test_no_lease_ends_while_there_is_more_mail_than_can_be_read(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(bench)
    bench.clock.now += 301
    with monkeypatch.context() as flooded:
        flooded.setattr(bench.transport, "receive", lambda: Mail(b"junk"))
        bench.end_leases()
        assert bench.job().losses == 0

    bench.end_leases()
    assert bench.job().losses == 1


def test_after_so_many_losses_the_job_is_held(bench: ScheddHarness) -> None:
    e = running(bench)
    for attempt in (1, 2):
        bench.clock.now += 301
        bench.end_leases()
        bench.record(e.started(f"w{attempt}", attempt))
    bench.clock.now += 301
    bench.end_leases()

    job = bench.job()
    assert (job.status, job.ad["HoldReasonCode"], job.ad["NumSystemHolds"]) == (5, "26", "1")
    reason = job.ad.text("HoldReason")
    assert reason == "lost 3 times: no news of its worker for 300 s each time"

    bench.record(e.released())
    assert (bench.job().status, bench.job().losses, bench.job().attempt) == (1, 0, 3)


def test_a_removed_job_whose_worker_is_silent_leaves_after_the_lease(bench: ScheddHarness) -> None:
    e = running(bench)
    bench.record(e.removed())
    assert bench.job().in_queue
    bench.clock.now += 301
    bench.end_leases()
    assert not bench.job().in_queue


def test_ended_jobs_have_no_lease(bench: ScheddHarness) -> None:
    e = running(bench)
    bench.record(e.finished())
    bench.clock.now += 10_000
    bench.end_leases()
    assert bench.kinds() == ["submit", "started", "finished", "delivered"]
