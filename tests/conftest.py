"""Fixtures that need a real service, for any test that names them."""

from __future__ import annotations

from tests.services.fixtures import (
    cgroup_name,
    docker_service,
    influxdb,
    make_docker,
    make_influxdb,
    make_rabbitmq,
    podman_service,
    rabbitmq,
    rabbitmq_server,
    registry,
)

__all__ = [
    "cgroup_name",
    "docker_service",
    "influxdb",
    "make_docker",
    "make_influxdb",
    "make_rabbitmq",
    "podman_service",
    "rabbitmq",
    "rabbitmq_server",
    "registry",
]
