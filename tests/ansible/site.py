"""A site's inventory, and its playbooks run as by an administrator."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.ansible.hosts import Hosts
from tests.ansible.mirror import DEBIAN, ROOT, Mirror

PLAYBOOKS = ROOT / "ansible/playbooks"
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)
_PLAYBOOK_SECONDS = 1700


class Run(NamedTuple):
    """One ``ansible-playbook``; ``recap`` has ok, changed, unreachable and failed of each host."""

    code: int
    output: str
    recap: dict[str, dict[str, int]]

    @property
    def changed(self) -> int:
        return sum(host["changed"] for host in self.recap.values())


#: Pilots as processes; hosts show the machine's load and memory, which are the tests' own.
NODE_SETTINGS: dict[str, Any] = {
    "plancton_max_docks": 2,
    "plancton_max_dock_mem": 50_000_000,
    "plancton_mem_reserve": 1_000_000,
    "plancton_pilot_idle": 15,
    "plancton_settings": {
        "cpu_reserve": -64.0,
        "memory_stall": 100,
        "main_sleep": 1,
        "metrics_interval": 2,
        "no_work_backoff": 1,
        "no_work_backoff_max": 3,
        "breaker_backoff": 1,
    },
}


class Site:
    """``groups`` of the inventory and their hosts; ``settings``: the variables of a group."""

    def __init__(
        self,
        hosts: Hosts,
        directory: Path,
        mirror: Mirror,
        groups: dict[str, list[str]],
        settings: dict[str, dict[str, Any]],
    ) -> None:
        self.hosts, self.mirror, self.inventory = hosts, mirror, directory / "inventory"
        self.secrets = self.inventory / "secrets"
        self.secrets.mkdir(parents=True)
        #: What the first ``site.yml`` did, in more words than others.
        self.first: Run | None = None
        self.short = Path(tempfile.mkdtemp(prefix="ans-"))
        for name in {*groups.get("brokers", []), *groups.get("metrics", [])}:
            signed = mirror.authority.signed(name, name)
            (self.secrets / f"{name}.pem").write_bytes(signed.certificate.read_bytes())
            (self.secrets / f"{name}.key").write_bytes(signed.key.read_bytes())
        self.write("hosts.yml", _inventory(hosts, groups))
        everywhere = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(hosts.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={hosts.known}",
            "site_name": "testsite",
            "site_secrets": "{{ inventory_dir }}/secrets",
            "site_proxy": mirror.url,
            "site_apt_repositories": [f"deb {DEBIAN} bookworm main"],
            "site_only_these_repositories": True,
            "site_pip_index": mirror.url,
            "site_pip_args": f"--trusted-host {hosts.gateway}",
            "site_plancton_wheel": str(mirror.wheel),
            "site_tls": True,
            "site_ca_file": str(mirror.authority.certificate),
            "rabbitmq_disk_free_limit": "100MB",
        }
        for group, variables in {**settings, "all": everywhere | settings.get("all", {})}.items():
            self.write(f"group_vars/{group}/main.yml", variables)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a file of the inventory, as YAML."""
        path = self.inventory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def play(self, name: str, *options: str, **variables: Any) -> Run:
        """Run one playbook; ``variables`` are extra variables."""
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i", str(self.inventory / "hosts.yml"), str(PLAYBOOKS / f"{name}.yml"), *options,
        ]  # fmt: skip
        if variables:
            command += ["-e", json.dumps(variables)]
        done = subprocess.run(
            command,
            cwd=ROOT / "ansible",
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                # A socket's path must be short, and pytest's directories are not.
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.short),
                "ANSIBLE_LOCAL_TEMP": str(self.inventory.parent / "tmp"),
                "ANSIBLE_DEPRECATION_WARNINGS": "0",
            },
            capture_output=True,
            text=True,
            timeout=_PLAYBOOK_SECONDS,
        )
        keys = ("ok", "changed", "unreachable", "failed")
        recap = {
            found[1]: dict(zip(keys, map(int, found.groups()[1:]), strict=True))
            for found in _RECAP.finditer(done.stdout)
        }
        return Run(done.returncode, done.stdout + done.stderr, recap)

    def well(self, name: str, *options: str, **variables: Any) -> Run:
        """Return a run that must succeed."""
        run = self.play(name, *options, **variables)
        failures = [line for line in run.output.splitlines() if line.startswith("fatal: ")]
        assert run.code == 0, "\n".join([*failures, run.output[-6000:]])
        return run

    def clean(self) -> None:
        # The masters of ssh end with their hosts.
        shutil.rmtree(self.short, ignore_errors=True)

    def image(self, node: str, container: str) -> str:
        """Return the image that a container of Docker on ``node`` was made from."""
        command = f"docker inspect --format '{{{{.Config.Image}}}}' {container}"
        return self.hosts.run(node, command).strip()

    def status(self, node: str) -> dict[str, Any]:
        found = json.loads(self.hosts.run(node, "planctonctl status --json"))
        assert isinstance(found, dict)
        return found


def _inventory(hosts: Hosts, groups: dict[str, list[str]]) -> dict[str, Any]:
    """Return the inventory; a group of groups has their names for its hosts."""
    made: dict[str, Any] = {}
    for group, names in groups.items():
        if set(names) <= set(groups):
            made[group] = {"children": dict.fromkeys(names)}
        else:
            made[group] = {"hosts": {name: {"ansible_host": hosts.address(name)} for name in names}}
    return {"all": {"children": made}}
