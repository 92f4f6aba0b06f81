"""A broker that goes away, messages that nobody can read, a node that cannot run jobs."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_broker import FakeTransport
from tests.support.fake_schedd import FakeSchedd, submission
from tests.support.virtual_worker import POOL, Site, job
from thyme.broker import Mail
from thyme.errors import BadInvocation, BrokerRefused, BrokerUnreachable, NodeUnfit
from thyme.protocol.codec import encode
from thyme.protocol.events import Evicted, Finished, Marker, Started
from thyme.worker.sandbox import Sandbox
from thyme.worker.users import JobUser


def test_a_broker_lost_during_the_run_does_not_touch_the_job(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    sleep = site.clock.sleep
    monkeypatch.setattr(site.clock, "sleep", lambda s: (naps.append(s), sleep(s)))
    site.submit(job(seconds=200))
    site.after(10, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))
    site.after(300, lambda: setattr(site.broker, "down", None))

    assert site.run(max_backoff=16.0, heartbeat=20.0) == 0

    assert site.signals == []
    assert len(naps) < 400
    started, finished = site.told()
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert finished.time == pytest.approx(site.start + 200, abs=1.1)
    # delivered when the broker was back, at most one back-off later
    assert site.broker.stream[-1].time - (site.start + 300) <= 16.1
    (said,) = (text for text in caplog.messages if "answers again" in text)
    seconds = float(said.removeprefix("the broker answers again after ").removesuffix(" s"))
    # lost at the first heartbeat after 10 s, found at the latest one back-off after 300 s
    assert 300 - 30 <= seconds <= 316 - 10


def test_a_worker_says_that_it_found_no_job(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    assert site.run(timeout=20.0) == 3

    assert f"no job in pool {POOL} within 20 s" in caplog.messages


def test_heartbeats_continue_after_a_lost_connection(site: Site) -> None:
    schedd = FakeSchedd(site.broker)
    site.submit(job(seconds=250))
    site.after(90, lambda: site.broker.break_at("wait"))

    site.run()

    assert len(schedd.beats) == 4
    assert site.kinds() == ["started", "finished"]


def test_events_that_waited_are_delivered_in_order(site: Site) -> None:
    site.submit(job(seconds=10), job(seconds=10, name="2.0"))
    site.after(5, lambda: site.broker.break_at("record"))

    assert site.run(max_jobs=2) == 0

    assert [(m.kind, str(m.job)) for m in site.told()] == [
        ("started", "1.0"), ("finished", "1.0"), ("started", "2.0"), ("finished", "2.0"),
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["take", "send", "ack"])
def test_a_job_whose_connection_breaks_before_its_start_comes_again_and_runs_once(
    site: Site, step: str
) -> None:
    site.submit(job())
    site.broker.break_at(step)

    assert site.run() == 0

    assert site.run() == 3  # the message, where it went back and the worker needed it no more
    assert len(site.jobs) == 1
    assert site.kinds() == ["started", "finished"]
    assert site.queued() == 0


def test_a_job_that_cannot_be_reported_for_an_hour_is_left_to_its_lease(site: Site) -> None:
    site.submit(job(seconds=10))
    site.after(5, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))

    with pytest.raises(BrokerUnreachable, match=r"the end of job 1\.0 could not be reported: gone"):
        site.run()

    assert 3600 <= site.clock() - site.start <= 3700
    assert site.kinds() == ["started"]


def test_a_second_sigterm_ends_a_worker_that_cannot_report(site: Site) -> None:
    site.submit(job(seconds=10))
    site.after(5, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))
    site.after(50, site.signal)
    site.after(60, site.signal)

    with pytest.raises(BrokerUnreachable, match="its lease will bring it back"):
        site.run()

    assert site.clock() - site.start < 65


def test_reconnecting_backs_off_up_to_its_limit(site: Site) -> None:
    site.broker.down = BrokerUnreachable("gone")
    tries: list[float] = []
    connect = site.broker.connect

    def counted() -> object:
        tries.append(site.clock())
        return connect()

    site.broker.connect = counted  # type: ignore[method-assign, assignment]
    with pytest.raises(BrokerUnreachable, match="gave up after --timeout: gone"):
        site.run(timeout=300.0, max_backoff=16.0)

    pauses = [b - a for a, b in zip(tries, tries[1:], strict=False)]
    assert pauses[0] <= 0.22
    assert 8.0 <= max(pauses) <= 16.1
    assert 300 <= site.clock() - site.start < 301.1


def test_a_broker_that_refuses_is_not_asked_again(site: Site) -> None:
    site.broker.down = BrokerRefused("no such user")

    with pytest.raises(BrokerRefused, match="no such user"):
        site.run(timeout=300.0)

    assert site.clock() == site.start


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x00garbage", "not a thyme message"),
        (b'{"thyme": 2, "kind": "submit"}\n', "message version 2 is not known here"),
        (encode(Marker("v", "token", 1)), "expected a submit message"),
    ],
)
def test_an_unreadable_message_becomes_a_dead_letter_and_the_worker_continues(
    site: Site, caplog: pytest.LogCaptureFixture, body: bytes, reason: str
) -> None:
    site.broker.submit(POOL, [body])
    site.broker.stream.clear()  # it is in the stream too, where others skip it
    site.submit(job())

    assert site.run() == 0

    (letter,) = site.broker.dead
    assert letter.body == body
    assert letter.reason.startswith(reason)
    assert site.kinds() == ["started", "finished"]
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        f"message put aside as a dead letter: {letter.reason}"
    ]


def test_a_message_of_a_schedd_that_no_mail_can_reach_becomes_a_dead_letter(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AMQP takes names of 255 bytes, with the inbox's own prefix."""
    request = FakeTransport.request

    def refuse(transport: FakeTransport, to: str, mail: Mail) -> None:
        if len(to) > 255:
            raise BadInvocation("its name is too long")
        request(transport, to, mail)

    monkeypatch.setattr(FakeTransport, "request", refuse)
    site.broker.submit(POOL, [encode(replace(submission(), schedd="x" * 255))])
    site.broker.stream.clear()
    site.submit(job())

    assert site.run() == 0

    (letter,) = site.broker.dead
    assert letter.reason == "its name is too long"
    assert site.kinds() == ["started", "finished"]


def test_a_noexec_scratch_holds_no_jobs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noexec:
        f_flag = 8 | 1024

    monkeypatch.setattr("thyme.worker.worker.os.statvfs", lambda _path: Noexec)
    site.submit(job())

    with pytest.raises(NodeUnfit, match="is mounted noexec"):
        site.run()

    assert site.broker.calls == []


def test_a_job_whose_scratch_cannot_be_made_goes_back_at_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.submit(job())
    made = []

    def second_fails(directory: Path, user: JobUser) -> Sandbox:
        made.append(directory)
        if len(made) > 1:
            raise NodeUnfit("no space left")
        return Sandbox(directory, user)

    monkeypatch.setattr("thyme.worker.worker.Sandbox", second_fails)

    with pytest.raises(NodeUnfit, match="no space left"):
        site.run()

    evicted = site.told()[-1]
    assert isinstance(evicted, Evicted)
    assert evicted.reason == "no space left"
