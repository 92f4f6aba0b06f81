"""A node for benches: a Docker engine of its own, and the real daemon on it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import yaml

from plancton.daemon.admin_mode import AdminFlags
from plancton.engine.docker.listing import parse_time
from plancton.engine.pilot_spec import NODE_LABEL
from tests.support.services.engines import IMAGE, DockerService
from tests.support.services.fixtures import remove_groups
from tests.support.waiting import wait_until

#: Ends when asked to, as a pilot does; the first process of a container needs a handler for it.
SLEEPER = ["sh", "-c", "trap 'exit 143' TERM; sleep 3600 & wait"]
BUSY = ["sh", "-c", "while :; do :; done"]
#: Label of the containers that a bench starts by itself.
PLAIN = "plancton-bench"


class ContainerNode:
    """One run directory and one engine."""

    def __init__(self, directory: Path, service: DockerService) -> None:
        self.directory, self.service = directory, service
        self.group = f"plancton-bench-{os.getpid()}"
        self.rundir = directory / "run"
        (directory / "conf").mkdir(exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.api = docker.APIClient(service.host, version="1.41", timeout=120, max_pool_size=32)

    def configure(self, **values: Any) -> None:
        config = {
            "docker_host": self.service.host,
            "docker_image": IMAGE,
            "docker_cmd": SLEEPER,
            "networks": ["none"],
            "cgroup_parent": self.group,
            "max_dock_mem": 10_000_000,
            # A bench fills two CPUs with as many pilots as a large node has.
            "cpu_reserve": -1000,
            **values,
        }
        (self.directory / "conf/config.yaml").write_text(yaml.safe_dump(config))

    def up(self, drained: bool = False) -> None:
        """Start the daemon; until it has looked at the node."""
        if drained:
            AdminFlags(self.rundir).drain()
        places = [f"--{name}dir={self.directory / name}" for name in ("log", "run", "conf")]
        with open(self.directory / "stdout", "ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "plancton", *places, "nodaemon"], stdout=out, stderr=out
            )
        wait_until(
            lambda: (self.status().get("host") or {}).get("owner_cpus") is not None,
            "the daemon to know the node's load",
            state=self.said,
        )

    def down(self) -> None:
        """End the daemon and every pilot."""
        if self.process is not None:
            AdminFlags(self.rundir).force_stop()
            self.look()
            self.process.wait(60)
            self.process = None
        AdminFlags(self.rundir).resume()

    def look(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)

    def resume(self) -> None:
        """Do what ``planctonctl resume`` does, without the time that a command needs to start."""
        AdminFlags(self.rundir).resume()
        self.look()

    def drain(self) -> None:
        AdminFlags(self.rundir).drain()
        self.look()

    def status(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.rundir / "status.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        alive = self.process is not None and found["daemon"]["pid"] == self.process.pid
        return found if alive else {}

    def running(self) -> list[dict[str, Any]]:
        pilots = self.status().get("pilots") or []
        return [pilot for pilot in pilots if pilot["state"] == "running"]

    def wait_for(self, count: int, timeout: float = 120.0) -> None:
        wait_until(
            lambda: len(self.running()) == count, f"{count} pilots", timeout, state=self.said
        )

    def started(self, label: str = NODE_LABEL) -> dict[str, float]:
        """When each container began (s since 1970), by the engine."""
        found = {}
        for one in self.api.containers(filters={"label": label}):
            told = parse_time(self.api.inspect_container(one["Id"])["State"]["StartedAt"])
            assert told is not None
            found[one["Id"]] = told
        return found

    def said(self) -> str:
        text = (self.directory / "stdout").read_text()[-3000:]
        return f"{text}\n{self.service.said()[-500:]}\n{self.status()}"

    def plain(self, **host: Any) -> str:
        """Create and start one container without Plancton, in as few words as it takes."""
        body = {
            "Image": IMAGE,
            "Cmd": host.pop("command", SLEEPER),
            "Labels": {PLAIN: ""},
            "HostConfig": {"NetworkMode": "none", "CgroupParent": f"/{self.group}", **host},
        }
        made = self.api.create_container_from_config(body)
        self.api.start(made["Id"])
        return str(made["Id"])

    def clear(self, label: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            rows = self.api.containers(all=True, filters={"label": label})
            list(pool.map(lambda one: self.api.remove_container(one["Id"], force=True), rows))

    def close(self) -> None:
        try:
            self.down()
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            self.api.close()


@contextmanager
def container_node() -> Iterator[ContainerNode]:
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        place = Path(root, "engine")
        place.mkdir()
        service = DockerService(place)
        node = None
        try:
            service.up()
            service.add_image(IMAGE)
            node = ContainerNode(Path(root), service)
            yield node
        finally:
            if node is not None:
                node.close()
            service.clean()
            if node is not None:
                remove_groups(node.group)


def timed(what: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begin = time.monotonic()
    what()
    return time.monotonic() - begin
