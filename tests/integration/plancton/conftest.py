"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.config_server import ConfigServer
from tests.support.node_daemon import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.clean()


@pytest.fixture
def web() -> Iterator[ConfigServer]:
    server = ConfigServer()
    yield server
    server.close()
