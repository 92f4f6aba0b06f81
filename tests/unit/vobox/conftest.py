"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_query_queue import utc
from tests.support.fake_rpc_server import FakeRpcServer
from tests.support.schedd_parts import ScheddHarness


@pytest.fixture(autouse=True)
def _in_utc() -> Iterator[None]:
    with utc():
        yield


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path)
    yield made
    made.close()


@pytest.fixture
def schedd(tmp_path: Path) -> Iterator[FakeRpcServer]:
    made = FakeRpcServer(tmp_path / "s.sock")
    yield made
    made.close()
