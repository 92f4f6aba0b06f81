"""The AMQP transport while its RabbitMQ is stopped, killed, hung, full or out of reach.

One server is harmed by one test after the other, and each leaves it well.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.setup.needs import needs
from tests.support.services.cuttable_connection import CuttableConnection
from tests.support.services.fixtures import keep_up
from tests.support.services.programs import need
from tests.support.services.rabbitmq import RabbitServer, VirtualHost
from tests.support.waiting import wait_until
from thyme.broker import Mail, Record, Transport, connect
from thyme.broker.amqp.connection import Connection
from thyme.broker.amqp.url import parse
from thyme.broker.wakeup import Wakeup
from thyme.errors import BrokerUnreachable

POOL = "alien_jobs"
FINISHED = b'{"thyme":1,"kind":"finished"}'


@pytest.fixture(scope="module")
@needs("rabbitmq")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    yield from keep_up(RabbitServer(tmp_path_factory.mktemp("rabbitmq")))


@pytest.fixture
def vhost(own: RabbitServer) -> VirtualHost:
    return own.vhost()


@pytest.fixture
def line(own: RabbitServer) -> Iterator[CuttableConnection]:
    made = CuttableConnection(own.port)
    yield made
    made.close()


def error_of(action: Callable[[], object]) -> str:
    with pytest.raises(BrokerUnreachable) as error:
        action()
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def wait_for_error(transport: Transport) -> str:
    """Return what a wait says, some time."""
    said: list[str] = []

    def told() -> bool:
        try:
            transport.wait(1.0)
        except BrokerUnreachable as error:
            said.append(str(error))
        return bool(said)

    wait_until(told, "the loss to be noticed", timeout=60.0)
    return said[0]


def records_when_it_is_back(vhost: VirtualHost, count: int = 1) -> list[Record]:
    """Return so many of the stream's records, as soon as the broker has found them again."""
    said: list[object] = []

    def read() -> list[Record]:
        try:
            with closing(connect(vhost.url)) as again:
                found = again.read(-1, 99)
                return found if len(found) >= count else []
        except BrokerUnreachable as error:  # nothing else: another try succeeds
            said.append(error)
            return []

    return wait_until(read, "the stream", timeout=60.0, state=lambda: said)


@pytest.mark.parametrize("end", [RabbitServer.stop, RabbitServer.kill])
def test_what_was_acknowledged_is_there_after_the_server_was_ended(
    own: RabbitServer, vhost: VirtualHost, end: Callable[[RabbitServer], None]
) -> None:
    vobox, worker = connect(vhost.url), connect(vhost.url)
    vobox.submit(POOL, [b"%d" % n for n in range(50)])
    vobox.record([FINISHED])
    taken = worker.take(POOL)
    assert taken is not None and taken.body == b"0"

    own.settle()
    end(own)
    assert f"broker amqp://127.0.0.1:{own.port}: " in wait_for_error(worker)
    error_of(lambda: vobox.record([FINISHED]))
    worker.close()
    vobox.close()
    assert "Connection refused" in error_of(lambda: connect(vhost.url))
    own.up()

    assert len(records_when_it_is_back(vhost, 51)) == 51
    with closing(connect(vhost.url)) as again:
        bodies = []
        while (delivery := again.take(POOL)) is not None:
            bodies.append(delivery.body)
            again.ack(delivery)
        assert sorted(bodies, key=int) == [b"%d" % n for n in range(50)]


def test_a_memory_alarm_does_not_hang_a_submission_for_ever(
    own: RabbitServer, vhost: VirtualHost
) -> None:
    vobox, worker = connect(f"{vhost.url}?timeout=2"), connect(f"{vhost.url}?timeout=2")
    vobox.submit(POOL, [b"before"])
    own.fill_memory()
    try:
        # the broker tells of it at the first message, and may have taken that one
        said = error_of(lambda: [vobox.submit(POOL, [b"job"]) for _ in range(20)])
        assert said.endswith("it takes no messages now (low on memory); it needs an admin")
        error_of(lambda: vobox.wait(0.0))  # of no more use
        delivery = worker.take(POOL)  # those who only take go on
        assert delivery is not None and delivery.body == b"before"
        worker.ack(delivery)
    finally:
        own.free_memory()
    vobox.close()
    worker.close()
    with closing(connect(vhost.url)) as again:
        again.submit(POOL, [b"after"])


def test_a_question_that_is_never_answered_ends_although_mail_keeps_coming(
    own: RabbitServer, vhost: VirtualHost
) -> None:
    other = connect(vhost.url)
    other.declare_topology([POOL])
    wakeup = Wakeup()
    connection = Connection(parse(f"{vhost.url}?timeout=1")[0], wakeup)
    channel = connection.open_channel()
    connection.call(channel.queue_declare, "thyme.inbox.x", exclusive=True)
    connection.call(channel.queue_bind, "thyme.inbox.x", "thyme", routing_key="inbox.x")
    received = []
    connection.call(
        channel.basic_consume, "thyme.inbox.x", lambda *mail: received.append(mail), auto_ack=True
    )

    def never() -> None:
        other.send_unconfirmed("x", Mail(b"news"))
        other.wait(0.05)

    said = error_of(lambda: connection.wait_until(never, "a word"))
    assert "no answer within 1 s (a word)" in said
    assert received
    connection.close()
    wakeup.close()
    other.close()


