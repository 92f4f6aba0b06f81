"""The images of images/, built on the replacement bases, in an engine that keeps them.

Its data lie in build/docker, so that only what has changed is built again. Processes share the
engine: the first starts it, the last one ends it. ``built_images`` is the fixture; a test that asks
for it needs ``pytest.mark.timeout(BUILD_SECONDS)``, as the first build takes minutes.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import plancton
from plancton.engine.process import procfs
from tests.setup.needs import needs
from tests.support.services.engines import DockerService
from tests.support.services.programs import end_all_with, need, unmount_all_in
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "build" / "docker"
NAMES = ("worker-cc7", "worker-el9", "vobox", "plancton", "schedd", "influxdb")
#: What replaces RabbitMQ's own image, which a site uses as it is.
RABBITMQ = "plancton-offline/rabbitmq"
#: With an empty cache on a busy machine of two cores, a slow mirror included.
BUILD_SECONDS = 1200
#: Layers that nothing was built from for so long are thrown away, hours.
_STALE = "72h"
#: Started here, and still in use elsewhere: not to be called forgotten when it is.
_LENT: list[DockerService] = []


@dataclass(frozen=True)
class BuiltImages:
    """``host``: for DOCKER_HOST; ``names``: the tag of each image in that engine."""

    engine: DockerService
    names: dict[str, str]

    @property
    def host(self) -> str:
        return self.engine.host


@pytest.fixture(scope="session")
@needs("images", "docker")
def built_images() -> Iterator[BuiltImages]:
    """All images, and the engine that has them; leave no container behind."""
    need("images")
    with shared_engine() as engine:
        names = {name: f"plancton/{name}:{plancton.__version__}" for name in NAMES}
        yield BuiltImages(engine, {**names, "rabbitmq": f"{RABBITMQ}:latest"})


@contextmanager
def shared_engine() -> Iterator[DockerService]:
    """Hold build/docker, which one test run at a time may use, with the images."""
    KEPT.mkdir(parents=True, exist_ok=True)
    users = KEPT / "users.json"
    with _locked():
        place, pids = _users(users)
        engine = DockerService(place or Path(tempfile.mkdtemp(prefix="images-")))
        engine.disk = KEPT
        if not (pids and engine.answers()):
            engine = _started(engine)
        build(engine)
        users.write_text(json.dumps({"place": str(engine.directory), "pids": [*pids, os.getpid()]}))
    try:
        yield engine
    finally:
        with _locked():
            _, pids = _users(users)
            left = [pid for pid in pids if pid != os.getpid()]
            users.write_text(json.dumps({"place": str(engine.directory), "pids": left}))
            if left:
                _LENT.append(engine)
            else:
                _end(engine)


@contextmanager
def _locked() -> Iterator[None]:
    with open(KEPT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _users(file: Path) -> tuple[Path | None, list[int]]:
    """Return the engine's directory, and those of its users that are still there."""
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return None, []
    return Path(known["place"]), [pid for pid in known["pids"] if procfs.read_stat(pid) is not None]


def _started(engine: DockerService) -> DockerService:
    """Return a new one, on what is stored; nothing is left of one of a session that was killed."""
    _end(engine)
    end_all_with(KEPT)
    fresh = DockerService(Path(tempfile.mkdtemp(prefix="images-")))
    fresh.disk = KEPT
    fresh.up()
    fresh.remove_containers()
    return fresh


def _end(engine: DockerService) -> None:
    """End the Docker daemon."""
    try:
        pid = int((engine.directory / "dockerd.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not _lives(pid), "dockerd to end", timeout=60.0)
    except (OSError, ValueError):
        pass  # it has ended
    engine.down()
    end_all_with(engine.directory)
    unmount_all_in(engine.directory)
    shutil.rmtree(engine.directory, ignore_errors=True)


def debian_base() -> Path:
    """Debian's minimal system as a tar: made once in this clone, for whatever begins with it."""
    done = subprocess.run(
        [ROOT / "images/offline/debian.sh"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ROOT / "build/offline/bookworm.tar"


def _lives(pid: int) -> bool:
    found = procfs.read_stat(pid)
    return found is not None and found.state not in "ZX"


def build(engine: DockerService) -> None:
    """Build what is missing or old. Fails with the build's last words."""
    done = subprocess.run(
        [ROOT / "images/offline/build.sh"],
        env={**os.environ, "DOCKER_HOST": engine.host, "PLANCTON_TAG": plancton.__version__},
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
