"""What a whole site and Ansible's hosts need of the machine, without a whole site and hosts.

`test_bare_machine.py` runs these on a machine that has nothing but what the list of services gives.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.site_engine import METADATA, WORLD, SiteEngine
from tests.support.services.programs import need
from tests.support.services.rabbitmq import free_port

MIRROR = os.environ.get("DEBIAN_URL", "http://deb.debian.org/debian")


@pytest.mark.needs("docker", "site")
def test_an_engine_with_bridges_runs_in_a_network_of_its_own(tmp_path: Path) -> None:
    with SiteEngine(tmp_path).running() as engine:
        assert METADATA not in engine.inside("ip", "-4", "address").stdout
        assert WORLD in engine.inside("ip", "route").stdout
        rules = engine.inside("iptables", "--list-rules")
        assert "DOCKER" in rules.stdout, rules.stderr
        assert any(one["Name"] == "bridge" for one in engine.client.networks())


@pytest.mark.needs("images")
def test_debootstrap_finds_debian_at_the_mirror(tmp_path: Path) -> None:
    need("images")
    words = ["--print-debs", "--variant=minbase", "bookworm", str(tmp_path / "x"), MIRROR]
    done = subprocess.run(
        ["debootstrap", *words], capture_output=True, text=True, timeout=200
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"apt", "dpkg", "libc6"} <= set(done.stdout.split())


@pytest.mark.needs("hosts")
def test_ssh_has_a_key_and_speaks_to_nobody(tmp_path: Path) -> None:
    need("hosts")
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=60
    )
    done = subprocess.run(
        ["ssh", "-i", str(key), "-p", str(free_port()), "-o", "BatchMode=yes", "127.0.0.1"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 255
    assert "Connection refused" in done.stderr


@pytest.mark.needs("vm")
def test_qemu_has_the_machine_that_a_node_needs() -> None:
    need("vm")
    done = subprocess.run(
        ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-device", "help"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'name "virtio-net-pci"' in done.stdout
    assert 'name "virtio-blk-pci"' in done.stdout
