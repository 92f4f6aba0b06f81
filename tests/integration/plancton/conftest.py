"""Fixtures of the tests in this directory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.config_server import ConfigServer
from tests.support.node_daemon import Node
from tests.support.real_docker import DockerTest
from tests.support.services.engines import IMAGE, DockerService


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.clean()


@pytest.fixture
def web() -> Iterator[ConfigServer]:
    server = ConfigServer()
    yield server
    server.close()


@pytest.fixture
def bench(docker_service: DockerService, cgroup_name: str) -> Iterator[DockerTest]:
    made = DockerTest(docker_service, cgroup_name)
    yield made
    made.clean()


@pytest.fixture
def values(node: Node, docker_service: DockerService, cgroup_name: str) -> Iterator[dict[str, Any]]:
    """Return the configuration of a node whose pilots are containers; remove them afterwards."""
    yield {
        "engine": "docker",
        "docker_host": docker_service.host,
        "docker_image": IMAGE,
        "networks": ["none"],
        "cgroup_parent": cgroup_name,
        "max_dock_mem": 10_000_000,
        "main_sleep": 0.2,
        "stop_grace": 2,
    }
    node.clean()
    docker_service.remove_containers()
