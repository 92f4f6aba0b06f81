"""Fixtures of the tests in this directory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.services.rabbitmq import VirtualHost
from tests.support.worker_program import WorkerSite
from thyme.broker import Transport, connect


@pytest.fixture
def new(rabbitmq: VirtualHost) -> Iterator[Callable[[], Transport]]:
    opened: list[Transport] = []

    def one_more() -> Transport:
        opened.append(connect(rabbitmq.url))
        return opened[-1]

    yield one_more
    for transport in opened:
        transport.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[WorkerSite]:
    made = WorkerSite(tmp_path)
    yield made
    made.close()
