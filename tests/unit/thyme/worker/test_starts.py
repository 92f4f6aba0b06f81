"""Who records that a job starts, and what a worker says at once with the end of the last one."""

from __future__ import annotations

import signal

from tests.support.fake_schedd import FakeSchedd
from tests.support.virtual_worker import Site, job
from thyme.errors import BrokerUnreachable


def steps(site: Site, *names: str) -> list[str]:
    return [call for call in site.broker.calls if call in names]


def test_a_start_that_the_schedd_recorded_is_not_recorded_again(site: Site) -> None:
    FakeSchedd(site.broker, records=True)
    site.submit(job())

    assert site.run() == 0

    assert site.kinds() == ["started", "finished"]
    assert steps(site, "record") == ["record"]
    assert site.queued() == 0


def test_a_worker_signalled_after_a_recorded_start_records_an_eviction(site: Site) -> None:
    schedd = FakeSchedd(site.broker, records=True, delay=1.0)
    site.submit(job())
    site.after(1.0, lambda: site.signal(signal.SIGTERM))

    site.run()

    assert len(schedd.claims) == 1
    assert site.kinds() == ["started", "evicted"]
    assert site.jobs == []
    assert site.queued() == 1


def test_the_next_job_is_asked_for_with_the_end_of_the_last_and_claimed_after_it(
    site: Site,
) -> None:
    FakeSchedd(site.broker, records=True)
    site.submit(job(name="1.0"), job(name="1.1"))

    assert site.run(max_jobs=2) == 0

    assert site.kinds() == ["started", "finished"] * 2
    assert steps(site, "take", "send", "record", "ack") == [
        "take", "send", "ack",
        "record", "take", "send", "ack",
        "record",
    ]  # fmt: skip


def test_a_worker_that_may_have_no_other_job_asks_for_none(site: Site) -> None:
    site.submit(job(name="1.0"), job(name="1.1"))

    assert site.run(max_jobs=1) == 0

    assert steps(site, "take") == ["take"]
    assert site.queued() == 1


def test_a_message_from_a_lost_connection_is_not_run(site: Site) -> None:
    site.submit(job(name="1.0"), job(name="1.1"))
    site.broker.break_at("take", 2)

    assert site.run(max_jobs=0) == 0

    # the end is recorded once more on the next line, which the fold passes over
    kinds = site.kinds()
    assert kinds == ["started", "finished", "finished", "started", "finished"]
    assert len(site.jobs) == 2


def test_a_report_that_cannot_be_sent_is_sent_before_the_next_job_is_taken(site: Site) -> None:
    site.submit(job(seconds=5, name="1.0"), job(name="1.1"))
    site.after(2, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))
    site.after(60, lambda: setattr(site.broker, "down", None))

    assert site.run(max_jobs=0) == 0

    assert site.kinds() == ["started", "finished", "started", "finished"]
