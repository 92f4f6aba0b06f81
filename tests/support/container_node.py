"""A node with the real daemon whose pilots are containers of a real Docker."""

from pathlib import Path
from typing import Any

from tests.support.node_daemon import Node
from tests.support.real_docker import SLEEPS
from tests.support.services.engines import IMAGE, DockerService


class ContainerNode(Node):
    """A node on a Docker engine; its pilots sleep until they are asked to end."""

    def __init__(self, directory: Path, service: DockerService, cgroup: str) -> None:
        super().__init__(directory)
        self.service, self.cgroup = service, cgroup

    def configure(self, **values: Any) -> None:
        known = {
            "engine": "docker",
            "docker_host": self.service.host,
            "docker_image": IMAGE,
            "docker_cmd": [*SLEEPS],
            "cgroup_parent": self.cgroup,
            "networks": ["none"],
            "max_dock_mem": 20_000_000,
            "main_sleep": 0.5,
            "quick_death": 0,
        }
        super().configure(**(known | values))
