"""Before a job: the worker claims it at its schedd, in virtual time."""

from __future__ import annotations

from tests.support.fake_schedd import FakeSchedd
from tests.support.virtual_worker import POOL, Site, job
from thyme.broker import Mail
from thyme.protocol.events import Finished, Started, Submit
from thyme.worker.claims import CLAIM_TIMEOUT, SECOND_CLAIM_TIMEOUT


def test_without_a_schedd_a_job_runs_at_once(site: Site) -> None:
    site.submit(job(seconds=5))

    assert site.run() == 0

    started, finished = site.told()
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.time, finished.time) == (site.start, site.start + 5)
    assert (finished.exit_code, finished.signal, finished.usage.wall) == (0, None, 5)
    assert started.worker == finished.worker
    assert site.queued() == 0


def test_a_job_that_fails_is_work_done(site: Site) -> None:
    site.submit(job(exit_code=7))

    assert site.run() == 0

    assert isinstance(site.told()[-1], Finished)
    assert site.told()[-1].exit_code == 7


def test_the_schedd_is_asked_before_the_start_is_recorded_and_the_job_acknowledged_after(
    site: Site,
) -> None:
    FakeSchedd(site.broker)
    site.submit(job())

    site.run()

    steps = [c for c in site.broker.calls if c in ("take", "send", "record", "ack")]
    assert steps == ["take", "send", "record", "ack", "record"]


def test_a_refused_job_is_acknowledged_and_not_run(site: Site) -> None:
    schedd = FakeSchedd(site.broker, run=False, reason="JobStatus is 3")
    site.submit(job())

    assert site.run() == 3

    (claim,) = schedd.claims
    assert (str(claim.job), claim.attempt) == ("1.0", 0)
    assert site.told() == []
    assert site.jobs == []
    assert site.queued() == 0


def test_a_refusal_without_a_reason_is_a_refusal(site: Site) -> None:
    FakeSchedd(site.broker, run=False, reason="")
    site.submit(job())

    assert site.run() == 3
    assert site.jobs == []


def test_a_silent_schedd_does_not_stop_the_jobs(site: Site) -> None:
    schedd = FakeSchedd(site.broker, delay=1e9)
    site.submit(job())

    assert site.run() == 0

    assert len(schedd.claims) == 1
    assert site.told()[0].time == site.start + CLAIM_TIMEOUT


def taken_before(site: Site, *jobs: Submit) -> None:
    """Submit jobs that somebody takes, and loses with his line."""
    site.submit(*jobs)
    other = site.broker.connect()
    assert other.take(POOL) is not None
    other.close()


def test_a_redelivered_job_waits_for_the_schedd_s_answer_for_a_limited_time(site: Site) -> None:
    taken_before(site, job(lease=100.0))

    assert site.run() == 0

    assert site.told()[0].time == site.start + 100.0


def test_a_job_that_comes_again_waits_for_the_usual_lease_where_it_names_none(site: Site) -> None:
    taken_before(site, job())

    assert site.run() == 0

    assert site.told()[0].time == site.start + SECOND_CLAIM_TIMEOUT


def test_a_job_that_comes_again_and_runs_elsewhere_is_not_started_when_the_schedd_is_back(
    site: Site,
) -> None:
    taken_before(site, job())
    back = lambda: FakeSchedd(site.broker, run=False, reason="JobStatus is 2")  # noqa: E731
    site.after(20.0, back)

    assert site.run() == 3

    assert site.jobs == []
    assert site.told() == []
    assert site.queued() == 0


def test_a_job_that_comes_again_goes_back_when_its_worker_is_asked_to_leave(site: Site) -> None:
    taken_before(site, job())
    site.after(20.0, site.signal)

    site.run()

    assert site.jobs == []
    assert site.queued() == 1


def test_a_slow_schedd_is_waited_for(site: Site) -> None:
    FakeSchedd(site.broker, run=False, reason="held", delay=CLAIM_TIMEOUT - 0.1)
    site.submit(job())

    assert site.run() == 3
    assert site.told() == []


def test_a_verdict_that_comes_too_late_is_ignored(site: Site) -> None:
    FakeSchedd(site.broker, run=False, reason="held", delay=CLAIM_TIMEOUT + 1)
    site.submit(job(seconds=20), job(seconds=1, name="2.0"))

    assert site.run(max_jobs=1) == 0

    assert site.kinds() == ["started", "finished"]


def test_a_late_verdict_does_not_answer_the_next_claim(site: Site) -> None:
    schedd = FakeSchedd(site.broker, run=False, reason="held", delay=CLAIM_TIMEOUT + 1.5)
    site.submit(job(seconds=1), job(seconds=1, name="2.0"))

    # the refusal of 1.0 arrives while the worker waits for that of 2.0
    assert site.run(max_jobs=2) == 0

    assert len(schedd.claims) == 2
    assert site.kinds() == ["started", "finished"] * 2


def test_a_verdict_that_cannot_be_read_is_as_good_as_none(site: Site) -> None:
    def garbled(mail: Mail) -> None:
        site.broker.deliver(mail.reply_to, Mail(b"\xff", "", mail.correlation))

    site.broker.answer("thyme.schedd.vobox", garbled)
    site.submit(job())

    assert site.run() == 0
    assert site.kinds() == ["started", "finished"]
