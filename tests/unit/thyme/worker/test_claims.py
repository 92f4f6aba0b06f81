"""Before a job: the worker claims it at its schedd, in virtual time. No schedd, no start."""

import logging
from dataclasses import replace

import pytest

from tests.support.fake_schedd import FakeSchedd
from tests.support.virtual_worker import POOL, Site, job
from thyme.broker import Mail
from thyme.errors import BrokerUnreachable
from thyme.protocol.codec import encode
from thyme.protocol.events import Evicted, Finished, Started, Submit
from thyme.worker.claims import CLAIM_TIMEOUT, MAX_HOLD


def taken_before(site: Site, *jobs: Submit) -> None:
    """Submit jobs that somebody takes, and loses with his line."""
    site.submit(*jobs)
    other = site.broker.connect()
    assert other.take(POOL) is not None
    other.close()


def take_away(site: Site) -> None:
    """Let another worker take the message, and acknowledge it."""
    other = site.broker.connect()
    delivery = other.take(POOL)
    assert delivery is not None
    other.ack(delivery)


def refuse(site: Site) -> None:
    """Let the schedd say no from now on, and at once."""
    site.schedd.run, site.schedd.delay = False, 0.0


# --- yes ------------------------------------------------------------------------------------


def test_a_job_that_its_schedd_grants_runs_at_once(site: Site) -> None:
    site.submit(job(seconds=5))

    assert site.run() == 0

    started, finished = site.told()
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.time, finished.time) == (site.start, site.start + 5)
    assert (finished.exit_code, finished.signal, finished.usage.wall) == (0, None, 5)
    assert started.worker == finished.worker
    assert site.queued() == 0
    steps = [c for c in site.broker.calls if c in ("take", "send", "record", "ack")]
    assert steps == ["take", "send", "ack", "record"]


def test_a_claim_says_whether_the_message_was_delivered_before(site: Site) -> None:
    taken_before(site, job())
    site.submit(job(name="2.0"))

    site.run(max_jobs=2)

    assert [(str(c.job), c.again) for c in site.schedd.claims] == [("1.0", True), ("2.0", False)]


# --- no -------------------------------------------------------------------------------------


