"""What tests need beside the project's own environment: the one list of it.

A new service, or a new program that a test runs, is a line here; `tests/e2e/test_bare_machine.py`
finds what was forgotten.
"""

import os
import shutil
from dataclasses import dataclass

#: Debian's packages → the programs that tests, and the services in them, run from each.
PACKAGES = {
    "busybox-static": ("busybox",),
    "conmon": ("conmon",),
    "containerd": ("containerd",),
    "coop-computing-tools": ("makeflow",),
    "debootstrap": ("debootstrap",),
    "docker-compose": ("docker-compose",),
    "docker-registry": ("docker-registry",),
    "docker.io": ("docker", "dockerd"),
    "erlang-base": ("epmd",),
    "gcc": ("gcc",),
    "influxdb": ("influxd",),
    "iproute2": ("ip",),
    "iptables": ("iptables",),
    # its headers; it has no program, but brings one
    "libc6-dev": ("gencat",),
    "man-db": ("man",),
    "nodejs": ("node",),
    "nordugrid-arc-arex": ("a-rex-backtrace-collect",),  # its scripts are in /usr/share/arc
    "npm": ("npm",),
    "openmpi-bin": ("ompi_info",),  # makeflow starts its daemon, orted
    "openssh-client": ("ssh", "ssh-keygen"),
    "podman": ("podman",),
    "prometheus": ("prometheus", "promtool"),
    "qemu-system-x86": ("qemu-system-x86_64",),
    "rabbitmq-server": ("rabbitmq-server",),
    "runc": ("runc",),
    "spin": ("spin",),
    "systemd": ("systemd-analyze",),
    "zsh": ("zsh",),
}


@dataclass(frozen=True)
class Service:
    """``title`` is its name in messages; ``root``: only root can run it."""

    title: str
    packages: tuple[str, ...]
    root: bool = False
    #: key of tests.setup.downloads.DOWNLOADS: what pip, npm or apt fetches beside the packages
    download: str = ""

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(program for package in self.packages for program in PACKAGES[package])


_DOCKER = ("docker.io", "containerd", "runc", "busybox-static", "iptables")

#: What a test names with ``pytest.mark.needs``, and a fixture with ``@needs``.
SERVICES = {
    "docker": Service("Docker", _DOCKER, root=True),
    "podman": Service("Podman", ("podman", "runc", "conmon", "busybox-static"), root=True),
    "rabbitmq": Service("RabbitMQ", ("rabbitmq-server", "erlang-base")),
    "influxdb": Service("InfluxDB", ("influxdb",)),
    "prometheus": Service("Prometheus", ("prometheus",)),
    "registry": Service("a container registry", ("docker-registry",)),
    "images": Service("the site's images", (*_DOCKER, "debootstrap"), root=True),
    "compose": Service("compose", ("docker.io", "docker-compose"), root=True, download="compose"),
    "site": Service("a site of containers", (*_DOCKER, "debootstrap", "iproute2"), root=True),
    "hosts": Service("hosts for Ansible", (*_DOCKER, "debootstrap", "openssh-client"), root=True),
    "routing": Service("networks of their own", ("iproute2",), root=True),
    "vm": Service(
        "a virtual machine", ("qemu-system-x86", "debootstrap", "openssh-client"), root=True
    ),
    "firewall": Service("dropping packets", ("iptables",), root=True),
    "spin": Service("the model checker spin", ("spin", "gcc", "libc6-dev")),
    "systemd": Service("checking systemd units", ("systemd",)),
    "man": Service("rendering manual pages", ("man-db",)),
    "zsh": Service("completion in zsh", ("zsh",)),
    "makeflow": Service("makeflow", ("coop-computing-tools", "openmpi-bin")),
    "arc": Service("ARC's own scripts", ("nordugrid-arc-arex",)),
    "clients": Service("the real batch clients", (), download="clients"),
    "grafana": Service("Grafana's packages", ("nodejs", "npm"), download="grafana"),
}


def which(program: str) -> str | None:
    """Find a program as a shell of root would."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
