"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scratch_directory import filled
from tests.support.virtual_worker import Site
from thyme.worker.sandbox import Sandbox


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = filled(tmp_path)
    yield made
    made.remove()
