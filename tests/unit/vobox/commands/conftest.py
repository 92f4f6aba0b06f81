"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_command_queue import BOB, Queue
from tests.support.schedd_parts import ScheddHarness


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    bench = ScheddHarness(tmp_path)
    made = Queue(bench)
    made.add("4.0", "5.0", "5.1", "6.0", "6.1")
    made.add("9.0", uid=BOB, owner="bob")
    yield made
    bench.close()
