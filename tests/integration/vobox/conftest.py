"""Fixtures of the tests in this directory."""

import shutil
import tempfile
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


@pytest.fixture
def top() -> Iterator[Path]:
    """Make a directory that all users may enter: pytest's own is closed to all but root."""
    path = Path(tempfile.mkdtemp(prefix="thyme-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)
