"""Workers' mail: which worker may start a job, which must end one."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.schedd_parts import JOB, LIFE, SCHEDD, Events, ScheddHarness, job_after
from thyme.broker import Mail
from thyme.errors import BadInvocation, BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import HoldReason, Marker, Started, Usage
from thyme.protocol.job import JobId
from thyme.protocol.mail import Claim, ClaimReply, Control, Heartbeat, Peek
from vobox.workers.mail import MAX_MAIL, READING_SECONDS, answer_heartbeat, refuse_claim

CORRELATION = "token"  # of a claim, unless it matters


def claim(worker: str = "w1", attempt: int = 0, job: JobId = JOB, again: bool = False) -> Claim:
    return Claim(SCHEDD, job, attempt, worker, f"slot1@{worker}", again=again, life=LIFE)


def yes(attempt: int = 0) -> tuple[ClaimReply, str]:
    return ClaimReply(SCHEDD, JOB, attempt, True, "", life=LIFE), CORRELATION


def no(reason: str, attempt: int = 0) -> tuple[ClaimReply, str]:
    return ClaimReply(SCHEDD, JOB, attempt, False, reason, life=LIFE), CORRELATION


def wait(reason: str = "the stream is being read") -> tuple[ClaimReply, str]:
    return ClaimReply(SCHEDD, JOB, 0, False, reason, wait=True, life=LIFE), CORRELATION


def starts(bench: ScheddHarness) -> list[str]:
    return [m.worker for m in bench.broker.messages() if isinstance(m, Started)]


def beat(worker: str = "w1", attempt: int = 0) -> Heartbeat:
    return Heartbeat(
        SCHEDD, JOB, attempt, worker, f"slot1@{worker}", Usage(peak_rss=1024), life=LIFE
    )


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
    "unknown": ("no such job", None),
    # its start is recorded before it beats, and may be read after the beat
    "idle": ("", ""),
    # its start is recorded, and it did not hear so
    "running": ("", ""),
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
    job = job_after(*STORIES[state](Events()))
    why, action = TABLE[state]
    assert refuse_claim(job, claim()) == why
    if action is not None:
        assert answer_heartbeat(job, beat()) == action


@pytest.mark.parametrize("state", [s for s in TABLE if s not in ("idle", "next idle")])
def test_another_worker_is_refused_what_does_not_wait(state: str) -> None:
    job = job_after(*STORIES[state](Events()))
    assert refuse_claim(job, claim("w3"))
    assert refuse_claim(job, claim("w3", attempt=1)) or state == "to be queued"


def test_the_claim_of_another_job_with_the_same_number_is_refused() -> None:
    job = job_after(Events().submit())
    assert refuse_claim(job, replace(claim(), life="other")) == "another job has its number"
    assert refuse_claim(job, claim()) == ""


def test_a_worker_that_is_faster_than_the_stream_is_not_refused(bench: ScheddHarness) -> None:
    # a worker that is refused acknowledges the message: the job would wait for ever
    e = Events()
    bench.submit(e.submit())
    bench.broker.record([codec.encode(each) for each in (e.started(), e.evicted())])
    bench.reconciler.reconcile_step()  # reads those, and queues attempt 1

    assert bench.job().attempt == 0
    assert bench.transport.count_ready("pool") == 2
    assert bench.ask(claim("w2", attempt=1)) == [yes(1)]
    assert bench.ask(claim("w3", attempt=1)) == [no("JobStatus is 2", 1)]
    assert bench.ask(claim("w3")) == [no("JobStatus is 2")]


def test_a_dead_letter_that_was_queued_again_brings_the_next_attempt(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    delivery = bench.transport.take("pool")
    assert delivery is not None
    bench.transport.reject(delivery, "unreadable")
    bench.settle()
    assert bench.ask(claim()) == [no("JobStatus is 5")]

    bench.transport.requeue_dead_letters()
    bench.settle()

    assert bench.ask(claim()) == [no("superseded by attempt 1")]
    assert bench.ask(claim(attempt=1)) == [yes(1)]


def test_claims_are_answered_before_the_stream_is_read_and_heartbeats_after(
    bench: ScheddHarness,
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
    assert codec.decode(reply.body) == yes()[0]

    bench.record(e.evicted(), e.started("w1", attempt=1))
    bench.mail.read_rest()
    assert connection.receive() is None  # the heartbeat was of a job that we know by now
    connection.close()


def test_a_heartbeat_from_the_wrong_worker_is_superseded() -> None:
    e = Events()
    assert answer_heartbeat(job_after(e.submit(), e.started()), beat("w2")) == "superseded"


# --- the mail -------------------------------------------------------------------------------


def test_one_worker_gets_a_job_and_another_gets_a_no(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    assert bench.ask(claim()) == [yes()]
    assert bench.ask(claim("w2")) == [no("JobStatus is 2")]
    assert starts(bench) == ["w1"]


def test_a_worker_of_another_pool_is_granted_nothing(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    asked = codec.encode(claim())
    for user in ("worker", "worker-other", "monitor", ""):
        bench.receive(Mail(asked, "", "token", user))
    assert bench.kinds() == ["submit"]
    bench.receive(Mail(asked, "", "token", "worker-pool"))
    assert bench.kinds() == ["submit", "started"]


def test_the_start_is_recorded_before_the_worker_is_told(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    bench.ask(claim())

    *_before, started = bench.broker.messages()
    assert isinstance(started, Started)
    assert (started.job, started.attempt) == (JOB, 0)
    assert (started.worker, started.host) == ("w1", "slot1@w1")
    assert [c for c in bench.broker.calls if c in ("record", "send")] == ["record", "send"]
    bench.settle()
    assert bench.job().status == 2


def test_claims_that_came_together_are_recorded_together(bench: ScheddHarness) -> None:
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


def test_two_workers_that_claim_one_job_together_do_not_both_get_it(bench: ScheddHarness) -> None:
    """Its message was doubled."""
    bench.submit(Events().submit())
    bench.transport.open_inbox("schedd")
    connection = bench.broker.connect()
    connection.open_inbox("both")
    for worker in ("w1", "w2"):
        connection.send("schedd", Mail(codec.encode(claim(worker)), "both", worker))

    bench.mail.answer_claims()

    replies = [connection.receive(), connection.receive()]
    told = {m.correlation: codec.decode(m.body) for m in replies if m is not None}
    assert told == {"w1": yes()[0], "w2": no("claimed by another worker")[0]}
    assert starts(bench) == ["w1"]
    connection.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_worker_that_did_not_hear_the_answer_gets_the_same_when_it_asks_again(
    bench: ScheddHarness, restarted: bool
) -> None:
    bench.submit(Events().submit())
    first = bench.ask(claim())
    if restarted:
        bench.restart()

    assert bench.ask(claim(again=True)) == first == [yes()]
    bench.settle()
    assert bench.ask(claim(again=True), "another token")[0][0] == yes()[0]
    assert starts(bench) == ["w1"]


def test_a_claim_that_comes_again_is_answered_from_the_whole_stream(bench: ScheddHarness) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.ask(claim())
    bench.broker.record([codec.encode(each) for each in (e.finished(),)])  # not read yet

    assert bench.ask(claim("w1", again=True)) == [no("JobStatus is 6")]
    assert bench.ask(claim("w2", again=True)) == [no("JobStatus is 6")]
    assert starts(bench) == ["w1"]


def test_a_claim_that_comes_for_the_first_time_costs_no_look_into_the_stream(
    bench: ScheddHarness,
) -> None:
    bench.submit(Events().submit())
    bench.broker.calls.clear()

    assert bench.ask(claim()) == [yes()]

    assert "read" not in bench.broker.calls


def test_what_was_said_of_a_job_and_not_read_back_counts_for_its_claim(
    bench: ScheddHarness,
) -> None:
    bench.submit(Events().submit())
    bench.reconciler.hold(JOB, HoldReason(1, 0, "why"))  # recorded, and not read back

    assert bench.ask(claim()) == [no("JobStatus is 5")]


def test_while_the_stream_cannot_be_read_to_its_end_who_asks_again_is_told_to_wait(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.submit(Events().submit(), Events(JobId(38, 1)).submit())
    monkeypatch.setattr(bench.transport, "read", lambda _after, _limit: [])

    assert bench.ask(claim(again=True)) == [wait()]
    assert bench.ask(claim(job=JobId(99, 0)))[0][0].wait  # it may be a new one
    # nothing can have been said of this one
    assert bench.ask(claim(job=JobId(38, 1)))[0][0].run
    assert starts(bench) == ["w1"]


def test_claims_that_are_repeated_without_end_share_few_markers(bench: ScheddHarness) -> None:
    """Each marker is a record that the stream keeps for days."""
    bench.submit(*(Events(JobId(38, proc)).submit() for proc in range(3)))
    bench.transport.open_inbox("schedd")
    connection = bench.broker.connect()
    connection.open_inbox("w1")

    def repeat_for_a_second() -> list[ClaimReply]:
        for _ in range(100):
            for proc in range(3):
                mail = Mail(codec.encode(claim(job=JobId(38, proc), again=True)), "w1", "token")
                connection.send("schedd", mail)
            bench.mail.answer_claims()
            bench.clock.now += 0.01
        replies = []
        while (mail := connection.receive()) is not None:
            replies.append(codec.decode(mail.body))
        assert all(isinstance(reply, ClaimReply) for reply in replies)
        return replies  # type: ignore[return-value]

    replies = repeat_for_a_second()

    assert 3 <= len([m for m in bench.broker.messages() if isinstance(m, Marker)]) <= 5
    assert {(r.job.proc, r.run, r.wait) for r in replies} == {(n, True, False) for n in range(3)}
    assert starts(bench) == ["w1"] * 3
    connection.close()


def test_claims_that_wait_for_the_stream_are_bounded_in_number(bench: ScheddHarness) -> None:
    bench.transport.open_inbox("schedd")
    connection = bench.broker.connect()
    connection.open_inbox("w1")
    assert bench.ask(claim("w2")) == [no("no such job")]  # read for it, and not so soon again
    for proc in range(MAX_MAIL + 1):
        mail = Mail(codec.encode(claim(job=JobId(1, proc))), "w1", f"token {proc}")
        connection.send("schedd", mail)
    for _ in range(2):
        bench.mail.answer_claims()

    (answered,) = iter(connection.receive, None)
    assert answered.correlation == f"token {MAX_MAIL}"
    reply = codec.decode(answered.body)
    assert isinstance(reply, ClaimReply) and reply.wait
    bench.clock.now += READING_SECONDS
    bench.mail.answer_claims()
    told = [codec.decode(mail.body) for mail in iter(connection.receive, None)]
    assert [(m.run, m.wait) for m in told if isinstance(m, ClaimReply)] == [(False, False)] * 1000
    connection.close()


def test_while_the_ledger_is_rebuilt_everybody_is_told_to_wait(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    bench.transport.open_inbox("schedd")
    connection = bench.broker.connect()
    connection.open_inbox("w1")
    for message in (beat(), claim()):
        connection.send("schedd", Mail(codec.encode(message), "w1", CORRELATION))

    bench.mail.put_off_claims()

    reply = connection.receive()
    assert reply is not None
    assert codec.decode(reply.body) == wait("the ledger is being read")[0]
    assert starts(bench) == []
    connection.close()


def test_a_start_that_could_not_be_recorded_is_not_granted(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())
    bench.broker.break_at("record")

    with pytest.raises(BrokerUnreachable):
        bench.ask(claim())

    assert bench.broker.calls[-1] == "record"
    bench.transport.close()
    bench.transport = bench.broker.connect()
    assert bench.ask(claim(again=True)) == [yes()]
    assert starts(bench) == ["w1"]


def test_a_job_that_a_current_ledger_does_not_know_is_not_run(bench: ScheddHarness) -> None:
    assert bench.ask(claim()) == [no("no such job")]
    assert starts(bench) == []


def test_the_claim_of_another_schedds_job_is_not_answered(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())

    assert bench.ask(replace(claim(), schedd="another")) == []
    assert starts(bench) == []


def test_the_start_and_the_reply_carry_the_life_of_the_job(bench: ScheddHarness) -> None:
    bench.submit(Events().submit())

    ((reply, _token),) = bench.ask(claim())

    assert (reply.run, reply.life) == (True, LIFE)
    assert [m.life for m in bench.broker.messages() if isinstance(m, Started)] == [LIFE]


def test_events_of_another_job_with_the_same_number_are_passed_over(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started(), replace(e.finished(code=7), life="other"))
    assert bench.job().status == 2
    assert bench.state.stream.forged == 1
    assert f"is of another job that had the number {JOB}: not believed" in caplog.text

    assert bench.ask(replace(beat(), life="other")) == []

    bench.record(e.finished())
    assert bench.job().status == 4


def test_a_worker_that_runs_a_held_job_is_told_again_at_its_heartbeat(bench: ScheddHarness) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started(), e.held())  # the control mail reached no worker
    assert bench.ask(beat()) == [(Control(SCHEDD, JOB, 0, "hold", life=LIFE), "")]


def test_a_heartbeat_of_a_good_run_is_not_answered(bench: ScheddHarness) -> None:
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started())
    assert bench.ask(beat()) == []


def test_unreadable_mail_is_dropped_and_logged(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    bench.receive(Mail(b"garbage", "w1", "t"))
    assert "mail not understood" in caplog.text


def test_control_mail_reaches_the_worker_of_a_removed_job(bench: ScheddHarness) -> None:
    connection = bench.broker.connect()
    connection.open_inbox("w1")
    e = Events()
    bench.submit(e.submit())
    bench.record(e.started(), e.removed())
    mail = connection.receive()
    assert mail is not None
    assert codec.decode(mail.body) == Control(SCHEDD, JOB, 0, "remove", life=LIFE)
    connection.close()


def test_a_claim_whose_answer_cannot_be_sent_does_not_keep_others_from_theirs(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
    inboxes = ["x" * 250] * 100 + ["w1"]
    mails = [Mail(codec.encode(claim()), inbox, inbox[:3]) for inbox in inboxes]
    monkeypatch.setattr(bench.transport, "receive", lambda: mails.pop() if mails else None)

    bench.mail.answer_claims()

    assert ("w1", "w1") in sent
    assert caplog.text.count("a worker gets no answer") == 13


def test_a_worker_whose_name_is_no_place_stops_nobody_when_it_is_to_be_told_something(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its name is its address; AMQP takes one of 255 characters for none."""
    events = Events(JOB)
    bench.submit(events.submit())
    bench.record(replace(events.started(), worker="x" * 255))

    def send(inbox: str, _mail: Mail) -> None:
        if len(inbox) > 200:
            raise BadInvocation("its name is too long")

    monkeypatch.setattr(bench.transport, "send_unconfirmed", send)
    monkeypatch.setattr(bench.transport, "send", send)
    peek = Peek(SCHEDD, JOB, 0, "x", 0, 1, life=LIFE)
    assert bench.mail.ask("x" * 255, peek, lambda _answer: None) == ""
    bench.record(events.removed())
    mails = [Mail(codec.encode(replace(beat(), worker="y" * 255)))]
    monkeypatch.setattr(bench.transport, "receive", lambda: mails.pop() if mails else None)
    bench.mail.answer_claims()
    bench.mail.read_rest()

    assert bench.job(JOB).status == 3
    assert caplog.text.count("a worker gets no answer") == 2


def test_mail_without_end_is_read_in_parts_and_logged_seldom(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    received = itertools.count()
    monkeypatch.setattr(bench.transport, "receive", lambda: Mail(b"junk %d" % next(received)))

    bench.mail.answer_claims()

    assert next(received) == MAX_MAIL
    assert caplog.text.count("mail not understood") == 10
    assert "mail not understood (512 so far)" in caplog.text
