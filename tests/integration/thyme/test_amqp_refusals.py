"""What the AMQP transport says of a real RabbitMQ that does not let it in, or is not there."""

import gc
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.services.rabbitmq import RabbitServer, VirtualHost
from thyme.broker import Transport, connect
from thyme.errors import BrokerRefused, BrokerUnreachable

POOL = "alien_jobs"
FINISHED = b'{"thyme":1,"kind":"finished"}'


# --- who we are -----------------------------------------------------------------------------------


def said(url: str) -> str:
    with pytest.raises(BrokerRefused) as refused:
        connect(url)
    text = str(refused.value)
    assert "secret" not in text and "\n" not in text
    return text


def test_a_wrong_password_a_vhost_and_a_permission_are_told_apart(
    rabbitmq: VirtualHost, rabbitmq_server: RabbitServer
) -> None:
    port, user = rabbitmq.server.port, rabbitmq.user
    wrong = said(f"amqp://{user}:secretly-wrong@127.0.0.1:{port}/{rabbitmq.name}")
    assert f"it does not let user {user!r} in: check the password in the URL" in wrong
    assert "'guest' in from its own machine only" in said(
        f"amqp://guest:secret@127.0.0.1:{port}/{rabbitmq.name}"
    )
    assert said(f"amqp://{user}:secret-{user}@127.0.0.1:{port}/nowhere") == (
        f"broker amqp://127.0.0.1:{port}: it has no vhost 'nowhere': rabbitmqctl add_vhost makes "
        "one"
    )
    assert f"user {user!r} may not use vhost '/': rabbitmqctl set_permissions gives" in said(
        f"amqp://{user}:secret-{user}@127.0.0.1:{port}/"
    )


def test_a_user_without_the_right_to_make_things_uses_what_is_there(
    new: Callable[[], Transport], rabbitmq: VirtualHost, rabbitmq_server: RabbitServer
) -> None:
    user = f"plain-{rabbitmq.name}"
    rabbitmq_server.add_user(user, "pw", "^thyme.worker", ".*", ".*", vhost=rabbitmq.name)
    url = f"amqp://{user}:pw@127.0.0.1:{rabbitmq.server.port}/{rabbitmq.name}"
    with closing(connect(url)) as worker, pytest.raises(BrokerRefused) as refused:
        worker.take(POOL)
    assert (
        f"there is no exchange 'thyme' in vhost {rabbitmq.name!r}: the schedd makes it when it "
        "starts, or thyme-admin topology"
    ) in str(refused.value)

    new().submit(POOL, [b"job"])
    with closing(connect(url)) as worker:
        worker.declare_topology([POOL])
        worker.open_inbox("thyme.worker.x")
        delivery = worker.take(POOL)
        assert delivery is not None and delivery.body == b"job"
        worker.record([FINISHED])
        with pytest.raises(BrokerRefused) as refused:
            worker.open_inbox("thyme.schedd.x")
    assert (
        f"user {user!r} has no permission for queue 'thyme.schedd.x' in vhost {rabbitmq.name!r}"
    ) in str(refused.value)


def test_a_user_who_may_not_publish_is_told_so(
    new: Callable[[], Transport], rabbitmq: VirtualHost, rabbitmq_server: RabbitServer
) -> None:
    new().submit(POOL, [b"job"])
    user = f"reader-{rabbitmq.name}"
    rabbitmq_server.add_user(user, "pw", "^$", "^$", ".*", vhost=rabbitmq.name)
    url = f"amqp://{user}:pw@127.0.0.1:{rabbitmq.server.port}/{rabbitmq.name}"

    with closing(connect(url)) as reader, pytest.raises(BrokerRefused) as refused:
        reader.submit(POOL, [b"job"])

    assert f"user {user!r} has no permission for exchange 'thyme'" in str(refused.value)


# --- who is there ---------------------------------------------------------------------------------


def test_an_unreachable_broker_is_reported() -> None:
    with pytest.raises(BrokerUnreachable, match=r"^broker amqp://127.0.0.1:9: Connection refused$"):
        connect("amqp://u:secret@127.0.0.1:9/v")
    with pytest.raises(BrokerUnreachable, match=r"no address is known for 'no-such-host.invalid'"):
        connect("amqp://u:secret@no-such-host.invalid/v")


def test_what_else_hinders_a_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python, run by a user who may not read all of it, could not load a codec."""

    def fail(*_args: object, **_options: object) -> None:
        raise LookupError("unknown encoding: idna")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with pytest.raises(BrokerUnreachable, match=r"LookupError\('unknown encoding: idna'\)$"):
        connect("amqp://u:secret@broker.example.org/v")


def test_the_host_that_answers_is_taken(rabbitmq: VirtualHost) -> None:
    url = rabbitmq.url.replace("127.0.0.1", "127.0.0.1:9,[::1]:9,127.0.0.1")
    for _ in range(6):  # in an order of chance
        with closing(connect(url)) as broker:
            broker.record([FINISHED])
    with closing(connect(f"amqp://u:p@127.0.0.1:9/v\n{rabbitmq.url}\n")) as broker:
        broker.record([FINISHED])


def test_where_no_host_answers_each_is_named() -> None:
    with pytest.raises(BrokerUnreachable) as failed:
        connect("amqp://u:secret@127.0.0.1:9,[::1]:9/v")

    assert "broker amqp://127.0.0.1:9: Connection refused" in str(failed.value)
    assert "broker amqp://[::1]:9: " in str(failed.value)


def test_another_service_on_that_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]

        def answer() -> None:
            client, _address = door.accept()
            client.recv(8)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            client.close()

        other = threading.Thread(target=answer)
        other.start()
        with pytest.raises(BrokerRefused, match="it answers, but not as RabbitMQ"):
            connect(f"amqp://127.0.0.1:{port}")
        other.join()


def test_nothing_is_left_open_when_it_cannot_connect(rabbitmq: VirtualHost) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()  # what other tests left
    before = opened()
    for url in (rabbitmq.url + "x", rabbitmq.url.replace("secret", "x"), "amqp://127.0.0.1:9"):
        with pytest.raises((BrokerRefused, BrokerUnreachable)):
            connect(url)
    connect(rabbitmq.url).close()

    assert opened() == before
