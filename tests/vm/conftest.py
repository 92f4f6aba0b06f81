"""A node in a virtual machine, on which Plancton is installed as the Ansible role does.

The same commands of pip and the same units; what the role itself does is tested with containers
(tests/ansible), as Ansible takes minutes where a CPU is emulated.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible import mirror
from tests.ansible.units import render_units
from tests.setup.needs import needs
from tests.support.services import images
from tests.support.waiting import wait_until
from tests.vm.machine import VirtualMachine, make_system

IMAGE = "localhost/plancton-test:1"
CONFIG: dict[str, Any] = {
    "docker_image": IMAGE,
    "docker_cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.5; done"],
    "networks": ["none"],
    "max_docks": 2,
    "max_dock_mem": 50_000_000,
    "mem_reserve": 500_000_000,
    # A processor that is emulated is never idle.
    "cpu_reserve": -64.0,
    "memory_stall": 100,
    "main_sleep": 1,
    "updateconfig": 1,
    "no_work_backoff": 1,
    "no_work_backoff_max": 3,
    "breaker_backoff": 1,
}
_INSTALL = """
python3 -m venv /opt/plancton/releases/1
/opt/plancton/releases/1/bin/pip install --quiet --disable-pip-version-check \\
    --no-index --find-links /root/wheels "$1[node,worker]"
ln -s releases/1 /opt/plancton/current
ln -s /opt/plancton/current/bin/planctonctl /usr/local/bin/
rm -r /root/wheels
"""


def install(root: Path, directory: Path) -> None:
    """Install this tree's wheel into a system, with its service.

    Args:
        root: of the system.
        directory: for what is needed on the way.
    """
    wheel = mirror.wheel(directory / "release")
    index = directory / "index"
    mirror.fill_index(index, wheel, ["node", "worker"])
    wheels = root / "root/wheels"
    wheels.mkdir()
    for each in (wheel, *index.glob("*/*")):
        shutil.copy(each, wheels)
    done = subprocess.run(
        ["chroot", root, "sh", "-ec", _INSTALL, "-", f"/root/wheels/{wheel.name}"],
        capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    units = directory / "units"
    units.mkdir()
    render_units(units, "pip", "docker")
    system = root / "etc/systemd/system"
    for name in ("plancton.service", "plancton.slice"):
        shutil.copy(units / name, system)
    (system / "multi-user.target.wants/plancton.service").symlink_to(
        "/etc/systemd/system/plancton.service"
    )
    (root / "etc/default/plancton").touch()
    (root / "etc/plancton").mkdir()
    (root / "etc/plancton/config.yaml").write_text(yaml.safe_dump(CONFIG))


class Node:
    """The virtual machine, with Plancton on it."""

    def __init__(self, machine: VirtualMachine) -> None:
        self.machine, self.run = machine, machine.run

    def configure(self, **values: Any) -> None:
        """Change the configuration; the daemon reads it within a second."""
        text = yaml.safe_dump({**CONFIG, **values})
        self.machine.write("/etc/plancton/new", text)
        self.run("mv /etc/plancton/new /etc/plancton/config.yaml; planctonctl reload")

    def status(self) -> dict[str, Any]:
        """Return the daemon's status document; {} while it has none."""
        done = self.machine.call("planctonctl status --json")
        try:
            found = json.loads(done.stdout)
        except ValueError:
            return {}
        assert isinstance(found, dict)
        return found

    def running(self, engine: str = "docker") -> list[str]:
        """Return the names of the pilots that ``engine`` runs, ``docker`` or ``podman``."""
        listed = self.run(f"{engine} ps --filter label=plancton.node --format '{{{{.Names}}}}'")
        return listed.split()

    def wait_for_pilots(self, count: int, engine: str = "docker") -> list[str]:
        """Wait until ``engine`` runs so many pilots; return their names."""
        wait_until(
            lambda: len(self.running(engine)) == count,
            f"{count} pilots",
            timeout=300.0,
            state=self.said,
        )
        return self.running(engine)

    def end_pilots(self, engine: str = "docker") -> None:
        """Ask the pilots that ``engine`` runs now to end, if there are any."""
        listed = f"{engine} ps -q --filter label=plancton.node"
        # One that has ended meanwhile is an error of ``kill``.
        self.run(f"{listed} | xargs -r {engine} kill --signal TERM || true")

    def said(self) -> str:
        """Return what the daemon says: why it starts pilots or not, and its last lines."""
        return self.run("planctonctl explain; journalctl -u plancton -o cat -n 20")

    def read_group(self, name: str) -> str:
        """Return a file of the pilots' control group."""
        return self.run(f"cat /sys/fs/cgroup/plancton.slice/{name}").strip()


@pytest.fixture(scope="session")
@needs("vm", "docker")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Give a node that runs two pilots; a test leaves it running."""
    system = tmp_path_factory.mktemp("system")
    make_system(system)
    install(system, tmp_path_factory.mktemp("release"))
    machine = VirtualMachine(tmp_path_factory.mktemp("vm"), system)
    shutil.rmtree(system)
    try:
        machine.boot()
        machine.run(f"docker import - {IMAGE}", images.busybox())
        made = Node(machine)
        made.wait_for_pilots(2)
        yield made
    finally:
        machine.clean()
