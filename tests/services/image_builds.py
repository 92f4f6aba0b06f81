"""The images of images/, built for real on their stand-ins, in an engine that keeps them.

Its data lie in build/docker, so that only what has changed is built again; two sessions at once
wait for each other. ``built_images`` is the fixture. A test that asks for it needs
``pytest.mark.timeout(BUILD_SECONDS)``: the first build takes minutes.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import plancton
from tests.services.engines import DockerService
from tests.services.programs import need

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "docker"
NAMES = ("worker-cc7", "worker-el9", "vobox", "plancton", "schedd", "rabbitmq", "influxdb")
#: With an empty cache on a busy machine of two cores, a slow mirror included.
BUILD_SECONDS = 1200
#: Layers that nothing was built from for so long are thrown away, hours.
_STALE = "72h"


@dataclass(frozen=True)
class BuiltImages:
    """``host``: for DOCKER_HOST; ``names``: the tag of each image in that engine."""

    engine: DockerService
    names: dict[str, str]

    @property
    def host(self) -> str:
        return self.engine.host


@pytest.fixture(scope="session")
def built_images() -> Iterator[BuiltImages]:
    """All images, and the engine that has them; leave no container behind."""
    need("the images", ["docker", "debootstrap"], ["docker.io", "debootstrap"])
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(KEPT / "lock", "w") as lock, tempfile.TemporaryDirectory(prefix="images-") as place:
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine = DockerService(Path(place))
        engine.disk = KEPT
        try:
            engine.up()
            engine.remove_containers()  # of a session that was killed
            yield BuiltImages(engine, build(engine))
        finally:
            engine.clean()


def build(engine: DockerService) -> dict[str, str]:
    """Build what is missing or old; the tag of each image. Fails with the build's last words."""
    tag = plancton.__version__
    done = subprocess.run(
        [ROOT / "images/offline/build.sh"],
        env={**os.environ, "DOCKER_HOST": engine.host, "PLANCTON_TAG": tag},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS - 60,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    client = engine.client
    try:
        client.prune_images({"dangling": True, "until": _STALE})
    finally:
        client.close()
    return {name: f"plancton/{name}:{tag}" for name in NAMES}
