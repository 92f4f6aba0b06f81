"""One small site for all clients: a real schedd, a real broker, pilots kept by planctonctl."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.pool import Pool
from tests.setup.downloads import clients
from tests.setup.needs import needs
from tests.support.services.programs import need
from tests.support.services.rabbitmq import RabbitServer

PILOTS = 4
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test time for its fixtures too: the first of these starts a site."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
@needs("clients")
def python() -> Path:
    """Return the Python that has the real clients."""
    need("clients")
    return clients() / "bin/python"


@pytest.fixture(scope="session")
def pool(rabbitmq_server: RabbitServer) -> Iterator[Pool]:
    # jobs make Unix sockets in their scratch directories: pytest's are too deep for that
    root = Path(tempfile.mkdtemp(prefix="c"))
    made = Pool(root, pilots=PILOTS, url=rabbitmq_server.vhost().url)
    try:
        made.up()
        yield made
    finally:
        left = made.stop()
        shutil.rmtree(root)
    assert left == []


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the client's own directory."""
    return tmp_path