def test_a_server_that_hangs_is_noticed_and_nothing_waits_for_ever(
    own: RabbitServer, vhost: VirtualHost
) -> None:
    url = f"{vhost.url}?timeout=2&heartbeat=5"
    idle, busy = connect(url), connect(url)
    idle.open_inbox("thyme.worker.idle")
    busy.record([FINISHED])
    own.hang()
    try:
        assert "no answer within 2 s (confirm of a message)" in error_of(
            lambda: busy.record([FINISHED])
        )
        start = time.monotonic()
        idle.close()  # says good-bye, and does not wait for an answer
        assert time.monotonic() - start < 30.0
        assert "no answer within 2 s" in error_of(lambda: connect(url))
    finally:
        own.go_on()
    busy.close()
    with closing(connect(vhost.url)) as again:
        again.submit(POOL, [b"job"])


def test_an_idle_connection_that_is_cut_is_noticed_by_its_heartbeats(
    own: RabbitServer, vhost: VirtualHost, line: CuttableConnection
) -> None:
    url = vhost.url_at(line.port) + "?heartbeat=5"
    worker = connect(url)
    worker.open_inbox("thyme.worker.cut")
    worker.wait(0.1)

    line.cut()

    said = wait_for_error(worker)
    assert "the connection is cut: nothing came for " in said
    worker.close()


@pytest.mark.needs("firewall")
def test_dropped_packets_are_noticed_by_waiting_and_by_sending_clients(
    own: RabbitServer, vhost: VirtualHost
) -> None:
    need("firewall")
    url = f"{vhost.url}?heartbeat=5&timeout=3"
    idle, busy = connect(url), connect(url)
    idle.open_inbox("thyme.worker.idle")
    busy.record([FINISHED])
    with dropping(own.port):
        assert "no answer within 3 s" in error_of(lambda: busy.record([FINISHED]))
        assert "the connection is cut: " in wait_for_error(idle)
        assert ": no answer" in error_of(lambda: connect(url))
    idle.close()
    busy.close()
    with closing(connect(vhost.url)) as again:
        again.submit(POOL, [b"job"])


@contextmanager
def dropping(port: int) -> Iterator[None]:
    """No packet of that port arrives, in either direction; both ends live."""
    rules = [
        ["INPUT", "-i", "lo", "-p", "tcp", side, str(port), "-j", "DROP"]
        for side in ("--dport", "--sport")
    ]
    for rule in rules:
        subprocess.run(["iptables", "-w", "-I", *rule], check=True, capture_output=True)
    try:
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True, capture_output=True)


def test_a_connection_cut_for_less_than_its_heartbeat_timeout_continues(
    own: RabbitServer, vhost: VirtualHost, line: CuttableConnection
) -> None:
    through = connect(vhost.url_at(line.port) + "?heartbeat=60")
    with closing(connect(vhost.url)) as schedd:
        through.open_inbox("thyme.worker.cut")
        assert through.take(POOL) is None
        line.cut()
        schedd.submit(POOL, [b"job"])
        schedd.send("thyme.worker.cut", Mail(b"vacate"))
        through.wait(0.5)
        assert through.take(POOL) is None

        line.mend()

        delivery = wait_until(lambda: through.take(POOL), "the job")
        assert delivery.body == b"job"
        assert wait_until(through.receive, "the mail") == Mail(b"vacate")
    through.close()


def test_an_idle_worker_keeps_its_connection_by_heartbeats(
    own: RabbitServer, vhost: VirtualHost
) -> None:
    worker = connect(f"{vhost.url}?heartbeat=5")
    worker.open_inbox("thyme.worker.idle")

    deadline = time.monotonic() + 12
    while time.monotonic() < deadline:
        worker.wait(1.0)  # as a worker does whose job runs

    with closing(connect(vhost.url)) as schedd:
        assert schedd.send("thyme.worker.idle", Mail(b"vacate"))
    assert wait_until(worker.receive, "the mail") == Mail(b"vacate")
    worker.close()


def test_a_broken_submission_recorded_some_or_none_and_never_breaks_the_order(
    own: RabbitServer, vhost: VirtualHost, line: CuttableConnection
) -> None:
    vobox = connect(vhost.url_at(line.port) + "?timeout=3")
    vobox.submit(POOL, [b"first"])
    bodies = [b"%d" % n + bytes(20_000) for n in range(400)]
    cutter = threading.Timer(0.05, line.cut)
    cutter.start()

    with pytest.raises(BrokerUnreachable):
        while True:
            vobox.submit(POOL, bodies)
    cutter.join()
    vobox.close()

    with closing(connect(vhost.url)) as reader:
        taken = []
        while (delivery := reader.take(POOL)) is not None:
            taken.append(delivery.body)
            reader.ack(delivery)
        assert taken[0] == b"first"
        # rounds of all the bodies, the last round perhaps not whole
        rest = taken[1:]
        assert rest == [bodies[n % len(bodies)] for n in range(len(rest))]
