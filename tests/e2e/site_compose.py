"""A site from docker-compose.yml, in a copy of the files: as its admin and its CE see it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.site_engine import SiteEngine
from tests.support.services.compose import compose_v1, compose_v2
from tests.support.services.image_builds import ROOT
from tests.support.waiting import wait_until

#: What an admin has after `git clone` and needs for a site.
FILES = ("docker-compose.yml", "docker-compose.tls.yml", ".env.example", "Makefile")
FOLDERS = ("compose", "grafana")
#: Eight-core pilots, six of them, on a machine of two CPUs: CPU limits are overcommitted.
SIZES = {"MAX_DOCKS": "6", "CPUS_PER_DOCK": "8", "CPU_RESERVE": "-46", "MAX_DOCK_MEM": "200000000"}
NODE = "e2e-node"
CE = ("--user", "ce", "--workdir", "/home/ce")


class ComposeSite:
    def __init__(
        self, engine: SiteEngine, directory: Path, images: Mapping[str, str], cgroup: str
    ) -> None:
        self.engine, self.directory = engine, directory
        for name in FILES:
            shutil.copy(ROOT / name, directory / name)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__py*"))
        self.worker = images["worker-el9"]
        worker, _, tag = self.worker.rpartition(":")
        (directory / "no-cgroups").mkdir()
        plugins = directory / ".docker/cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(compose_v2())
        self.program = ["docker", "compose"]
        values = {
            **{f"{name.upper()}_IMAGE": image for name, image in images.items() if "-" not in name},
            **SIZES,
            "WORKER_IMAGE": worker,
            "WORKER_TAG": tag,
            # a pilot that waits takes the next batch at once
            "WORKER_TIMEOUT": "300",
            "IMAGES": "local",
            "SITE": "e2e",
            # Grafana's image is nowhere here
            "COMPOSE_PROFILES": "",
            "NODE_NAME": NODE,
            "CGROUP_PARENT": cgroup,
            "DOCKER_SOCKET": str(engine.socket),
            # Pilots that yield to everybody would not run at all on a machine that is busy with
            # other tests; one test here gives Plancton the real ones.
            "CGROUPS": str(directory / "no-cgroups"),
            # more is refused in some machines
            "RABBITMQ_FILES": "4096",
        }
        self.set(values, (directory / ".env.example").read_text())

    def set(self, values: Mapping[str, str], text: str = "") -> None:
        """Change lines of .env, as an admin does with an editor."""
        path = self.directory / ".env"
        lines = (text or path.read_text()).splitlines()
        keys = {line.partition("=")[0] for line in lines}
        assert set(values) <= keys, set(values) - keys
        changed = [
            f"{key}={values[key]}" if (key := line.partition("=")[0]) in values else line
            for line in lines
        ]
        path.write_text("\n".join(changed) + "\n")

    # --- the admin's commands ---------------------------------------------------------

    def run(self, *command: str, timeout: float = 400.0) -> subprocess.CompletedProcess[str]:
        path = f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            command,
            cwd=self.directory,
            env={"PATH": path, "HOME": str(self.directory), "DOCKER_HOST": self.engine.host},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("make", "--no-print-directory", *words, f"PYTHON={sys.executable}")

    def use_v1(self) -> None:
        """From here on docker-compose 1.29; by ``make`` too, where Docker has no v2 of its own."""
        (self.directory / ".docker/cli-plugins/docker-compose").unlink()
        self.program = [compose_v1()]

    def compose(self, *words: str) -> str:
        done = self.run(*self.program, *words)
        assert done.returncode == 0, f"compose {' '.join(words)}: {done.stdout}"
        return done.stdout

    def exec(self, service: str, *command: str, options: tuple[str, ...] = ()) -> str:
        done = self.run("docker", "exec", *options, self.container(service), *command)
        assert done.returncode == 0, f"{service}: {' '.join(command)}: {done.stdout}"
        return done.stdout

    def ce(self, script: str) -> str:
        """Return what a shell of the CE's user prints in the VO box."""
        return self.exec("vobox", "bash", "-ec", script, options=CE)

    # --- what runs --------------------------------------------------------------------

    def containers(self) -> dict[str, str]:
        """Return the container of each service, whatever this version of compose calls it."""
        client = self.engine.client
        try:
            made = client.containers(all=True, filters={"label": "com.docker.compose.service"})
        finally:
            client.close()
        return {
            one["Labels"]["com.docker.compose.service"]: one["Id"]
            for one in made
            if one["Labels"].get("com.docker.compose.oneoff") == "False"
        }

    def container(self, service: str) -> str:
        return self.containers()[service]

    def inspect(self, container: str) -> dict[str, Any]:
        client = self.engine.client
        try:
            found: dict[str, Any] = client.inspect_container(container)
            return found
        finally:
            client.close()

    def health(self, service: str) -> str:
        return str(self.inspect(self.container(service))["State"]["Health"]["Status"])

    def pilots(self) -> list[dict[str, Any]]:
        """Return the containers that Plancton started and that run."""
        client = self.engine.client
        try:
            found: list[dict[str, Any]] = client.containers(filters={"label": "plancton.pilot"})
            return found
        finally:
            client.close()

    def kill_and_recreate(self, service: str) -> None:
        name = self.container(service)
        client = self.engine.client
        try:
            client.kill(name)
            client.remove_container(name, force=True)
        finally:
            client.close()
        self.compose("up", "-d", "--no-deps", service)
        wait_until(
            lambda: self.health(service) == "healthy", f"{service} to be healthy again",
            timeout=90.0, state=lambda: self.logs(service),
        )  # fmt: skip

    def shows(self) -> str:
        """Return what an admin looks at when it is not up."""
        said = self.run("docker", "ps", "--all", "--format", "{{.Names}} {{.Status}}").stdout
        return said + "".join(f"{name}: {self.logs(name)}" for name in self.containers())

    def logs(self, service: str) -> str:
        return self.run("docker", "logs", "--tail", "20", self.container(service)).stdout

    # --- jobs -------------------------------------------------------------------------

    def submit(self, batch: str, description: str, files: Mapping[str, str]) -> int:
        """In a directory of its own in the VO box; the cluster's number."""
        place = f"/home/ce/{batch}"
        self.ce(f"mkdir -p {place}/out")
        for name, text in {**files, "submit": description}.items():
            local = self.directory / f"{batch}-{name}"
            local.write_text(text)
            local.chmod(0o700 if name == "agent" else 0o600)
            self.run("docker", "cp", str(local), f"{self.container('vobox')}:{place}/{name}")
        self.exec("vobox", "chown", "-R", "ce:ce", place)
        said = self.ce(f"cd {place}; condor_submit submit")
        assert "submitted to cluster" in said, said
        return int(said.split("cluster")[1].strip(" .\n"))

    def history(self, cluster: int, *attributes: str) -> list[dict[str, Any]]:
        names = ",".join(["ProcId", *attributes])
        said = self.ce(f"condor_history {cluster} -json -attributes {names}")
        found: list[dict[str, Any]] = json.loads(said or "[]")
        return found

    def wait_for(self, cluster: int, count: int, timeout: float) -> None:
        wait_until(
            lambda: len(self.history(cluster)) == count,
            f"{count} jobs of cluster {cluster} to end",
            timeout=timeout,
            state=lambda: self.ce("condor_q -nobatch; condor_status || true") + self.explain(),
        )

    def explain(self) -> str:
        return self.exec("plancton", "planctonctl", "explain")

    def reports(self, batch: str) -> dict[str, list[str]]:
        """Return what the jobs of a batch have said outside, by job."""
        told: dict[str, list[str]] = {}
        for line in self.engine.reports.read_text().splitlines():
            name, job, word = line.split()
            if name == batch:
                told.setdefault(job, []).append(word)
        return told
