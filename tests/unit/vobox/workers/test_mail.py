"""Workers' mail: which worker may start a job, which must end one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.schedd_parts import JOB, SCHEDD, Bench, Events, after
from thyme.broker import Mail
from thyme.errors import BadInvocation, BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Started, Usage
from thyme.protocol.job import JobId
from thyme.protocol.mail import Claim, ClaimReply, Control, Heartbeat
from vobox.workers.mail import MAX_MAIL, answer_heartbeat, refuse_claim

#: Of a claim, unless it matters.
CORRELATION = "token"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, lease=300.0, max_attempts=3)
    yield made
    made.close()


def claim(worker: str = "w1", attempt: int = 0, job: JobId = JOB) -> Claim:
    return Claim(SCHEDD, job, attempt, worker, f"slot1@{worker}")


def beat(worker: str = "w1", attempt: int = 0) -> Heartbeat:
    return Heartbeat(SCHEDD, JOB, attempt, worker, f"slot1@{worker}", Usage(peak_rss=1024))


STORIES: dict[str, Any] = {
    "unknown": lambda e: [],
    "idle": lambda e: [e.submit()],
    "running": lambda e: [e.submit(), e.started()],
    "held": lambda e: [e.submit(), e.held()],
    "held, ending": lambda e: [e.submit(), e.started(), e.held()],
    "released, ending": lambda e: [e.submit(), e.started(), e.held(), e.released()],
    "to be queued": lambda e: [e.submit(), e.started(), e.evicted()],
    "next idle": lambda e: [e.submit(), e.started(), e.lost(), e.submit(1)],
    "next running": lambda e: [
        e.submit(), e.started(), e.lost(), e.submit(1), e.started("w2", 1),
    ],
    "removed, ending": lambda e: [e.submit(), e.started(), e.removed()],
    "removed": lambda e: [e.submit(), e.removed()],
    "output on its way": lambda e: [e.submit(), e.started(), e.finished()],
    "completed": lambda e: [e.submit(), e.started(), e.finished(), e.delivered()],
}  # fmt: skip

#: state → why w1 may not start attempt 0, and what it is told when it says that it runs it
TABLE = {
    "unknown": ("", None),
    # its start is recorded before it beats, and may be read after the beat
    "idle": ("", ""),
    "running": ("JobStatus is 2", ""),
    "held": ("JobStatus is 5", "hold"),
    "held, ending": ("JobStatus is 5", "hold"),
    "released, ending": ("superseded by attempt 0", "vacate"),
    "to be queued": ("superseded by attempt 0", "vacate"),
    "next idle": ("superseded by attempt 1", "superseded"),
    "next running": ("JobStatus is 2", "superseded"),
    "removed, ending": ("JobStatus is 3", "remove"),
    "removed": ("JobStatus is 3", "superseded"),
    "output on its way": ("JobStatus is 6", "superseded"),
    "completed": ("JobStatus is 4", "superseded"),
}


@pytest.mark.parametrize("state", TABLE)
def test_claims_and_heartbeats_are_answered_as_the_table_says(state: str) -> None:
    job = after(*STORIES[state](Events()))
    why, action = TABLE[state]
    assert refuse_claim(job, claim(), "") == why
    if action is not None:
        assert answer_heartbeat(job, beat()) == action


def test_another_worker_is_refused_what_one_was_told_to_start() -> None:
    job = after(Events().submit())
    assert refuse_claim(job, claim("w2"), "w1") == "claimed by another worker"
    assert refuse_claim(job, claim("w1"), "w1") == ""


def test_a_worker_that_is_faster_than_the_stream_is_not_refused(bench: Bench) -> None:
    # a worker that is refused acknowledges the message: the job would wait for ever
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started(), e.evicted())
    bench.ledger.get(JOB).attempt = 0  # type: ignore[union-attr]
    bench.ledger.get(JOB).queued = False  # type: ignore[union-attr]

    assert ask(bench, claim("w2", attempt=1)) == [
        (ClaimReply(SCHEDD, JOB, 1, True, "", True), "token")
    ]
    claimed = ClaimReply(SCHEDD, JOB, 1, False, "claimed by another worker")
    assert ask(bench, claim("w3", attempt=1)) == [(claimed, "token")]


def test_a_dead_letter_that_was_queued_again_may_be_started_before_we_know(bench: Bench) -> None:
    bench.submit(Events().submit())
    delivery = bench.transport.take("pool")
    assert delivery is not None
    bench.transport.reject(delivery, "unreadable")
    bench.settle()

    assert refuse_claim(bench.job(), claim(attempt=1), "") == "JobStatus is 5"
    assert refuse_claim(bench.job(), claim(), "") == ""


def test_claims_are_answered_before_the_stream_is_read_and_heartbeats_after(
    bench: Bench,
) -> None:
    e = Events()
    bench.submit(e.submit())
    connection = bench.broker.connect()
    connection.open_inbox("w1")
    bench.transport.open_inbox("schedd")
    for message in (beat(attempt=1), claim()):
        connection.send("schedd", Mail(codec.encode(message), "w1", "token"))

    bench.mail.answer_claims()
    reply = connection.receive()
    assert reply is not None
    assert codec.decode(reply.body) == ClaimReply(SCHEDD, JOB, 0, True, "", True)

    bench.record(e.started(), e.evicted(), e.started("w1", attempt=1))
    bench.mail.read_rest()
    assert connection.receive() is None  # the heartbeat was of a job that we know by now
    connection.close()


def test_a_heartbeat_from_the_wrong_worker_is_superseded() -> None:
    e = Events()
    assert answer_heartbeat(after(e.submit(), e.started()), beat("w2")) == "superseded"


# --- the mail -------------------------------------------------------------------------------


def ask(bench: Bench, message: Claim | Heartbeat, token: str = CORRELATION) -> list[Any]:
    """What comes back to the worker."""
    connection = bench.broker.connect()
    connection.open_inbox(message.worker)
    try:
        bench.mail.read(Mail(codec.encode(message), message.worker, token))
        answers = []
        while (mail := connection.receive()) is not None:
            answers.append((codec.decode(mail.body), mail.correlation))
        return answers
    finally:
        connection.close()


def test_the_reply_has_the_token_of_the_claim(bench: Bench) -> None:
    bench.submit(Events().submit())
    assert ask(bench, claim()) == [(ClaimReply(SCHEDD, JOB, 0, True, "", True), "token")]
    refused = ClaimReply(SCHEDD, JOB, 0, False, "claimed by another worker")
    assert ask(bench, claim("w2")) == [(refused, "token")]


def test_a_worker_of_another_pool_is_granted_nothing(bench: Bench) -> None:
    bench.submit(Events().submit())
    for user in ("worker", "worker-other", "monitor", ""):
        bench.mail.read(Mail(codec.encode(claim()), "", "token", user))
    assert bench.kinds() == ["submit"]
    bench.mail.read(Mail(codec.encode(claim()), "", "token", "worker-pool"))
    assert bench.kinds() == ["submit", "started"]


def test_the_start_is_recorded_before_the_worker_is_told(bench: Bench) -> None:
    bench.submit(Events().submit())
    ask(bench, claim())

    *_before, started = bench.broker.messages()
    assert isinstance(started, Started)
    assert (started.job, started.attempt) == (JOB, 0)
    assert (started.worker, started.host) == ("w1", "slot1@w1")
    assert [c for c in bench.broker.calls if c in ("record", "send")] == ["record", "send"]
    bench.settle()
    assert bench.job().status == 2


def test_claims_that_came_together_are_recorded_together(bench: Bench) -> None:
    jobs = [JobId(38, proc) for proc in range(3)]
    bench.submit(*(Events(job).submit() for job in jobs))
    bench.transport.open_inbox("schedd")
    connection = bench.broker.connect()
    for number, job in enumerate(jobs):
        connection.open_inbox(f"w{number}")
        asked = claim(f"w{number}", job=job)
        connection.send("schedd", Mail(codec.encode(asked), asked.worker, f"token {number}"))
    bench.broker.calls.clear()

    bench.mail.answer_claims()

    assert bench.broker.calls.count("record") == 1
    assert [m.job for m in bench.broker.messages() if isinstance(m, Started)] == jobs
    connection.close()


def test_a_worker_that_did_not_hear_the_answer_gets_the_same_when_it_asks_again(
    bench: Bench,
) -> None:
    bench.submit(Events().submit())
    first = ask(bench, claim())
    bench.settle()

    assert bench.job().status == 2
    assert ask(bench, claim()) == first
    assert sum(isinstance(m, Started) for m in bench.broker.messages()) == 1


def test_a_message_that_comes_again_to_the_worker_that_runs_its_job_is_refused(
    bench: Bench,
) -> None:
    bench.submit(Events().submit())
    ask(bench, claim(), "one delivery")
    bench.settle()

    refused = ClaimReply(SCHEDD, JOB, 0, False, "JobStatus is 2")
    assert ask(bench, claim(), "another") == [(refused, "another")]


def test_a_start_that_could_not_be_recorded_is_not_granted(bench: Bench) -> None:
    bench.submit(Events().submit())
    bench.broker.break_at("record")

    with pytest.raises(BrokerUnreachable):
        ask(bench, claim())

    assert bench.broker.calls[-1] == "record"
    bench.transport = bench.broker.connect()
    assert ask(bench, claim()) == [(ClaimReply(SCHEDD, JOB, 0, True, "", True), "token")]
    assert sum(isinstance(m, Started) for m in bench.broker.messages()) == 1


def test_a_job_that_the_ledger_does_not_know_is_for_its_worker_to_record(bench: Bench) -> None:
    assert ask(bench, claim()) == [(ClaimReply(SCHEDD, JOB, 0, True, ""), "token")]
    assert bench.broker.messages() == []


def test_the_claim_of_another_schedds_job_starts_none_of_ours(bench: Bench) -> None:
    bench.submit(Events().submit())
    asked = replace(claim(), schedd="another")

    assert ask(bench, asked) == [(ClaimReply("another", JOB, 0, True, ""), "token")]
    assert not any(isinstance(m, Started) for m in bench.broker.messages())


def test_a_worker_that_runs_a_held_job_is_told_again_at_its_heartbeat(bench: Bench) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started(), e.held())  # the control mail reached no worker
    assert ask(bench, beat()) == [(Control(SCHEDD, JOB, 0, "hold"), "")]


def test_a_heartbeat_of_a_good_run_is_not_answered(bench: Bench) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started())
    assert ask(bench, beat()) == []


def test_unreadable_mail_is_dropped_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.mail.read(Mail(b"garbage", "w1", "t"))
    assert "mail not understood" in caplog.text


def test_control_mail_reaches_the_worker_of_a_removed_job(bench: Bench) -> None:
    connection = bench.broker.connect()
    connection.open_inbox("w1")
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started(), e.removed())
    mail = connection.receive()
    assert mail is not None
    assert codec.decode(mail.body) == Control(SCHEDD, JOB, 0, "remove")
    connection.close()


def test_a_claim_whose_answer_cannot_be_sent_does_not_keep_others_from_theirs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may ask for an answer to any place; of 250 characters, AMQP takes it for none."""
    bench.submit(Events(JOB).submit())
    sent = []

    def send_all(answers: Sequence[tuple[str, Mail]]) -> None:
        for inbox, mail in answers:
            send(inbox, mail)

    def send(inbox: str, mail: Mail) -> None:
        if len(inbox) > 200:
            raise BadInvocation("its name is too long")
        sent.append((inbox, mail.correlation))

    monkeypatch.setattr(bench.transport, "send_all_unconfirmed", send_all)
    monkeypatch.setattr(bench.transport, "send_unconfirmed", send)
    mails = [Mail(codec.encode(claim()), inbox, inbox[:3]) for inbox in ("x" * 250, "w1")]
    monkeypatch.setattr(bench.transport, "receive", lambda: mails.pop() if mails else None)

    bench.mail.answer_claims()

    assert ("w1", "w1") in sent


def test_mail_without_end_is_read_in_parts_and_logged_seldom(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    received = itertools.count()
    monkeypatch.setattr(bench.transport, "receive", lambda: Mail(b"junk %d" % next(received)))

    bench.mail.answer_claims()

    assert next(received) == MAX_MAIL
    assert caplog.text.count("mail not understood") == 10
    assert "mail not understood (512 so far)" in caplog.text
