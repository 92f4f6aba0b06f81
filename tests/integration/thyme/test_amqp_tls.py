"""The AMQP transport over TLS, to a real RabbitMQ."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.setup.needs import needs
from tests.support.services.certificates import Authority, Signed
from tests.support.services.rabbitmq import RabbitServer, VirtualHost
from thyme.broker import connect
from thyme.errors import BrokerRefused, BrokerUnreachable

POOL = "alien_jobs"
CONFIGURATION = """\
listeners.ssl.1 = 127.0.0.1:{tls_port}
ssl_options.cacertfile = {directory}/tls/ca.pem
ssl_options.certfile = {directory}/tls/server.pem
ssl_options.keyfile = {directory}/tls/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
ssl_cert_login_from = common_name
"""


@dataclass
class Site:
    server: RabbitServer
    vhost: VirtualHost
    authority: Authority
    client: Signed

    def url(self, options: str, host: str = "127.0.0.1") -> str:
        return self.vhost.url_at(self.server.tls_port, "amqps", host) + options


@pytest.fixture(scope="module")
@needs("rabbitmq")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("rabbitmq")
    authority = Authority(directory / "tls")
    authority.signed("server", "localhost", "rabbit.example")
    client = authority.signed("pilot", client=True)
    (directory / "plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n")
    server = RabbitServer(directory, CONFIGURATION)
    try:
        server.up()
        yield Site(server, server.vhost(), authority, client)
    finally:
        server.clean()


def refused(url: str) -> str:
    with pytest.raises(BrokerRefused) as error:
        connect(url)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_all_works_over_tls(site: Site) -> None:
    ca = site.authority.certificate
    with closing(connect(site.url(f"?cafile={ca}", "localhost"))) as broker:
        bodies = [b"%d" % n + bytes(30_000) for n in range(300)]
        broker.submit(POOL, bodies)
        taken = []
        while (delivery := broker.take(POOL)) is not None:
            taken.append(delivery.body)
            broker.ack(delivery)
        assert taken == bodies


def test_a_server_that_is_not_believed_is_refused(site: Site, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other", "a stranger").certificate

    assert "TLS: its certificate is not believed: " in refused(
        site.url(f"?cafile={stranger}", "localhost")
    )
    assert "name the right authority with ?cafile=" in refused(site.url("", "localhost"))


def test_the_name_in_the_certificate_must_be_right(site: Site) -> None:
    ca = site.authority.certificate
    assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in refused(
        site.url(f"?cafile={ca}")
    )
    connect(site.url(f"?cafile={ca}&server_name=rabbit.example")).close()


def test_a_client_certificate_says_who_we_are(site: Site) -> None:
    pair = f"certfile={site.client.certificate}&keyfile={site.client.key}"
    url = (
        f"amqps://localhost:{site.server.tls_port}/{site.vhost.name}"
        f"?cafile={site.authority.certificate}&{pair}"
    )
    assert "it does not know our client certificate: enable its plugin" in refused(url)

    site.server.add_user("pilot", "never used", ".*", ".*", ".*", vhost=site.vhost.name)

    with closing(connect(url)) as broker:
        broker.submit(POOL, [b"job"])


def test_files_that_cannot_be_used_are_named(site: Site, tmp_path: Path) -> None:
    nothing, garbage = tmp_path / "nothing", tmp_path / "garbage"
    garbage.write_text("no certificate")
    ca = site.authority.certificate

    assert f"TLS: cafile {nothing}: No such file or directory" in refused(
        site.url(f"?cafile={nothing}")
    )
    assert f"TLS: cafile {garbage}: no PEM certificate in it" in refused(
        site.url(f"?cafile={garbage}")
    )
    assert "are not a certificate and its key without a password, in PEM" in refused(
        site.url(f"?cafile={ca}&certfile={garbage}&keyfile={garbage}")
    )


def test_a_plain_port_and_a_tls_port_are_told_apart(site: Site) -> None:
    ca = site.authority.certificate
    plain = site.vhost.url_at(site.server.port, "amqps", "localhost") + f"?cafile={ca}"
    assert "it does not speak TLS on that port; use amqp://" in refused(plain)
    with pytest.raises((BrokerRefused, BrokerUnreachable)) as error:
        connect(site.vhost.url_at(site.server.tls_port))
    assert "is that a TLS port? then use amqps://" in str(error.value)
