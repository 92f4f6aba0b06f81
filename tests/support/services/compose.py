"""Both versions of compose: ``docker compose`` (v2), and docker-compose 1.29."""

from pathlib import Path

from tests.setup.downloads import compose_plugin, compose_version
from tests.support.services.programs import need, skip_or_fail, which


def compose_v1() -> str:
    """Return the program docker-compose 1.29."""
    need("compose")
    found = which("docker-compose")
    assert found is not None
    if not compose_version(found).startswith("1."):
        skip_or_fail(f"{found} is not docker-compose 1.29")
    return found


def compose_v2() -> Path:
    """Return the plugin of Docker's command."""
    need("compose")
    found = compose_plugin()
    assert found is not None
    return found
