"""The schedd's own thread: calls from commands, a broker that goes away, a disk that fails."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_broker import FakeBroker, FakeTransport
from tests.support.fake_submit_host import FakeCaller
from tests.support.few_threads import NO_THREAD
from tests.support.schedd_parts import SCHEDD, Events, ad_of
from tests.support.waiting import wait_until
from thyme.broker import Record
from thyme.errors import BrokerRefused, BrokerUnreachable
from thyme.protocol import codec
from thyme.protocol.events import Submit, Usage
from thyme.protocol.job import JobId, Task
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, CommandRefused, PreparedJob, Request
from vobox.schedd import command_gateway
from vobox.schedd.command_gateway import CommandGateway
from vobox.schedd.main_loop import Schedd
from vobox.schedd.reconciler import Reconciler
from vobox.schedd.state import Settings
from vobox.server.router import Router


class Running:
    """A schedd in a thread of its own, on a broker in memory."""

    def __init__(self, directory: Path, broker: FakeBroker, **settings: Any) -> None:
        self.directory, self.broker = directory, broker
        self.ready = threading.Event()
        self.caller = FakeCaller()
        self.failed: list[BaseException] = []
        self.schedd: Schedd
        made = threading.Event()

        def run() -> None:
            ledger = Ledger(directory / "ledger.db")
            self.ledger = ledger
            known = Settings(SCHEDD, "pool", lease=300.0, **settings)
            self.schedd = Schedd(known, broker.connect, ledger)
            self.dispatch = Router(self.schedd, ledger, Path("/s.sock"))
            made.set()
            try:
                self.schedd.run(self.ready.set)
            except BaseException as error:
                self.failed.append(error)
            finally:
                ledger.close()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert made.wait(20)

    def request(self, command: str, *argv: str) -> Request:
        uid, gid = os.getuid(), os.getgid()
        return Request(command, argv, "/", {}, uid, gid, "games", caller=self.caller)

    def run(self, command: str, *argv: str) -> Answer:
        return self.dispatch(self.request(command, *argv))

    def gateway(self) -> CommandGateway:
        return CommandGateway(self.schedd, self.ledger, self.request("condor_submit"), "<x>")

    def submit(self, procs: int = 1, cluster: int | None = None) -> int:
        gateway = self.gateway()
        cluster = gateway.new_cluster() if cluster is None else cluster
        jobs = [
            PreparedJob(proc, ad_of(JobId(cluster, proc)), Task("/bin/sh")) for proc in range(procs)
        ]
        gateway.submit(cluster, jobs)
        return cluster

    def idle(self) -> int:
        return len(self.run("condor_q", "-allusers", "-af", "JobStatus").stdout.split())

    def queued(self) -> list[str]:
        return [str(m.job) for m in self.broker.messages() if isinstance(m, Submit)]

    def lose_broker(self, error: Exception) -> None:
        self.broker.down = error  # type: ignore[assignment]
        self.schedd._wake()
        wait_until(lambda: self.schedd.trouble == str(error), "the trouble is seen")

    def end(self) -> None:
        self.schedd.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def one(broker: FakeBroker | None = None, **settings: Any) -> Running:
        made.append(Running(tmp_path, broker or FakeBroker(), **settings))
        return made[-1]

    yield one
    for each in made:
        each.end()


@pytest.fixture
def running(start: Callable[..., Running]) -> Running:
    made = start()
    assert made.ready.wait(20)
    return made


def test_a_job_is_seen_as_soon_as_condor_submit_has_its_answer(running: Running) -> None:
    cluster = running.submit(procs=3)
    assert (cluster, running.idle()) == (1, 3)
    assert running.queued() == ["1.0", "1.1", "1.2"]
    assert running.submit() == 2


class LateTransport(FakeTransport):
    """As RabbitMQ's: a record may come to its readers some time after it was confirmed."""

    shown = 10**9

    def record(self, bodies: Sequence[bytes]) -> None:
        self.shown = len(self._broker.stream)
        super().record(bodies)

    def read(self, after: int, limit: int) -> list[Record]:
        return [each for each in super().read(after, limit) if each.offset <= self.shown]

    def wait(self, timeout: float) -> None:
        super().wait(timeout)
        self.shown = 10**9


