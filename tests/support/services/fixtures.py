"""Fixtures of the services: shared by the session, except those that a test may break."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from tests.setup.needs import needs
from tests.support.services.engines import IMAGE, DockerService, PodmanService
from tests.support.services.influx import InfluxServer
from tests.support.services.rabbitmq import RabbitServer, VirtualHost
from tests.support.services.registry import Registry
from tests.support.waiting import wait_until

CGROUPS = Path("/sys/fs/cgroup")


class Service(Protocol):
    """A service that can be started, and stopped for good."""

    def up(self) -> object: ...
    def clean(self) -> object: ...


S = TypeVar("S", bound=Service)
E = TypeVar("E", DockerService, PodmanService)


def keep_up(service: S) -> Iterator[S]:
    """Start a service for a fixture, and end it after the tests."""
    try:
        service.up()
        yield service
    finally:
        service.clean()


def serve_engine(service: E) -> Iterator[E]:
    """Start an engine with the test image for a fixture; leave no container behind."""
    try:
        service.up()
        service.add_image(IMAGE)
        yield service
    finally:
        service.clean()


@pytest.fixture
def to_clean() -> Iterator[list[Service]]:
    """Clean up, after a test, the services that were put in here."""
    services: list[Service] = []
    yield services
    for service in services:
        service.clean()


def only_here(factory: pytest.TempPathFactory, service: str) -> None:
    """Fail where another process of this run has ``service``: tests are not shared out as meant."""
    run = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    (run / f"{service}.here").touch(exist_ok=False)


@pytest.fixture(scope="session")
@needs("docker")
def docker_service(
    tmp_path_factory: pytest.TempPathFactory, cgroup_name: str
) -> Iterator[DockerService]:
    """Run a Docker engine with the test image; leave no container behind."""
    only_here(tmp_path_factory, "docker")
    yield from serve_engine(DockerService(tmp_path_factory.mktemp("docker")))


@pytest.fixture(scope="session")
@needs("podman")
def podman_service(
    tmp_path_factory: pytest.TempPathFactory, cgroup_name: str
) -> Iterator[PodmanService]:
    only_here(tmp_path_factory, "podman")
    yield from serve_engine(PodmanService(tmp_path_factory.mktemp("podman")))


@pytest.fixture
@needs("docker")
def make_docker(
    tmp_path_factory: pytest.TempPathFactory, to_clean: list[Service]
) -> Callable[..., DockerService]:
    """Docker engines of this test's own, to be stopped, hung and restarted."""

    def make(*options: str, disk: int | None = None) -> DockerService:
        """``options`` of dockerd; ``disk``: bytes that its data may take."""
        service = DockerService(tmp_path_factory.mktemp("docker"), *options)
        to_clean.append(service)
        if disk is not None:
            service.limit_disk(disk)
        service.up()
        service.add_image(IMAGE)
        return service

    return make


@pytest.fixture
@needs("registry")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    yield from keep_up(Registry(tmp_path_factory.mktemp("registry")))


@pytest.fixture(scope="session")
@needs("rabbitmq")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Run a RabbitMQ that all tests share: leave it as it is."""
    yield from keep_up(RabbitServer(tmp_path_factory.mktemp("rabbitmq")))


@pytest.fixture
def rabbitmq(rabbitmq_server: RabbitServer) -> VirtualHost:
    """Make a virtual host of this test's own; ``url`` is its address, ``server`` its RabbitMQ."""
    assert rabbitmq_server.answers(), rabbitmq_server.said()
    return rabbitmq_server.vhost()


@pytest.fixture
@needs("rabbitmq")
def make_rabbitmq(
    tmp_path_factory: pytest.TempPathFactory, to_clean: list[Service]
) -> Callable[..., RabbitServer]:
    """RabbitMQ servers of this test's own, to be stopped, hung, filled and restarted."""

    def make(configuration: str = "") -> RabbitServer:
        """Start one with this rabbitmq.conf; ``{tls_port}`` and ``{directory}`` are filled in."""
        server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"), configuration)
        to_clean.append(server)
        server.up()
        return server

    return make


@pytest.fixture(scope="session")
@needs("influxdb")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """Run an InfluxDB without users that all tests share: each takes a database of its own."""
    yield from keep_up(InfluxServer(tmp_path_factory.mktemp("influxdb")))


@pytest.fixture
@needs("influxdb")
def make_influxdb(
    tmp_path_factory: pytest.TempPathFactory, to_clean: list[Service]
) -> Callable[..., InfluxServer]:
    """InfluxDB servers of this test's own, not started yet."""

    def make(**options: Any) -> InfluxServer:
        server = InfluxServer(tmp_path_factory.mktemp("influxdb"), **options)
        to_clean.append(server)
        return server

    return make


@pytest.fixture(scope="session")
def cgroup_name() -> Iterator[str]:
    """Make a parent group of the tests' own, for ``cgroup_parent``; end it after its engines.

    One group further down, it comes last in a group that does not: its pilots together have
    as much of a busy machine as one other program.  At the top they would have next to nothing
    of one that is never idle, and no deadline would be long enough.
    """
    name = f"plancton-test-{os.getpid()}"
    yield f"{name}/pilots"
    remove_groups(name)


def remove_groups(name: str) -> None:
    """Remove what engines and tests left in the control groups, as soon as they are empty."""
    hierarchies = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else CGROUPS.iterdir()
    tops = [hierarchy / name for hierarchy in hierarchies]

    def gone() -> bool:
        for top in tops:
            inside = [one for one in top.rglob("*") if one.is_dir()]
            for directory in (*sorted(inside, reverse=True), top):
                _rmdir(directory)
        return not any(top.is_dir() for top in tops)

    wait_until(gone, f"the control groups {name} to be empty", timeout=10.0)


def _rmdir(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        pass  # not there, or not empty yet
