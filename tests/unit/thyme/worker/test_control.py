"""While a job runs: control mail and heartbeats, in virtual time."""

import pytest

from tests.support.fake_schedd import FakeSchedd, submission
from tests.support.virtual_worker import Site, job
from thyme.broker import Mail
from thyme.protocol.codec import encode
from thyme.protocol.events import Evicted
from thyme.protocol.mail import ClaimReply


@pytest.mark.parametrize(
    ("action", "reason"), [("remove", "removed"), ("hold", "held"), ("vacate", "vacated")]
)
def test_control_mail_ends_the_job_within_a_moment_and_says_so(
    site: Site, action: str, reason: str
) -> None:
    schedd, asked = FakeSchedd(site.broker), job(seconds=500, kill_signal=2)
    site.submit(asked)
    site.after(100, lambda: schedd.tell(asked, action))

    assert site.run() == 0

    assert site.signals == ["2 at 100"]
    _started, evicted = site.told()
    assert isinstance(evicted, Evicted)
    assert evicted.reason == reason
    assert evicted.time == site.start + 100.5
    assert evicted.usage.user_cpu == 0.5


def test_a_superseded_worker_ends_its_job_and_says_nothing(site: Site) -> None:
    schedd, asked = FakeSchedd(site.broker), job(seconds=500)
    site.submit(asked)
    site.after(100, lambda: schedd.tell(asked, "superseded"))

    assert site.run() == 0

    assert site.signals == ["15 at 100"]
    assert site.kinds() == ["started"]


def test_an_attempt_superseded_while_it_ends_is_not_reported_either(site: Site) -> None:
    schedd, asked = FakeSchedd(site.broker), job(seconds=500, environment={"DYING": "5"})
    site.submit(asked)
    site.after(100, lambda: schedd.tell(asked, "hold"))
    site.after(102, lambda: schedd.tell(asked, "superseded"))

    site.run()

    assert site.kinds() == ["started"]


def test_control_of_another_attempt_is_not_ours(site: Site) -> None:
    schedd, asked = FakeSchedd(site.broker), job(seconds=50)
    site.submit(asked)
    site.after(10, lambda: schedd.tell(asked, "remove", attempt=1))

    site.run()

    assert site.signals == []
    assert site.kinds() == ["started", "finished"]


def test_mail_that_cannot_be_read_disturbs_no_job(site: Site) -> None:
    site.submit(job(seconds=50))

    def litter() -> None:
        assert site.worker is not None
        inbox = site.worker.name
        late = ClaimReply("x", submission().job, 0, False, "late", life="a1")
        for body in (b"", b"\xff", encode(late)):
            site.broker.deliver(inbox, Mail(body))

    site.after(10, litter)

    assert site.run() == 0
    assert site.kinds() == ["started", "finished"]


def test_a_job_that_does_not_obey_is_killed_after_its_grace(site: Site) -> None:
    schedd = FakeSchedd(site.broker)
    asked = job(seconds=500, kill_grace=7.0, environment={"DYING": "99"})
    site.submit(asked)
    site.after(100, lambda: schedd.tell(asked, "remove"))

    site.run()

    first, second = site.signals
    assert first == "15 at 100"
    assert second.startswith("9 at 107")


@pytest.mark.parametrize(
    ("heartbeat", "lease", "expected"),
    [(60, 0, 60), (60, 1200, 60), (60, 90, 30), (10, 90, 10), (600, 0, 100)],
)
def test_heartbeats_come_at_the_shorter_of_the_option_and_a_third_of_the_lease(
    site: Site, heartbeat: float, lease: float, expected: float
) -> None:
    schedd = FakeSchedd(site.broker)
    site.submit(job(seconds=expected * 3.5, lease=float(lease)))

    site.run(heartbeat=float(heartbeat))

    times = [round(when - site.start, 3) for when, _beat in schedd.beats]
    assert times == [expected, expected * 2, expected * 3]
    _when, beat = schedd.beats[0]
    assert (str(beat.job), beat.attempt, beat.usage.peak_rss) == ("1.0", 0, 1234)


def test_a_lease_of_zero_does_not_cause_a_flood_of_heartbeats(site: Site) -> None:
    schedd = FakeSchedd(site.broker)
    site.submit(job(seconds=1, lease=1e-9))

    site.run(heartbeat=0.0)

    assert 10 <= len(schedd.beats) <= 20