def test_a_refused_job_is_acknowledged_and_not_run(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site.schedd.run, site.schedd.reason = False, "JobStatus is 3"
    site.submit(job())

    assert site.run() == 3

    (claim,) = site.schedd.claims
    assert (str(claim.job), claim.attempt) == ("1.0", 0)
    assert "job 1.0 attempt 0 is not started: JobStatus is 3" in caplog.messages
    assert site.told() == []
    assert site.jobs == []
    assert site.queued() == 0


# --- no answer ------------------------------------------------------------------------------


@pytest.mark.parametrize("redelivered", [False, True])
def test_without_a_schedd_no_job_starts(
    site: Site, caplog: pytest.LogCaptureFixture, redelivered: bool
) -> None:
    site.schedd.leave()
    (taken_before if redelivered else Site.submit)(site, job())

    assert site.run(timeout=60.0) == 3

    assert site.jobs == []
    assert site.told() == []  # nobody can have recorded a start
    assert site.queued() == 1
    assert site.clock() - site.start == pytest.approx(60, abs=1)
    assert caplog.messages.count("job 1.0 is given back: its schedd did not answer") == 1


def test_a_silent_schedd_is_asked_again_and_no_job_starts(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site.schedd.delay = 1e9
    site.submit(job())

    assert site.run(timeout=60.0) == 3

    assert 5 < len(site.schedd.claims) < 15
    assert [claim.again for claim in site.schedd.claims][:2] == [False, True]
    assert "job 1.0: its schedd does not answer yet" in caplog.messages
    assert site.jobs == []
    # its start was recorded: the eviction ends it before its lease does
    assert site.kinds() == ["started", "evicted"]
    assert site.queued() == 1


def test_a_schedd_that_says_wait_is_asked_until_it_knows(site: Site) -> None:
    site.schedd.wait = True
    site.submit(job(seconds=5))
    site.after(40.0, lambda: setattr(site.schedd, "wait", False))

    assert site.run(timeout=100.0) == 0

    assert site.kinds() == ["started", "finished"]
    assert 40 <= site.told()[0].time - site.start <= 55
    assert len(site.schedd.claims) < 15


def test_a_job_waits_in_its_queue_for_a_schedd_that_comes_back(site: Site) -> None:
    site.schedd.leave()
    site.submit(job(seconds=5))
    site.after(40.0, lambda: FakeSchedd(site.broker))

    assert site.run(timeout=100.0) == 0

    assert site.kinds() == ["started", "finished"]
    assert site.queued() == 0


def test_a_job_that_runs_elsewhere_is_not_started_when_the_schedd_is_back(site: Site) -> None:
    site.schedd.leave()
    taken_before(site, job())
    site.after(20.0, lambda: FakeSchedd(site.broker, run=False, reason="JobStatus is 2"))

    assert site.run(timeout=60.0) == 3

    assert site.jobs == []
    assert site.told() == []
    assert site.queued() == 0


def test_no_message_is_kept_until_the_broker_would_close_the_channel(site: Site) -> None:
    site.schedd.leave()
    site.submit(job())

    assert site.run(timeout=3 * MAX_HOLD) == 3

    # RabbitMQ's consumer_timeout is 1800 s
    assert site.broker.calls.count("requeue") in (3, 4)
    assert MAX_HOLD <= 900
    assert site.queued() == 1


# --- the answer that comes late, or to somebody else ------------------------------------------


def test_a_slow_schedd_is_waited_for(site: Site) -> None:
    site.schedd.delay = CLAIM_TIMEOUT - 0.1
    site.submit(job(seconds=5))

    assert site.run() == 0
    assert len(site.schedd.claims) == 1


@pytest.mark.parametrize("run", [True, False])
def test_an_answer_that_comes_after_the_next_question_is_an_answer(site: Site, run: bool) -> None:
    site.schedd.delay, site.schedd.run = CLAIM_TIMEOUT + 2, run
    site.submit(job(seconds=5))

    assert site.run(timeout=60.0) == (0 if run else 3)

    assert len(site.schedd.claims) == 2
    assert len(site.jobs) == run
    assert site.queued() == 0


def test_an_answer_to_one_job_s_claim_does_not_answer_another_s(site: Site) -> None:
    def another() -> None:
        site.schedd.delay = 10.0
        site.submit(job(name="2.0"))

    site.schedd.delay = 5.0  # yes to 1.0, while the answer about 2.0 is awaited
    site.submit(job())
    site.broker.break_at("wait")
    site.after(0.01, lambda: (take_away(site), refuse(site)))
    site.after(1.0, another)

    assert site.run(timeout=60.0) == 3

    assert [str(claim.job) for claim in site.schedd.claims][:3] == ["1.0", "1.0", "2.0"]
    assert site.jobs == []


def test_a_reply_that_cannot_be_read_is_as_good_as_none(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def garbled(mail: Mail) -> None:
        site.broker.deliver(mail.reply_to, Mail(b"\xff", "", mail.correlation))

    site.broker.answer("thyme.schedd.vobox", garbled)
    site.submit(job())

    assert site.run() == 3
    text = "the reply to a claim is not understood, and ignored: not a thyme message: "
    assert text in caplog.text
    assert site.jobs == []
    assert site.queued() == 1


# --- leaving, and lost connections ------------------------------------------------------------


def test_a_worker_signalled_while_it_waits_for_a_schedd_gives_the_job_back(site: Site) -> None:
    site.schedd.leave()
    taken_before(site, job())
    site.after(20.0, site.signal)

    assert site.run(timeout=100.0) == 143

    assert site.clock() - site.start < 25
    assert site.jobs == []
    assert site.told() == []
    assert site.queued() == 1


def test_a_worker_signalled_before_the_answer_evicts_what_was_granted(site: Site) -> None:
    site.schedd.delay = 1.0
    site.submit(job())
    site.after(0.5, site.signal)

    assert site.run() == 143

    started, evicted = site.told()
    assert isinstance(started, Started)
    assert isinstance(evicted, Evicted)
    assert (evicted.worker, evicted.attempt) == (started.worker, 0)
    assert site.jobs == []


def test_a_worker_signalled_twice_does_not_wait_for_the_answer(site: Site) -> None:
    site.schedd.delay = 1e9
    site.submit(job())
    site.after(0.5, site.signal)
    site.after(0.6, site.signal)

    assert site.run() == 143
    assert site.clock() - site.start < 1


@pytest.mark.parametrize("call", ["send", "receive", "wait"])
def test_a_worker_whose_connection_breaks_in_a_claim_asks_again_and_runs_the_job(
    site: Site, call: str
) -> None:
    site.schedd.delay = 0.5
    site.submit(job(seconds=5))
    site.broker.break_at(call)

    assert site.run() == 0

    assert site.kinds() == ["started", "finished"]
    assert site.schedd.claims[-1].again


@pytest.mark.parametrize("call", ["wait", "ack"])
def test_a_job_whose_start_is_recorded_runs_although_another_worker_got_its_message(
    site: Site, call: str
) -> None:
    site.schedd.delay = 0.5
    site.submit(job(seconds=5))
    site.broker.break_at(call)
    site.after(0.01 if call == "wait" else 0.51, lambda: take_away(site))

    assert site.run() == 0

    started, finished = site.told()
    assert (started.kind, finished.kind) == ("started", "finished")
    assert finished.time - started.time < 10  # and no lease is waited for
    assert site.queued() == 0


def test_a_message_that_went_back_is_acknowledged_by_whoever_takes_it(site: Site) -> None:
    site.schedd.delay = 0.5
    site.submit(job(seconds=5))
    site.broker.break_at("wait")
    assert site.run() == 0
    assert site.queued() == 1

    assert site.run() == 3

    assert site.queued() == 0
    assert site.kinds() == ["started", "finished"]


def test_a_worker_that_cannot_ask_again_evicts_what_may_be_recorded(site: Site) -> None:
    site.schedd.delay = 0.5
    site.submit(job(seconds=5))
    site.broker.break_at("wait")
    site.after(0.01, site.schedd.leave)

    assert site.run(timeout=60.0) == 3

    assert site.kinds() == ["started", "evicted"]
    assert site.jobs == []
    assert site.queued() == 1


def test_a_worker_signalled_before_it_asks_again_evicts_what_may_be_recorded(site: Site) -> None:
    def come_back() -> None:
        site.broker.down = None
        site.signal()

    site.schedd.delay = 0.5
    site.submit(job(seconds=5))
    site.after(0.1, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))
    site.after(5.0, come_back)

    assert site.run(timeout=60.0, max_backoff=0.2) == 143

    assert site.kinds() == ["started", "evicted"]
    assert site.jobs == []


def test_a_refusal_after_a_question_without_an_answer_ends_what_may_be_recorded(
    site: Site,
) -> None:
    site.schedd.delay = 1.0
    site.submit(job())
    site.after(0.01, lambda: setattr(site.schedd, "run", False))
    site.broker.break_at("wait")  # the start is recorded, the answer is lost; then it is held

    assert site.run() == 3

    assert site.kinds() == ["started", "evicted"]
    assert site.jobs == []
    assert site.queued() == 0


def test_a_job_that_this_worker_has_ended_is_not_claimed_again(site: Site) -> None:
    """The acknowledgement was lost, and the message comes again."""
    jobs = job(seconds=5)
    site.submit(jobs)
    site.after(2.0, lambda: taken_before(site, jobs))

    assert site.run(max_jobs=0) == 0

    assert len(site.schedd.claims) == 1
    assert len(site.jobs) == 1
    assert site.kinds() == ["started", "finished"]
    assert site.queued() == 0


def test_messages_carry_the_life_of_their_job(site: Site) -> None:
    site.broker.submit(POOL, [encode(replace(job(seconds=100), life="abc"))])

    site.run()

    assert {claim.life for claim in site.schedd.claims} == {"abc"}
    assert {beat.life for _time, beat in site.schedd.beats} == {"abc"}
    assert site.told()[-1].life == "abc"  # type: ignore[attr-defined]
