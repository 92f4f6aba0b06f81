"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vobox.ledger.writer import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()
