"""A worker and a schedd together, over a broker in memory: each job is run once, or not at all."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.schedd_parts import SCHEDD, Events, ScheddHarness, describe_job, job_after
from tests.support.virtual_worker import POOL, Site
from thyme.protocol import codec
from thyme.protocol.events import HoldReason, Lost, Usage
from thyme.protocol.job import Task
from thyme.protocol.mail import Claim, ClaimReply, make_schedd_inbox_name
from thyme.worker.shutdown import Shutdown
from vobox.jobs.transitions import MAX_FAILED_STARTS
from vobox.schedd.start_pauses import MAX_PAUSE

LONG = Task("/bin/true", environment={"SECONDS": "50"}, lease=300.0)


class Both:
    """``site`` has the worker, ``bench`` the schedd, which is away until ``arrive``."""

    def __init__(self, path: Path) -> None:
        for name in ("work", "schedd"):
            (path / name).mkdir()
        self.site = Site(path / "work")
        self.bench = ScheddHarness(path / "schedd", self.site.broker, max_attempts=3)
        self.events = Events(task=LONG)

    def submit(self) -> None:
        message = replace(self.events.submit(), pool=POOL)
        self.bench.broker.submit(POOL, [codec.encode(message)])
        self.bench.settle()

    def arrive(self) -> None:
        """Let the schedd answer claims from now on."""
        inbox = make_schedd_inbox_name(SCHEDD)
        self.site.broker.answer(inbox, self.bench.receive)

    def leave(self) -> None:
        del self.site.broker.inboxes[make_schedd_inbox_name(SCHEDD)]

    def kinds(self) -> list[str]:
        self.bench.settle()
        return self.bench.kinds()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    made = Both(tmp_path)
    yield made
    made.bench.close()


def ask(bench: ScheddHarness, worker: str, attempt: int = 0, again: bool = True) -> ClaimReply:
    job = bench.job()
    claim = Claim(SCHEDD, job.id, attempt, worker, f"slot1@{worker}", again=again, life=job.life)
    ((reply, _correlation),) = bench.ask(claim)
    assert isinstance(reply, ClaimReply)
    return reply


RAN_ONCE = ["submit", "started", "finished", "delivered"]


def test_a_job_is_run_once(both: Both) -> None:
    both.arrive()
    both.submit()

    assert both.site.run(max_jobs=0) == 0

    assert both.kinds() == RAN_ONCE
    assert describe_job(both.bench.job()) == "completed, left the queue"


@pytest.mark.parametrize(
    ("call", "nth"),
    # the schedd's line is another one: its first record is the start, its first mail the answer
    [("take", 1), ("send", 1), ("receive", 1), ("receive", 2), ("ack", 1), ("record", 2)],
)
def test_a_worker_whose_line_breaks_once_runs_its_job_once(both: Both, call: str, nth: int) -> None:
    both.arrive()
    both.submit()
    both.site.broker.break_at(call, nth)

    assert both.site.run(max_jobs=0, timeout=100.0) == 0

    assert len(both.site.jobs) == 1
    assert both.kinds().count("started") == 1
    assert not both.bench.job().in_queue
    assert both.bench.transport.count_ready(POOL) == 0


def test_without_a_schedd_a_cut_line_costs_nothing(both: Both) -> None:
    both.submit()
    both.site.broker.break_at("send")
    assert both.site.run(max_jobs=0) == 3
    assert "started" not in both.kinds()
    assert describe_job(both.bench.job()) == "idle with message"

    both.arrive()
    assert both.site.run(max_jobs=0) == 0

    assert both.kinds()[-3:] == RAN_ONCE[1:]
    assert len(both.site.jobs) == 1


def test_a_schedd_that_leaves_after_the_start_is_not_noticed_by_the_job(both: Both) -> None:
    both.arrive()
    both.submit()
    both.site.after(10, both.leave)

    assert both.site.run(max_jobs=0) == 0

    assert both.kinds() == RAN_ONCE


def test_a_worker_that_reconnects_gets_the_answer_that_it_did_not_hear(both: Both) -> None:
    bench = both.bench
    both.submit()
    line = bench.broker.connect()
    assert line.take(POOL) is not None
    assert ask(bench, "w1", again=False).run
    line.close()  # before the answer came
    line = bench.broker.connect()
    delivery = line.take(POOL)
    assert delivery is not None and delivery.redelivered

    assert ask(bench, "w1").run
    line.ack(delivery)
    bench.settle()

    assert bench.job().worker == "w1"
    assert bench.transport.count_ready(POOL) == 0
    assert bench.kinds() == ["submit", "started"]
    line.close()


def test_the_start_of_a_worker_that_died_is_another_s_no_until_its_lease_ends(both: Both) -> None:
    bench = both.bench
    both.submit()
    assert ask(bench, "w1", again=False).run

    assert not ask(bench, "w3").run
    bench.settle()
    bench.clock.now += 301
    bench.end_leases()

    assert bench.job().attempt == 1
    assert ask(bench, "w3", attempt=1, again=False).run


def test_a_removed_job_does_not_start_whether_the_schedd_is_there_or_not(both: Both) -> None:
    both.submit()
    both.bench.record(both.events.removed())

    assert both.site.run(max_jobs=0) == 3
    assert both.bench.transport.count_ready(POOL) == 1
    both.arrive()
    assert both.site.run(max_jobs=0) == 3

    assert both.site.jobs == []
    assert both.bench.transport.count_ready(POOL) == 0


def test_hold_and_release_leave_two_messages_and_one_run(both: Both) -> None:
    both.submit()
    both.bench.record(both.events.held(), both.events.released())
    assert both.bench.transport.count_ready(POOL) == 2
    assert both.site.run(max_jobs=0) == 3  # the schedd is away
    assert both.site.jobs == []

    both.arrive()
    assert both.site.run(max_jobs=0) == 0

    assert len(both.site.jobs) == 1
    assert both.kinds().count("finished") == 1


@pytest.mark.parametrize(
    "reason", ["Failed to write input file 'big': [Errno 28]", "evicted with its pilot", "vacated"]
)
def test_a_job_that_no_node_can_run_waits_longer_each_time_and_is_held(
    both: Both, reason: str
) -> None:
    bench, e = both.bench, both.events
    both.submit()
    waits = []
    for attempt in range(MAX_FAILED_STARTS):
        began = bench.clock.now
        while bench.job().attempt < attempt:
            bench.clock.now += 1
            bench.settle()
        waits.append(round(bench.clock.now - began))
        bench.record(
            e.started(f"w{attempt}", attempt),
            e.evicted(f"w{attempt}", attempt, reason, Usage(wall=0.2)),
        )

    assert waits == [0, 0, 10, 20, 40, 80, 160, 320, 600, 600]
    assert bench.job().status == 5
    assert reason in bench.job().ad.text("HoldReason")


@pytest.mark.parametrize(("seconds", "state"), [(2.0, "held"), (30.0, "idle with message")])
def test_only_pilots_that_end_at_once_hold_the_job_that_they_take(
    both: Both, seconds: float, state: str
) -> None:
    both.arrive()
    both.submit()
    for _ in range(MAX_FAILED_STARTS):
        assert describe_job(both.bench.job()) == "idle with message"
        both.site.shutdown = Shutdown()
        both.site.after(seconds, both.site.signal)
        assert both.site.run() == 128 + signal.SIGTERM
        both.bench.settle()
        both.bench.clock.now += MAX_PAUSE
        both.bench.settle()

    assert describe_job(both.bench.job()) == state
    assert both.kinds().count("evicted") == len(both.site.jobs) == MAX_FAILED_STARTS
    if state == "held":
        reason = both.bench.job().ad.text("HoldReason")
        text = "no worker could run it, 10 times in a row: evicted with its pilot after 2.5 s"
        assert reason == text, "2 s, and half a second in which the program ends"


def test_a_job_that_ended_as_it_was_given_up_for_the_last_time_is_not_held() -> None:
    e = Events()
    given_up = Lost(SCHEDD, e.job, e.now, 0, "no news", HoldReason(26, 0, "lost 3 times"))

    assert describe_job(job_after(e.submit(), e.started(), e.finished(), given_up)).startswith(
        "ended"
    )
    assert job_after(e.submit(), e.started(), given_up).status == 5
