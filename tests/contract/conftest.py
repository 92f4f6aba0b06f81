"""One broker of each kind."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.fake_broker import FakeBroker
from thyme.broker import Transport, connect

Connect = Callable[[], Transport]


@pytest.fixture(
    params=["sqlite", "fake", pytest.param("amqp", marks=pytest.mark.needs("rabbitmq"))]
)
def new(request: pytest.FixtureRequest, tmp_path) -> Iterator[Connect]:
    """Return a function that opens one more connection to one broker."""
    opened: list[Transport] = []
    fake = FakeBroker()
    url = f"sqlite://{tmp_path}/broker.db"
    if request.param == "amqp":
        url = request.getfixturevalue("rabbitmq").url

    def one_more() -> Transport:
        transport = fake.connect() if request.param == "fake" else connect(url)
        opened.append(transport)
        return transport

    yield one_more
    for transport in opened:
        transport.close()
