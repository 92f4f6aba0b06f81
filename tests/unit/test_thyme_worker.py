"""The worker's journey with a job, in virtual time: a fake broker, a fake schedd, a fake job."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.thyme_fakes import FakeBroker, FakeExecution, FakeSchedd, VirtualTime, submission
from thyme.claims import CLAIM_TIMEOUT, SECOND_CLAIM_TIMEOUT
from thyme.codec import encode
from thyme.errors import BrokerRefused, BrokerUnreachable, NodeUnfit
from thyme.job import Task
from thyme.message import Evicted, Finished, Message, Started, Submit, Verdict
from thyme.orders import Orders
from thyme.sandbox import Sandbox
from thyme.transport import Mail
from thyme.users import JobUser
from thyme.worker import Settings, Worker

POOL = "alien_jobs"


class Site:
    """A broker, a clock, and a worker that runs fake jobs."""

    def __init__(self, workdir: Path) -> None:
        self.clock = VirtualTime()
        self.broker = FakeBroker(self.clock)
        self.workdir = workdir
        self.orders = Orders()
        self.signals: list[str] = []
        self.jobs: list[FakeExecution] = []
        self.start = self.clock()
        self.worker: Worker | None = None

    def submit(self, *jobs: Submit) -> None:
        self.broker.submit(POOL, [encode(job) for job in jobs])

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self.clock.after(seconds, action)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.orders.signals.append(number)
        assert self.worker is not None
        self.worker.link.wake()

    def _execute(self, task: Task, _sandbox: Sandbox, _slot: str, _clock: object) -> FakeExecution:
        assert self.worker is not None
        self.jobs.append(FakeExecution(task, self.clock, self.worker.link.wake, self.signals))
        return self.jobs[-1]

    def run(self, **options: float) -> int:
        settings = Settings(POOL, self.workdir, user="self", **{"timeout": 10.0, **options})  # type: ignore
        self.worker = Worker(
            settings, self.broker.connect, self.orders, self.clock, self.clock, self.clock.sleep,
            self._execute,
        )  # fmt: skip
        try:
            return self.worker.run()
        finally:
            assert all(job.clean for job in self.jobs)
            assert list(self.workdir.iterdir()) == []

    def told(self) -> list[Message]:
        """What the stream says beyond the submissions."""
        return [m for m in self.broker.messages() if not isinstance(m, Submit)]

    def kinds(self) -> list[str]:
        return [message.kind for message in self.told()]

    def queued(self) -> int:
        return len(self.broker.queues[POOL])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def job(seconds: float = 1.0, name: str = "1.0", exit_code: int = 0, **task: object) -> Submit:
    environment = {"SECONDS": str(seconds), "EXIT": str(exit_code)}
    environment.update(task.pop("environment", {}))  # type: ignore[call-overload]
    return submission(Task("/bin/true", environment=environment, **task), name)  # type: ignore


# --- claiming --------------------------------------------------------------------------------


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


def test_a_job_that_comes_again_waits_for_the_schedd_s_word_and_not_for_ever(site: Site) -> None:
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


# --- control ---------------------------------------------------------------------------------


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


def test_whoever_is_superseded_while_it_obeys_says_nothing_either(site: Site) -> None:
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
        (inbox,) = site.broker.inboxes
        for body in (b"", b"\xff", encode(Verdict("x", submission().job, 0, False, "late"))):
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


# --- heartbeats ------------------------------------------------------------------------------


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


def test_a_lease_of_nothing_floods_nobody(site: Site) -> None:
    schedd = FakeSchedd(site.broker)
    site.submit(job(seconds=1, lease=1e-9))

    site.run(heartbeat=0.0)

    assert 10 <= len(schedd.beats) <= 20


# --- a broker that goes away -----------------------------------------------------------------


def test_a_broker_lost_during_the_run_does_not_touch_the_job(site: Site) -> None:
    site.submit(job(seconds=100))

    def lose() -> None:
        site.broker.down = BrokerUnreachable("gone")

    def come_back() -> None:
        site.broker.down = None

    site.after(10, lose)
    site.after(300, come_back)

    assert site.run(max_backoff=16.0) == 0

    assert site.signals == []
    started, finished = site.told()
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert finished.time == pytest.approx(site.start + 100, abs=1.1)
    # delivered when the broker was back, at most one back-off later
    assert site.broker.stream[-1].time - (site.start + 300) <= 16.1


def test_a_worker_without_a_broker_sleeps(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    sleep = site.clock.sleep
    monkeypatch.setattr(site.clock, "sleep", lambda s: (naps.append(s), sleep(s)))
    site.submit(job(seconds=200))
    site.after(10, lambda: setattr(site.broker, "down", BrokerUnreachable("gone")))
    site.after(250, lambda: setattr(site.broker, "down", None))

    assert site.run(heartbeat=20.0) == 0

    assert len(naps) < 400
    assert site.kinds() == ["started", "finished"]


def test_heartbeats_go_on_after_a_broken_line(site: Site) -> None:
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


@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("take", []),
        # its schedd may have recorded the start, and would not let it be started again
        ("send", ["evicted"]),
        ("record", ["evicted"]),
        ("ack", ["started", "evicted"]),
    ],
)
def test_a_job_whose_start_was_not_confirmed_is_not_run_but_taken_back_and_comes_again(
    site: Site, step: str, before: list[str]
) -> None:
    FakeSchedd(site.broker)
    site.submit(job())
    site.broker.break_at(step)

    assert site.run() == 0

    assert len(site.jobs) == 1
    assert site.kinds() == [*before, "started", "finished"]
    assert site.queued() == 0


def test_a_start_is_taken_back_before_anything_else_is_taken(site: Site) -> None:
    FakeSchedd(site.broker)
    site.submit(job())
    site.broker.break_at("send")

    site.run()

    steps = [c for c in site.broker.calls if c in ("take", "send", "record")]
    # lost in the claim, and only then: what it may have started, and the job once more
    assert steps[:4] == ["take", "send", "record", "take"]


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


# --- messages that nobody can read -----------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x00garbage", "not a thyme message"),
        (b'{"thyme": 2, "kind": "submit"}\n', "message version 2 is not known here"),
        (encode(Verdict("v", submission().job, 0, True, "")), "expected a submit message"),
    ],
)
def test_what_cannot_be_read_is_kept_aside_and_the_worker_goes_on(
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
        f"message kept aside: {letter.reason}"
    ]


# --- leaving ---------------------------------------------------------------------------------


def test_sigterm_evicts_the_job_with_its_kill_signal_and_reports_it(site: Site) -> None:
    site.submit(job(seconds=500, kill_signal=10), job(name="2.0"))
    site.after(100, site.signal)

    assert site.run(max_jobs=0) == 143

    assert site.signals == ["10 at 100"]
    evicted = site.told()[-1]
    assert isinstance(evicted, Evicted)
    assert evicted.reason == "evicted with its pilot"
    assert site.queued() == 1


def test_after_its_grace_an_evicted_job_is_killed(site: Site) -> None:
    site.submit(job(seconds=500, kill_grace=30.0, environment={"DYING": "99"}))
    site.after(100, site.signal)

    assert site.run() == 143

    assert site.signals[0] == "15 at 100"
    assert site.signals[1].startswith("9 at 130")
    assert site.kinds() == ["started", "evicted"]


def test_a_second_sigterm_kills_at_once(site: Site) -> None:
    site.submit(job(seconds=500, kill_grace=30.0, environment={"DYING": "99"}))
    site.after(100, site.signal)
    site.after(103, site.signal)

    assert site.run() == 143

    assert site.signals == ["15 at 100", "9 at 103"]
    assert site.kinds() == ["started", "evicted"]


def test_an_idle_worker_leaves_at_once(site: Site) -> None:
    site.after(3, lambda: site.signal(signal.SIGINT))

    assert site.run() == 130
    assert site.clock() - site.start <= 4


def test_a_worker_told_to_leave_while_it_claims_gives_the_job_back(site: Site) -> None:
    FakeSchedd(site.broker, delay=1e9)
    site.submit(job())
    site.after(1, site.signal)

    assert site.run() == 143

    assert site.told() == []
    (left,) = site.broker.queues[POOL].values()
    assert left.owner is None


# --- how many, how long ----------------------------------------------------------------------


def test_nothing_to_do_within_the_timeout(site: Site) -> None:
    assert site.run(timeout=42.0) == 3
    assert site.clock() - site.start == 42


def test_the_timeout_counts_from_the_last_job(site: Site) -> None:
    site.submit(job(seconds=30))
    site.after(35, lambda: site.submit(job(seconds=30, name="2.0")))

    assert site.run(timeout=10.0, max_jobs=0) == 0

    assert site.clock() - site.start == pytest.approx(75, abs=1)
    assert site.kinds() == ["started", "finished"] * 2


def test_a_worker_takes_no_more_than_its_jobs(site: Site) -> None:
    site.submit(*[job(name=f"{n}.0") for n in range(5)])

    assert site.run(max_jobs=3) == 0

    assert site.queued() == 2
    assert [str(m.job) for m in site.told()] == ["0.0"] * 2 + ["1.0"] * 2 + ["2.0"] * 2


# --- a node that cannot run jobs -------------------------------------------------------------


def test_a_node_without_scratch_takes_no_job(site: Site, tmp_path: Path) -> None:
    site.submit(job())
    site.workdir = tmp_path / "file"
    worker = Worker(Settings(POOL, tmp_path / "none"), site.broker.connect, site.orders, site.clock)

    with pytest.raises(NodeUnfit, match=r"cannot make a scratch directory in .*/none"):
        worker.run()

    assert site.broker.calls == []


def test_a_noexec_scratch_holds_no_jobs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noexec:
        f_flag = 8 | 1024

    monkeypatch.setattr("thyme.worker.os.statvfs", lambda _path: Noexec)
    site.submit(job())

    with pytest.raises(NodeUnfit, match="is mounted noexec"):
        site.run()

    assert site.broker.calls == []


def test_a_job_whose_scratch_cannot_be_made_goes_back_at_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.submit(job())
    made = []

    def second_fails(den: Path, user: JobUser) -> Sandbox:
        made.append(den)
        if len(made) > 1:
            raise NodeUnfit("no space left")
        return Sandbox(den, user)

    monkeypatch.setattr("thyme.worker.Sandbox", second_fails)

    with pytest.raises(NodeUnfit, match="no space left"):
        site.run()

    evicted = site.told()[-1]
    assert isinstance(evicted, Evicted)
    assert evicted.reason == "no space left"
