"""What a worker records and takes between two jobs."""

from tests.support.virtual_worker import Site, job
from thyme.errors import BrokerUnreachable


def steps(site: Site, *names: str) -> list[str]:
    return [call for call in site.broker.calls if call in names]


def test_a_worker_that_may_have_no_other_job_asks_for_none(site: Site) -> None:
    site.submit(job(name="1.0"), job(name="1.1"))

    assert site.run(max_jobs=1) == 0

    assert steps(site, "take") == ["take"]
    assert site.queued() == 1


def test_a_message_from_a_lost_connection_is_not_run(site: Site) -> None:
    site.submit(job(name="1.0"), job(name="1.1"))
    site.broker.break_at("take", 2)

    assert site.run(max_jobs=0) == 0

    assert site.kinds() == ["started", "finished"] * 2
    assert len(site.jobs) == 2


def test_a_report_that_cannot_be_sent_is_sent_before_the_next_job_is_taken(site: Site) -> None:
    site.submit(job(seconds=5, name="1.0"), job(name="1.1"))
    site.after(2, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))
    site.after(60, lambda: setattr(site.broker, "down", None))

    assert site.run(max_jobs=0) == 0

    assert site.kinds() == ["started", "finished", "started", "finished"]
