"""Containers that are a site's hosts: Debian with sshd and Python, and nothing else of ours.

They reach each other and their mirror; the internet they do not reach. systemd runs in them as on
a machine.
"""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import docker

from tests.support.services.engines import DockerService
from tests.support.services.image_builds import debian_base
from tests.support.services.programs import need
from tests.support.waiting import wait_until

IMAGE = "plancton-test-host"
#: What an administrator finds on a freshly installed machine.
_PACKAGES = "python3 openssh-server procps systemd systemd-sysv dbus iproute2"
#: Units that would look after the machine below, which is not theirs.
_MASKED = (
    "systemd-sysctl.service systemd-udevd.service systemd-udev-trigger.service "
    "systemd-modules-load.service systemd-logind.service systemd-binfmt.service "
    "kmod-static-nodes.service getty@.service console-getty.service getty.target "
    "proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount "
    "dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount "
    "apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer"
)
_INSTALL = f"""
echo 'Acquire::Languages "none";' > /etc/apt/apt.conf.d/90no-translations
apt-get $O update -qq
apt-get $O install -y -qq {_PACKAGES}
mkdir -p /run/sshd /root/.ssh
for unit in {_MASKED}; do ln -sf /dev/null /etc/systemd/system/$unit; done
rm -rf /etc/ssh/ssh_host_* /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
"""
_KEYS = """\
ssh-keygen -A >/dev/null
cat > /root/.ssh/authorized_keys <<'E'
{key}E
"""
#: Its own part of the control groups is the host's to write.
_SYSTEMD = """\
for each in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if mountpoint -q "$each"; then mount -o remount,bind,rw "$each"; fi
done
exec /lib/systemd/systemd
"""
#: All that there are but SYS_RESOURCE, SYS_TIME, SYS_BOOT and SYS_MODULE, which are the machine's.
_RIGHTS = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_NICE", "IPC_LOCK", "DAC_READ_SEARCH"]
_FREE = ["seccomp=unconfined", "apparmor=unconfined"]
_ENGINES = ["/var/lib/docker", "/var/lib/containerd", "/var/lib/containers"]


class Hosts:
    """``names`` as containers on a network of their own; ``engines`` run containers, too."""

    def __init__(
        self,
        engine: DockerService,
        directory: Path,
        names: list[str],
        *,
        engines: Collection[str] = (),
    ) -> None:
        self.engine, self.directory, self.names = engine, directory, names
        self.engines = engines
        self.docker = docker.DockerClient(engine.host, version="1.41", timeout=120)
        # One of 250, so that two sessions on one machine do not meet.
        self._net = f"10.213.{os.getpid() % 250}"
        self.gateway = f"{self._net}.1"
        self.containers: dict[str, Any] = {}
        self.key, self.known = directory / "key", directory / "known_hosts"

    def address(self, name: str) -> str:
        return f"{self._net}.{10 + self.names.index(name)}"

    def network(self) -> None:
        need("hosts")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
        subprocess.run(command, check=True, capture_output=True)
        pool = docker.types.IPAMPool(subnet=f"{self._net}.0/24", gateway=self.gateway)
        self.docker.networks.create(
            "site", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool])
        )

    def image(self, proxy: str) -> None:
        with open(debian_base(), "rb") as tar:
            self.engine.client.import_image_from_data(tar.read(), repository="plancton-test-base")
        made = self.docker.containers.run(
            "plancton-test-base",
            ["sh", "-ec", _INSTALL],
            environment={
                "O": f"-o Acquire::http::Proxy={proxy} --no-install-recommends",
                "DEBIAN_FRONTEND": "noninteractive",
            },
            network="site",
            detach=True,
        )  # fmt: skip
        assert made.wait(timeout=240)["StatusCode"] == 0, made.logs().decode()[-3000:]
        made.commit(IMAGE)
        made.remove()

    def up(self) -> None:
        known = []
        others = {name: self.address(name) for name in self.names}
        keys = _KEYS.format(key=self.key.with_suffix(".pub").read_text())
        for name in self.names:
            one = self.docker.api.create_container(
                IMAGE,
                ["sh", "-ec", keys + _SYSTEMD],
                name=name,
                hostname=name,
                environment={"container": "docker"},
                stop_signal="SIGRTMIN+3",
                # What engines store must not lie on an overlay itself.
                volumes=_ENGINES if name in self.engines else [],
                host_config=self._may(others),
                networking_config=self.docker.api.create_networking_config(
                    {"site": self.docker.api.create_endpoint_config(ipv4_address=others[name])}
                ),
            )
            self.docker.api.start(one)
            self.containers[name] = self.docker.containers.get(one["Id"])
        for name in self.names:
            wait_until(lambda name=name: self._host_key(name), f"sshd on {name}", timeout=60)
            known.append(f"{name},{self.address(name)} {self._host_key(name)}")
        self.known.write_text("\n".join(known) + "\n")

    def _may(self, others: dict[str, str]) -> Any:
        """Return what the machine below lets it do."""
        may = self.docker.api.create_host_config(
            extra_hosts=others,
            cap_add=_RIGHTS,
            security_opt=_FREE,
            cgroupns="private",
            device_cgroup_rules=["a *:* rwm"],
            tmpfs={"/run": "exec", "/run/lock": ""},
        )
        # An engine inside gives its containers a /proc/sys of their own.
        return {**may, "MaskedPaths": [], "ReadonlyPaths": []}

    def _host_key(self, name: str) -> str:
        command = ["sh", "-c", "cat /etc/ssh/ssh_host_ed25519_key.pub && pgrep -x sshd"]
        done = self.containers[name].exec_run(command).output.decode(errors="replace")
        return " ".join(done.split()[:2]) if done.strip()[-1:].isdigit() else ""

    def run(self, name: str, command: str, *, check: bool = True) -> str:
        """Return what a shell on host ``name`` prints."""
        done = self._ssh(name, command)
        text = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"{name}: {command}: {done.returncode}\n{text}"
        return text

    def code(self, name: str, command: str) -> int:
        return self._ssh(name, command).returncode

    def _ssh(self, name: str, command: str) -> subprocess.CompletedProcess[bytes]:
        # Not by the engine: what a short command printed there is lost now and then.
        return subprocess.run(
            ["ssh", "-i", str(self.key), "-o", f"UserKnownHostsFile={self.known}",
             "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", f"root@{self.address(name)}", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )  # fmt: skip

    def clean(self) -> None:
        for one in self.containers.values():
            one.remove(force=True, v=True)
        for network in self.docker.networks.list(names=["site"]):
            network.remove()
        self.docker.close()