class LateBroker(FakeBroker):
    def connect(self) -> FakeTransport:
        return LateTransport(self)


def test_an_order_is_seen_as_soon_as_its_command_has_its_answer(
    start: Callable[..., Running],
) -> None:
    running = start(LateBroker())
    assert running.ready.wait(20)
    running.submit(procs=2)

    assert running.run("condor_hold", "1.0").code == 0
    assert running.run("condor_q", "1.0", "-af", "JobStatus").stdout == "5\n"
    assert running.run("condor_rm", "1").code == 0
    assert running.run("condor_q", "-allusers", "-af", "JobStatus").stdout == ""


def test_a_fault_of_ours_does_not_end_the_schedd(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running.submit()
    with monkeypatch.context() as broken:
        broken.setattr(Reconciler, "reconcile_step", lambda *_a, **_k: 1 // 0)
        running.schedd._wake()
        told = "a fault of the schedd (ZeroDivisionError); its log tells more"
        wait_until(lambda: running.schedd.trouble == told, "the trouble is told")
    wait_until(lambda: not running.schedd.trouble, "all well again")
    running.submit()
    assert running.idle() == 2
    assert "the schedd starts its work again" in caplog.text
    assert not running.failed


def test_a_thread_that_is_lacking_is_waited_for_without_a_traceback(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken:
        broken.setattr(Reconciler, "reconcile_step", fail)
        running.schedd._wake()
        wait_until(lambda: running.schedd.trouble == NO_THREAD, "the trouble is told")
    wait_until(lambda: not running.schedd.trouble, "all well again")
    assert "Traceback" not in caplog.text and NO_THREAD in caplog.messages
    assert not running.failed


def test_a_broker_that_refuses_us_later_is_waited_for(running: Running) -> None:
    running.lose_broker(BrokerRefused("no permission"))
    assert not running.failed
    running.broker.down = None
    wait_until(lambda: not running.schedd.trouble, "all well again")


def test_a_broker_that_refuses_us_at_the_start_ends_us(start: Callable[..., Running]) -> None:
    broker = FakeBroker()
    broker.down = BrokerRefused("no permission")
    made = start(broker)
    made.thread.join(20)
    assert [str(error) for error in made.failed] == ["no permission"]


def test_a_broker_that_is_not_there_yet_is_waited_for(start: Callable[..., Running]) -> None:
    broker = FakeBroker()
    broker.down = BrokerUnreachable("not there")
    made = start(broker)
    wait_until(lambda: made.schedd.trouble == "not there", "it waits")
    asked = made.run("condor_q", "-allusers", "-af", "JobStatus")  # jobs of the stream are missing
    assert (asked.code, asked.stdout) == (1, "")
    assert asked.stderr.endswith("ledger is still being made: not there; try again\n")
    with pytest.raises(CommandRefused, match="the schedd is not ready: not there; try again"):
        made.gateway().search(lambda view, _now: list(view.read_jobs()))
    broker.down = None
    assert made.ready.wait(20)


def test_a_broker_that_fails_while_jobs_are_queued_queues_none(running: Running) -> None:
    running.broker.break_at("submit")
    with pytest.raises(CommandRefused):
        running.submit(procs=3)
    wait_until(lambda: not running.schedd.trouble, "all well again")
    assert (running.queued(), running.idle()) == ([], 0)


def test_jobs_that_are_queued_are_never_called_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the broker took them, and then the line broke: a CE that hears of an error submits twice
    gateway = running.gateway()
    cluster = gateway.new_cluster()
    take = running.broker.submit

    def take_and_break(pool: str, bodies: Sequence[bytes]) -> None:
        take(pool, bodies)
        running.broker.break_at("read")

    monkeypatch.setattr(running.broker, "submit", take_and_break)
    jobs = [PreparedJob(0, ad_of(JobId(cluster, 0)), Task("/bin/sh"))]
    gateway.submit(cluster, jobs)
    assert running.queued() == ["1.0"]
    wait_until(lambda: running.idle() == 1, "it is seen once the line is back")


def test_a_full_disk_refuses_before_anything_is_queued(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Ledger.write_meta
    full = True

    def write_meta(ledger: Ledger, name: str, value: str) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        real(ledger, name, value)

    monkeypatch.setattr(Ledger, "write_meta", write_meta)
    with pytest.raises(CommandRefused, match=r"spool .*: database or disk is full"):
        running.submit()
    assert running.queued() == []
    assert running.run("condor_q").code == 1

    full = False
    wait_until(lambda: not running.schedd.trouble, "all well again", timeout=30)
    running.submit()
    assert running.idle() == 1


def test_a_job_that_no_message_can_carry_is_refused_with_its_size(running: Running) -> None:
    from thyme.protocol.job import SandboxFile

    huge = Task("/bin/sh", files=(SandboxFile("big", os.urandom(17 * 1024 * 1024)),))
    gateway = running.gateway()
    with pytest.raises(CommandRefused, match=r"job 1\.0: .*limit is 16777216"):
        gateway.submit(1, [PreparedJob(0, ad_of(JobId(1, 0)), huge)])
    assert running.queued() == []


def test_jobs_that_together_are_too_large_are_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_gateway, "MAX_SUBMIT_BYTES", 10_000)

    with pytest.raises(CommandRefused, match="these 100 jobs carry their files with them"):
        running.submit(procs=100)
    assert running.queued() == []
    running.submit(procs=1)
    assert len(running.queued()) == 1


def test_calls_are_refused_when_it_ends(running: Running) -> None:
    running.end()
    # its thread is gone: nobody must wait for it
    future = running.schedd._calls.submit(lambda _session: None)
    running.schedd._refuse_calls()
    with pytest.raises(CommandRefused, match="the schedd is ending"):
        future.result(1)


def test_a_fault_in_one_command_is_that_commands_own(running: Running) -> None:
    def fail(_session: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        running.schedd.call(fail)
    assert running.submit() == 1


def test_a_heartbeat_sent_right_after_the_start_is_believed(running: Running) -> None:
    # start and heartbeat wait together: read in the wrong order, the job would be vacated
    from thyme.broker import Mail
    from thyme.protocol.mail import Heartbeat, make_schedd_inbox_name

    cluster = running.submit()
    (life,) = (each.life for each in running.broker.messages() if isinstance(each, Submit))
    e = Events(JobId(cluster, 0), life=life)
    worker = running.broker.connect()
    worker.open_inbox("w1")
    with running.broker.changed:
        worker.record([codec.encode(e.started())])
        beat = Heartbeat(SCHEDD, e.job, 0, "w1", "slot1@w1", Usage(), life=life)
        worker.send(make_schedd_inbox_name(SCHEDD), Mail(codec.encode(beat), "w1"))
    wait_until(
        lambda: running.run("condor_q", "-allusers", "-af", "JobStatus").stdout == "2\n", "it runs"
    )
    running.submit()  # whatever was waiting has been read now
    assert worker.receive() is None
    worker.close()


def test_a_submit_beyond_the_owners_limit_queues_nothing(
    start: Callable[..., Running],
) -> None:
    running = start(max_jobs_per_owner=5)
    assert running.ready.wait(20)
    running.submit(procs=3)
    with pytest.raises(CommandRefused, match=r"would exceed MAX_JOBS_PER_OWNER \(5\)"):
        running.submit(procs=3)
    assert running.idle() == 3
    running.submit(procs=2)
    # at the limit not even a cluster is made
    with pytest.raises(CommandRefused, match="MAX_JOBS_PER_OWNER"):
        running.gateway().new_cluster()
    assert running.run("condor_rm", "1").code == 0
    wait_until(lambda: running.idle() == 2, "three are removed")
    assert running.submit(procs=3) == 4
