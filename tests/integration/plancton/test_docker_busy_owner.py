"""An owner who takes every core of a real node with real containers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_daemon import Node
from tests.support.real_docker import yield_to_all
from tests.support.services.engines import IMAGE, DockerService
from tests.support.services.fixtures import CGROUPS
from tests.support.waiting import wait_until


@pytest.fixture
def node(tmp_path: Path, docker_service: DockerService, cgroup_name: str) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.clean()
    docker_service.remove_containers()


@pytest.fixture
def values(docker_service: DockerService, cgroup_name: str) -> dict[str, Any]:
    return {
        "engine": "docker",
        "docker_host": docker_service.host,
        "docker_image": IMAGE,
        "networks": ["none"],
        "cgroup_parent": cgroup_name,
        "max_dock_mem": 10_000_000,
        "main_sleep": 0.2,
        "stop_grace": 2,
    }


def test_an_owner_who_takes_every_core_evicts_no_pilot_where_cpu_idle_protects_him(
    node: Node, values: dict[str, Any], cgroup_name: str
) -> None:
    burn = ["sh", "-c", "while :; do :; done"]
    config = {**values, "docker_cmd": burn, "cpus_per_dock": 1, "max_docks": 2}
    config |= {"grace_kill": 0.5, "stop_grace": 0}
    node.configure(**config)
    node.nodaemon()
    before = set(node.wait_for(2))
    if node.published()["protection"]["cpu"] != "idle":
        pytest.skip("this kernel has no cpu.idle")
    assert node.published()["protection"]["inside"], "the tests' groups are inside another one"
    with contextlib.ExitStack() as owner:
        owner.enter_context(yield_to_all(cgroup_name.partition("/")[0]))
        wait_until(lambda: not node.published()["protection"]["inside"], "all groups to come last")
        # Only now the CPU counts: pilots start here however busy this machine is.
        node.configure(**config, cpu_reserve=0)
        # beside the pilots' group, as on a node, where both are at the top
        group = _find_cpu_groups() / Path(cgroup_name).parent / "owner"
        group.mkdir()
        join = f"echo $$ > {group}/cgroup.procs; {burn[2]}"
        for _ in range(os.cpu_count() or 1):
            busy = owner.enter_context(subprocess.Popen(["sh", "-c", join]))
            owner.callback(busy.kill)
        wait_until(
            lambda: node.published()["capacity"]["start"] == 0, "a busy owner", state=node.published
        )
        begun = time.monotonic()
        wait_until(lambda: node.published()["looked"] > begun + 3.0, "three seconds of passes")
        assert set(node.running()) == before, node.log()
        assert "running ones are kept" in node.ctl("explain").stdout
    assert "asked to end" not in node.log()


def test_the_kernel_knows_that_the_oldest_pilot_comes_first(
    node: Node, values: dict[str, Any], cgroup_name: str
) -> None:
    node.configure(**values, docker_cmd=["sleep", "600"], max_docks=1)
    node.nodaemon()
    (oldest,) = node.wait_for(1)
    if node.published()["protection"]["cpu"] != "idle":
        pytest.skip("this kernel has no cpu.idle")
    with yield_to_all(cgroup_name.partition("/")[0]):
        node.configure(**values, docker_cmd=["sleep", "600"], max_docks=2)
        node.wait_for(2)
        _check_weights(node, cgroup_name, oldest)


def _check_weights(node: Node, cgroup_name: str, oldest: str) -> None:
    def weights() -> list[int]:
        """In the kernel's own unit, the largest first."""
        parent = _find_cpu_groups() / cgroup_name.strip("/")
        names = ("*/cpu.weight", "*/cpu.shares")
        # Docker may be slow to remove the group of a container that has ended
        found = [
            int(path.read_text())
            for name in names
            for path in parent.glob(name)
            if (path.parent / "cgroup.procs").read_text()
        ]
        return sorted(found, reverse=True)

    wait_until(
        lambda: weights() in ([10_000, 10], [102_400, 102]),
        "weights",
        state=lambda: (weights(), node.log()),
    )
    (pid,) = (one["pid"] for one in node.published()["pilots"] if one["name"] == oldest)
    of_oldest = [
        line.rpartition(":")[2].strip()
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        if line.startswith("0::") or ":cpu," in line or ":cpu:" in line
    ]
    largest = max(
        (path for name in ("*/cpu.weight", "*/cpu.shares")
         for path in (_find_cpu_groups() / cgroup_name.strip("/")).glob(name)),
        key=lambda path: int(path.read_text()),
    )  # fmt: skip
    assert any(group.endswith(largest.parent.name) for group in of_oldest), of_oldest


def _find_cpu_groups() -> Path:
    """Return where this kernel's control groups for CPU time are."""
    return CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "cpu"
