"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import ScheddHarness


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ScheddHarness]:
    made = ScheddHarness(tmp_path, lease=300.0, max_attempts=3)
    yield made
    made.close()
