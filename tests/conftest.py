"""Fixtures that need a real service, for any test that names them."""

from __future__ import annotations

from tests.services.fixtures import (
    breakable_docker,
    cgroup_name,
    docker_service,
    podman_service,
)

__all__ = ["breakable_docker", "cgroup_name", "docker_service", "podman_service"]
