"""A Docker engine and a Podman service of the tests' own."""

import resource
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import docker

from tests.support.services import images
from tests.support.services.programs import Program, end_all_with, need, unmount_all_in
from tests.support.waiting import wait_until

#: The image that every engine here has; nobody can pull it, as no registry listens there.
IMAGE = "localhost/plancton-test:1"
_CONTAINERD = """\
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
"""


class ContainerService:
    """Common parts of Docker and Podman. ``client`` is for direct use by a test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "engine.sock"
        self.host = f"unix://{self.socket}"
        self.programs: list[Program] = []

    def up(self) -> None:
        """Start it and wait until it answers."""
        self.start()
        wait_until(self.answers, "the engine to answer", timeout=60.0, state=self.said)

    def start(self) -> None:
        raise NotImplementedError

    def answers(self) -> bool:
        for program in self.programs:
            assert program.process.poll() is None, f"{program.process.args} ended: {self.said()}"
        with socket.socket(socket.AF_UNIX) as door:
            # First, as ``docker`` leaks a socket where nobody listens.
            if door.connect_ex(str(self.socket)):
                return False
        client = docker.APIClient(self.host, version="1.41", timeout=5)
        try:
            return bool(client.ping())
        except (docker.errors.DockerException, OSError):
            return False
        finally:
            client.close()

    @property
    def client(self) -> Any:
        return docker.APIClient(self.host, version="1.41", timeout=120)

    @property
    def pid(self) -> int:
        """Of the process that answers."""
        return self.programs[-1].pid

    def said(self) -> str:
        return "\n".join(program.said() for program in self.programs)

    def run_inside(
        self, container: str, *command: str, user: str = "", cwd: str | None = None
    ) -> tuple[int, str]:
        """Return the exit code of a command in a container, and its stdout and stderr together.

        By Docker's own client: docker-py's ``exec_start`` loses what comes with the header of the
        answer, which is all that a short command prints when this process had to wait for a CPU.
        """
        words = ["docker", "-H", self.host, "exec", *(["-u", user] if user else [])]
        done = subprocess.run(
            [*words, *(["-w", cwd] if cwd else []), container, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def add_image(self, name: str, **files: str) -> None:
        client = self.client
        try:
            # Podman takes the tag as a part of the name only; Docker takes it so as well.
            client.import_image_from_data(images.busybox(**files), repository=name)
        finally:
            client.close()

    def remove_containers(self) -> None:
        client = self.client
        try:
            # again: a daemon in one of them may have made others meanwhile
            while found := client.containers(all=True):
                for one in found:
                    try:
                        client.remove_container(one["Id"], force=True, v=True)
                    except docker.errors.APIError as error:
                        # somebody else has removed it, or is about to
                        if error.status_code not in (404, 409):
                            raise
        finally:
            client.close()

    def down(self) -> None:
        """End it; its containers' fate is its own affair."""
        for program in reversed(self.programs):
            program.end()
        self.programs.clear()

    def clean(self) -> None:
        """Leave nothing: no container, no process, no mount, no file."""
        if self.programs and self.answers():
            self.remove_containers()
        self.down()
        end_all_with(self.directory)
        unmount_all_in(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)


class DockerService(ContainerService):
    """dockerd with its own containerd, without a bridge and firewall rules on the machine."""

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory)
        self.options = options
        self.disk: Path | None = None
        need("docker")

    def start(self) -> None:
        place = self.directory
        config = place / "containerd.toml"
        config.write_text(_CONTAINERD)
        address = place / "containerd.sock"
        containerd = Program(
            ["containerd", "--config", str(config), "--root", str(place / "cd-root"),
             "--state", str(place / "cd-state"), "--address", str(address), "--log-level", "warn"],
            place / "containerd.log",
        )  # fmt: skip
        self.programs = [containerd]
        wait_until(address.exists, "containerd", state=containerd.said)
        self.start_dockerd()

    def limit_disk(self, size: int) -> None:
        """Let what Docker stores lie on a disk of ``size`` bytes."""
        self.disk = self.directory / "disk"
        self.disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.disk)]
        subprocess.run(mount, check=True, capture_output=True)

    def start_dockerd(self) -> None:
        place = self.directory
        (place / "dockerd.pid").unlink(missing_ok=True)
        dockerd = Program(
            ["dockerd", "--host", self.host, "--containerd", str(place / "containerd.sock"),
             "--data-root", str((self.disk or place) / "data"), "--exec-root", str(place / "exec"),
             "--pidfile", str(place / "dockerd.pid"), "--bridge=none", "--iptables=false",
             "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
             "--storage-driver=overlay2", "--log-level=warn", *self.options],
            place / "dockerd.log",
        )  # fmt: skip
        self.programs = [*self.programs[:1], dockerd]


class PodmanService(ContainerService):
    """``podman system service`` with its own storage."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        need("podman")
        # Podman refuses a longer path than 50 characters, and pytest's are.
        self.runroot = Path(tempfile.mkdtemp(prefix="podman-"))

    def start(self) -> None:
        place = self.directory
        # Podman asks for more than a machine may let it have.
        files = min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        tasks = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
        config = place / "containers.conf"
        config.write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={tasks}:{tasks}"]\n'
        )
        # crun refuses machines with a hybrid of both cgroup versions.
        service = Program(
            ["podman", "--root", str(place / "root"), "--runroot", str(self.runroot),
             "--tmpdir", str(place / "tmp"), "--runtime", "runc", "--cgroup-manager", "cgroupfs",
             "--events-backend", "file", "system", "service", "--time=0", self.host],
            place / "podman.log",
            {"CONTAINERS_CONF": str(config)},
        )  # fmt: skip
        self.programs = [service]

    def clean(self) -> None:
        super().clean()
        end_all_with(self.runroot)
        unmount_all_in(self.runroot)
        shutil.rmtree(self.runroot, ignore_errors=True)
