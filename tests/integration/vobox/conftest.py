"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_on_rabbitmq import Make
from tests.support.schedd_process import LiveSchedd
from tests.support.services.rabbitmq import VirtualHost


@pytest.fixture
def make(tmp_path: Path, rabbitmq: VirtualHost) -> Iterator[Make]:
    made: list[LiveSchedd] = []

    def one(name: str = "vobox1.example.org", url: str = "") -> LiveSchedd:
        made.append(LiveSchedd(tmp_path / name, name, url or rabbitmq.url))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def schedd(tmp_path: Path) -> Iterator[LiveSchedd]:
    made = LiveSchedd(tmp_path)
    yield made
    made.close()
