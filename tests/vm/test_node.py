"""What the README promises of a node, on one as sites have them: systemd and control groups v2."""

from __future__ import annotations

import pytest

from tests.support.waiting import wait_until
from tests.vm.conftest import Node
from tests.vm.machine import BOOT_SECONDS, BUILD_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(BUILD_SECONDS + 2 * BOOT_SECONDS + 600)]


def test_pilots_are_in_the_slice_that_runs_only_when_nobody_else_wants_the_cpu(node: Node) -> None:
    for name in node.wait_for_pilots(2):
        pid = node.run(f"docker inspect -f '{{{{.State.Pid}}}}' {name}").strip()
        assert node.run(f"cat /proc/{pid}/cgroup").startswith("0::/plancton.slice/docker-")
    assert node.read_group("cpu.idle") == "1"
    protection = node.status()["protection"]
    assert (protection["cpu"], protection["inside"]) == ("idle", "")
    assert (protection["problems"], protection["changes"]) == ([], [])


def test_a_limit_holds_for_the_memory_of_all_pilots(node: Node) -> None:
    limit = int(node.read_group("memory.max"))
    ram = int(node.run("awk '/MemTotal/ {print $2}' /proc/meminfo")) * 1024
    assert limit == (ram - 500_000_000) // 4096 * 4096


@pytest.mark.parametrize("command", ["daemon-reload", "daemon-reexec"])
def test_systemd_keeps_the_protection_when_it_reads_its_units_again(
    node: Node, command: str
) -> None:
    # Without the daemon, which would set it back, and without the unit that the role installs.
    node.run("mv /etc/systemd/system/plancton.slice /root/; systemctl stop plancton")
    try:
        limit = node.read_group("memory.max")
        node.run(f"systemctl {command}")
        assert node.read_group("cpu.idle") == "1"
        assert node.read_group("memory.max") == limit
    finally:
        node.run("mv /root/plancton.slice /etc/systemd/system/; systemctl start plancton")
    node.wait_for_pilots(2)


def test_what_something_else_changed_is_set_back_and_told(node: Node) -> None:
    node.run("echo 0 > /sys/fs/cgroup/plancton.slice/cpu.idle")
    wait_until(lambda: node.read_group("cpu.idle") == "1", "the protection to be set back")
    wait_until(lambda: node.status()["protection"]["changes"], "the change to be told")
    assert (
        "something else set cpu.idle to 0 (at least 1x since the daemon started), and it was set "
        "back" in (node.run("planctonctl explain"))
    )
